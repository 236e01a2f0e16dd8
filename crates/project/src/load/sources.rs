//! Source tables.

use serde_json::{Map, Value as Json};

use super::{Loader, files};
use crate::error::{Fault, Location, Result};
use crate::layers;
use crate::node::{Column, Freshness, Period, Source};
use crate::yaml::{Data, Yaml};

const SOURCE_KEYS: &[&str] = &[
    "name",
    "description",
    "database",
    "project",
    "schema",
    "dataset",
    "tables",
    "meta",
    "config",
    "tags",
    "loaded_at_field",
    "freshness",
    // Known to dbt, not used here.
    "loader",
    "loaded_at_query",
    "quoting",
    "overrides",
];

const TABLE_KEYS: &[&str] = &[
    "name",
    "description",
    "identifier",
    "meta",
    "config",
    "tags",
    "loaded_at_field",
    "freshness",
    "columns",
    "tests",
    "data_tests",
    // Known to dbt, not used here.
    "loader",
    "loaded_at_query",
    "quoting",
    "external",
    "docs",
];

impl Loader<'_> {
    /// Puts all source tables into the manifest.
    pub(crate) fn sources(&mut self) -> Result<()> {
        for yaml in std::mem::take(&mut self.properties.sources) {
            let name = yaml.need_text("name", "a source")?;
            yaml.only_keys(&format!("source `{name}`"), &[SOURCE_KEYS])?;
            for table in yaml.get("tables").map_or(Ok(&[][..]), |tables| tables.list("tables"))? {
                let source = self.source(&name, &yaml, table)?;
                let Some(source) = source else { continue };
                if let Some(first) = self.manifest.sources.get(&source.unique_id) {
                    let first = Location::line(first.original_file_path.clone(), first.line);
                    let name = format!("{name}.{}", source.name);
                    return Err(Fault::Duplicate { what: "source", name, first }.at(table.at()));
                }
                self.manifest.sources.insert(source.unique_id.clone(), source);
            }
            self.properties.sources.push(yaml);
        }
        Ok(())
    }

    fn source(&self, source_name: &str, yaml: &Yaml, table: &Yaml) -> Result<Option<Source>> {
        let name = table.need_text("name", &format!("a table of source `{source_name}`"))?;
        table.only_keys(&format!("source table `{source_name}.{name}`"), &[TABLE_KEYS])?;
        let file = table.at().file;
        let mut fqn = vec![self.file.name.clone()];
        fqn.extend(files::folders(&file, &self.file.yaml_paths()));
        fqn.extend([source_name.to_owned(), name.clone()]);
        let mut config = self.tree_layers("sources", &fqn)?.to_map();
        let mut meta = take_meta(&mut config);
        let mut tags = layers_tags(&config);
        for level in [yaml, table] {
            let mut own = match level.get("config") {
                Some(own) => self.source_config(own, source_name)?,
                None => Map::new(),
            };
            meta.extend(take_meta(&mut own));
            tags.extend(layers_tags(&own));
            config.extend(own);
            if let Some(own) = level.get("meta") {
                let Json::Object(own) = self.render(own)? else {
                    return Err(own.wrong("meta", "a mapping"));
                };
                meta.extend(own);
            }
            tags.extend(level.get("tags").map_or(Ok(Vec::new()), |tags| tags.texts("tags"))?);
        }
        if config.get("enabled") == Some(&Json::Bool(false)) {
            return Ok(None);
        }
        tags.sort();
        tags.dedup();
        let text = |key: &str| self.rendered_text(table, key);
        let either = |key: &str| -> Result<Option<String>> {
            Ok(match self.rendered_text(table, key)? {
                Some(text) => Some(text),
                None => self.rendered_text(yaml, key)?,
            })
        };
        let of_config = |key: &str| config.get(key).and_then(Json::as_str).map(str::to_owned);
        let first = |one: &str, other: &str| -> Result<Option<String>> {
            Ok(match self.rendered_text(yaml, one)? {
                Some(text) => Some(text),
                None => self.rendered_text(yaml, other)?,
            })
        };
        Ok(Some(Source {
            unique_id: format!("source.{}.{source_name}.{name}", self.file.name),
            package_name: self.file.name.clone(),
            fqn,
            source_name: source_name.to_owned(),
            database: first("database", "project")?.or_else(|| self.target.database.clone()),
            schema: first("schema", "dataset")?.unwrap_or_else(|| source_name.to_owned()),
            identifier: text("identifier")?.unwrap_or_else(|| name.clone()),
            original_file_path: file,
            line: table.line(),
            description: text("description")?.unwrap_or_default(),
            source_description: self.rendered_text(yaml, "description")?.unwrap_or_default(),
            loaded_at_field: either("loaded_at_field")?.or_else(|| of_config("loaded_at_field")),
            freshness: self.source_freshness(yaml, table)?,
            meta,
            tags,
            config,
            columns: self.columns(table)?,
            name,
        }))
    }

    fn source_config(&self, yaml: &Yaml, source: &str) -> Result<Map<String, Json>> {
        let mut own = Map::new();
        for entry in yaml.map("config")? {
            let key = layers::canonical(&entry.key);
            let value = self.render(&entry.value)?;
            let place = format!("`config` of source `{source}`");
            layers::check(&key, &value, &place).map_err(|fault| fault.at(entry.at()))?;
            own.insert(key, value);
        }
        Ok(own)
    }

    /// Table over source; each may say it at the top or under `config`; `null` switches it off.
    fn source_freshness(&self, source: &Yaml, table: &Yaml) -> Result<Option<Freshness>> {
        let mut found: Option<Freshness> = None;
        for level in [Some(source), source.get("config"), Some(table), table.get("config")] {
            let Some(level) = level else { continue };
            let entry = level.map("freshness")?.iter().find(|entry| entry.key == "freshness");
            let Some(entry) = entry else { continue };
            if entry.value.is_null() {
                found = None;
                continue;
            }
            let yaml = &entry.value;
            yaml.only_keys("`freshness`", &[&["warn_after", "error_after", "filter"]])?;
            let old = found.take().unwrap_or_default();
            found = Some(Freshness {
                warn_after: period(yaml, "warn_after")?.or(old.warn_after),
                error_after: period(yaml, "error_after")?.or(old.error_after),
                filter: self.rendered_text(yaml, "filter")?.or(old.filter),
            });
        }
        Ok(found)
    }

    /// The documented columns of a node or table.
    pub(crate) fn columns(&self, yaml: &Yaml) -> Result<Vec<Column>> {
        let mut columns: Vec<Column> = Vec::new();
        for item in yaml.get("columns").map_or(Ok(&[][..]), |columns| columns.list("columns"))? {
            let name = item.need_text("name", "a column")?;
            let place = format!("column `{name}`");
            item.only_keys(&place, &[super::properties::COLUMN_KEYS])?;
            if columns.iter().any(|column| column.name == name) {
                let first = yaml.get("columns").unwrap_or(yaml).at();
                return Err(Fault::Duplicate { what: "column", name, first }.at(item.at()));
            }
            let meta = item.get("meta").or_else(|| item.get("config")?.get("meta"));
            let tags = item.get("tags").or_else(|| item.get("config")?.get("tags"));
            columns.push(Column {
                description: self.rendered_text(item, "description")?.unwrap_or_default(),
                data_type: item.opt_text("data_type")?,
                meta: meta.map_or(Ok(Map::new()), |meta| meta.object("meta"))?,
                tags: tags.map_or(Ok(Vec::new()), |tags| tags.texts("tags"))?,
                name,
            });
        }
        Ok(columns)
    }
}

fn take_meta(config: &mut Map<String, Json>) -> Map<String, Json> {
    match config.remove("meta") {
        Some(Json::Object(meta)) => meta,
        _ => Map::new(),
    }
}

fn layers_tags(config: &Map<String, Json>) -> Vec<String> {
    match config.get("tags") {
        Some(Json::String(tag)) => vec![tag.clone()],
        Some(Json::Array(tags)) => {
            tags.iter().filter_map(Json::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

fn period(yaml: &Yaml, key: &str) -> Result<Option<Period>> {
    let Some(value) = yaml.get(key) else { return Ok(None) };
    value.only_keys(&format!("`{key}`"), &[&["count", "period"]])?;
    let count = match value.get("count").map(|count| &count.data) {
        Some(Data::Number(number)) => number.as_u64(),
        _ => None,
    };
    let Some(count) = count else { return Err(value.wrong(key, "`count` and `period`")) };
    let period = value.need_text("period", &format!("`{key}`"))?;
    if !["minute", "hour", "day"].contains(&period.as_str()) {
        let at = value.get("period").unwrap_or(value);
        return Err(at.wrong("period", "one of `minute`, `hour`, `day`"));
    }
    Ok(Some(Period { count, period }))
}
