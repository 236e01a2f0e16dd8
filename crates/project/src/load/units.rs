//! Unit tests: from YAML to typed rows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Map;

use super::{Loader, files, link};
use crate::error::{Fault, Location, Result, nearest};
use crate::node::{DependsOn, Given, InputName, Overrides, RefCall, ResourceType, Rows, UnitTest};
use crate::yaml::Yaml;

const KEYS: &[&str] =
    &["name", "description", "model", "given", "expect", "overrides", "config", "versions", "tags"];

impl Loader<'_> {
    /// Puts all unit tests into the manifest.
    pub(crate) fn unit_tests(&mut self) -> Result<()> {
        for yaml in std::mem::take(&mut self.properties.unit_tests) {
            let Some(test) = self.unit_test(&yaml)? else { continue };
            if let Some(first) = self.manifest.unit_tests.get(&test.unique_id) {
                let first = Location::line(first.original_file_path.clone(), first.line);
                let fault = Fault::Duplicate { what: "unit test", name: test.name, first };
                return Err(fault.at(yaml.at()));
            }
            self.manifest.unit_tests.insert(test.unique_id.clone(), test);
        }
        Ok(())
    }

    fn unit_test(&self, yaml: &Yaml) -> Result<Option<UnitTest>> {
        let name = yaml.need_text("name", "a unit test")?;
        let place = format!("unit test `{name}`");
        yaml.only_keys(&place, &[KEYS])?;
        let model = yaml.need_text("model", &place)?;
        let model_id = format!("model.{}.{model}", self.file.name);
        let at = yaml.get("model").unwrap_or(yaml).at();
        let Some(node) = self.manifest.nodes.get(&model_id) else {
            if self.manifest.disabled.contains_key(&model_id) {
                return Ok(None);
            }
            let nodes = self.manifest.nodes.values();
            let models = nodes.filter(|one| one.resource_type == ResourceType::Model);
            let nearest = nearest(&model, models.map(|one| one.name.as_str()));
            let known = Vec::new();
            let fault = Fault::UnknownName { what: "model", name: model, nearest, known };
            return Err(fault.at(at));
        };
        let mut given = Vec::new();
        for item in yaml.get("given").map_or(Ok(&[][..]), |all| all.list("given"))? {
            item.only_keys(
                &format!("`given` of {place}"),
                &[&["input", "rows", "format", "fixture"]],
            )?;
            let input = self.input(item, &place)?;
            given.push(Given { input, rows: self.rows(item)? });
        }
        let Some(expect) = yaml.get("expect") else {
            return Err(Fault::MissingKey { key: "expect".into(), place }.at(yaml.at()));
        };
        expect.only_keys(&format!("`expect` of {place}"), &[&["rows", "format", "fixture"]])?;
        let config = yaml.get("config");
        if let Some(config) = config {
            config.only_keys(&format!("`config` of {place}"), &[&["meta", "tags", "enabled"]])?;
        }
        let of = |key: &str| config.and_then(|config| config.get(key)).or_else(|| yaml.get(key));
        if let Some(enabled) = of("enabled")
            && self.render(enabled)? == serde_json::Value::Bool(false)
        {
            return Ok(None);
        }
        let mut fqn = node.fqn.clone();
        fqn.push(name.clone());
        Ok(Some(UnitTest {
            unique_id: format!("unit_test.{}.{model}.{name}", self.file.name),
            package_name: self.file.name.clone(),
            fqn,
            depends_on: DependsOn { nodes: vec![model_id.clone()], macros: Vec::new() },
            model,
            model_id,
            original_file_path: yaml.at().file,
            line: yaml.line(),
            description: yaml.opt_text("description")?.unwrap_or_default(),
            given,
            expect: self.rows(expect)?,
            overrides: overrides(yaml, &place)?,
            tags: of("tags").map_or(Ok(Vec::new()), |tags| tags.texts("tags"))?,
            meta: of("meta").map_or(Ok(Map::new()), |meta| meta.object("meta"))?,
            enabled: true,
            name,
        }))
    }

    fn input(&self, yaml: &Yaml, place: &str) -> Result<InputName> {
        let text = yaml.need_text("input", &format!("`given` of {place}"))?;
        let at = yaml.get("input").unwrap_or(yaml).at();
        if text.trim() == "this" {
            return Ok(InputName::This);
        }
        let scope = std::sync::Arc::new(self.scope(&at.file));
        self.engine.eval(text.trim(), &scope).map_err(|mut error| {
            error.at = Some(at.clone());
            error
        })?;
        let record = std::mem::take(&mut *scope.record());
        let links = link::Links::new(&self.manifest, &self.file.name);
        match (record.refs.first(), record.sources.first()) {
            (Some(call), _) => {
                let call = RefCall { name: call.name.clone(), package: call.package.clone() };
                links.find_ref(&call).map(InputName::Ref).map_err(|fault| fault.at(at))
            }
            (None, Some((source, table))) => links
                .find_source(source, table)
                .map(InputName::Source)
                .map_err(|fault| fault.at(at)),
            (None, None) => {
                let value = yaml.get("input").unwrap_or(yaml);
                Err(value.wrong("input", "`ref('…')`, `source('…', '…')` or `this`"))
            }
        }
    }

    fn rows(&self, yaml: &Yaml) -> Result<Rows> {
        let format = yaml.opt_text("format")?.unwrap_or_else(|| "dict".into());
        let fixture = match yaml.opt_text("fixture")? {
            Some(name) => Some(self.fixture(&name, &format, yaml)?),
            None => None,
        };
        let text = || -> Result<String> {
            match (&fixture, yaml.get("rows")) {
                (Some(text), _) => Ok(text.clone()),
                (None, Some(rows)) => rows.text("rows"),
                (None, None) => Ok(String::new()),
            }
        };
        match format.as_str() {
            "dict" => {
                let rows = yaml.get("rows").map_or(Ok(&[][..]), |rows| rows.list("rows"))?;
                rows.iter().map(|row| row.object("rows")).collect::<Result<_>>().map(Rows::Dict)
            }
            "csv" => Ok(Rows::Csv(text()?)),
            "sql" => Ok(Rows::Sql(text()?)),
            _ => {
                let at = yaml.get("format").unwrap_or(yaml);
                Err(at.wrong("format", "one of `dict`, `csv`, `sql`"))
            }
        }
    }

    fn fixture(&self, name: &str, format: &str, yaml: &Yaml) -> Result<String> {
        let roots: Vec<PathBuf> =
            self.file.test_paths.iter().map(|path| path.join("fixtures")).collect();
        let all = files::list(self.dir, &roots, &[format])?;
        let Some(file) = all.iter().find(|file| files::stem(file) == name) else {
            let stems: Vec<String> = all.iter().map(|file| files::stem(file)).collect();
            let nearest = nearest(name, stems.iter().map(String::as_str));
            let at = yaml.get("fixture").unwrap_or(yaml).at();
            let fault =
                Fault::UnknownName { what: "fixture", name: name.into(), nearest, known: stems };
            return Err(fault.at(at));
        };
        files::read(self.dir, file)
    }
}

fn overrides(yaml: &Yaml, place: &str) -> Result<Overrides> {
    let Some(yaml) = yaml.get("overrides") else { return Ok(Overrides::default()) };
    yaml.only_keys(&format!("`overrides` of {place}"), &[&["vars", "macros", "env_vars"]])?;
    let object = |key: &str| yaml.get(key).map_or(Ok(Map::new()), |value| value.object(key));
    let mut env_vars = BTreeMap::new();
    if let Some(all) = yaml.get("env_vars") {
        for entry in all.map("env_vars")? {
            env_vars.insert(entry.key.clone(), entry.value.text(&entry.key)?);
        }
    }
    Ok(Overrides { vars: object("vars")?, macros: object("macros")?, env_vars })
}
