//! The YAML files beside the SQL: which entries they hold, which keys they may hold.

use std::path::Path;

use super::project_file::{self, ProjectFile};
use super::{Named, read_all};
use crate::error::{Fault, Location, Result};
use crate::yaml::Yaml;

/// Keys at the top of a file that we read.
const KEYS: &[&str] =
    &["version", "models", "sources", "seeds", "macros", "unit_tests", "data_tests"];

/// Keys of dbt we know and do not use.
const TOLERATED: &[&str] = &[
    "exposures",
    "metrics",
    "semantic_models",
    "saved_queries",
    "groups",
    "snapshots",
    "analyses",
    "functions",
    "anchors",
];

/// Keys of a model or seed.
pub(crate) const NODE_KEYS: &[&str] = &[
    "name",
    "description",
    "config",
    "columns",
    "tests",
    "data_tests",
    "meta",
    "tags",
    // Known to dbt, not used here.
    "docs",
    "access",
    "group",
    "constraints",
    "latest_version",
    "deprecation_date",
    "quote_columns",
    "versions",
    "time_spine",
    "arguments",
];

/// Keys of a column.
pub(crate) const COLUMN_KEYS: &[&str] = &[
    "name",
    "description",
    "data_type",
    "tests",
    "data_tests",
    "meta",
    "tags",
    "config",
    // Known to dbt, not used here.
    "quote",
    "constraints",
    "granularity",
    "policy_tags",
    "docs",
    "dimension",
    "entity",
];

/// All entries of all YAML files, by name, each with its place.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    pub(crate) models: Named<Yaml>,
    pub(crate) seeds: Named<Yaml>,
    pub(crate) macros: Named<Yaml>,
    pub(crate) singular: Named<Yaml>,
    pub(crate) sources: Vec<Yaml>,
    pub(crate) unit_tests: Vec<Yaml>,
}

impl Properties {
    /// Reads the YAML files of the project.
    pub(crate) fn read(dir: &Path, file: &ProjectFile) -> Result<Self> {
        let mut all = Self::default();
        for (path, text) in read_all(dir, &file.yaml_paths(), &["yml", "yaml"])? {
            if path.ends_with(project_file::FILE) {
                continue;
            }
            let yaml = Yaml::parse(&path, &text)?;
            yaml.only_keys("the properties file", &[KEYS, TOLERATED])?;
            let items = |key: &str| -> Result<Vec<Yaml>> {
                yaml.get(key).map_or(Ok(Vec::new()), |value| Ok(value.list(key)?.to_vec()))
            };
            for (what, key, into) in [
                ("model", "models", &mut all.models),
                ("seed", "seeds", &mut all.seeds),
                ("macro", "macros", &mut all.macros),
                ("data test", "data_tests", &mut all.singular),
            ] {
                for item in items(key)? {
                    insert(into, what, item)?;
                }
            }
            all.sources.extend(items("sources")?);
            all.unit_tests.extend(items("unit_tests")?);
        }
        Ok(all)
    }
}

fn insert(into: &mut Named<Yaml>, what: &'static str, yaml: Yaml) -> Result<()> {
    let name = yaml.need_text("name", what)?;
    yaml.only_keys(&format!("{what} `{name}`"), &[NODE_KEYS])?;
    if let Some(versions) = yaml.get("versions") {
        let what = "a model with `versions`".into();
        return Err(Fault::Unsupported { what }.at(versions.at()));
    }
    if let Some(first) = into.get(&name) {
        let first: Location = first.at();
        return Err(Fault::Duplicate { what: "description of", name, first }.at(yaml.at()));
    }
    into.insert(name, yaml);
    Ok(())
}
