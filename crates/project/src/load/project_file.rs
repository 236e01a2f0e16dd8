//! `dbt_project.yml`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::files;
use crate::error::{Fault, Result};
use crate::layers;
use crate::yaml::{Data, Yaml};

/// Name of the file.
pub(crate) const FILE: &str = "dbt_project.yml";

/// Keys we read.
const KEYS: &[&str] = &[
    "name",
    "version",
    "profile",
    "model-paths",
    "seed-paths",
    "test-paths",
    "macro-paths",
    "target-path",
    "clean-targets",
    "vars",
    "models",
    "seeds",
    "data_tests",
    "tests",
    "sources",
    "unit_tests",
    "flags",
    "on-run-start",
    "on-run-end",
    "docs-paths",
];

/// Keys of dbt we know and do not use.
const TOLERATED: &[&str] = &[
    "config-version",
    "snapshot-paths",
    "analysis-paths",
    "asset-paths",
    "function-paths",
    "log-path",
    "packages-install-path",
    "snapshots",
    "exposures",
    "metrics",
    "semantic-models",
    "saved-queries",
    "functions",
    "quoting",
    "dispatch",
    "require-dbt-version",
    "query-comment",
    "packages",
    "restrict-access",
    "dbt-cloud",
    "analyses",
];

/// The settings of a project.
#[derive(Debug)]
pub(crate) struct ProjectFile {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) model_paths: Vec<PathBuf>,
    pub(crate) seed_paths: Vec<PathBuf>,
    pub(crate) test_paths: Vec<PathBuf>,
    pub(crate) macro_paths: Vec<PathBuf>,
    pub(crate) target_path: PathBuf,
    pub(crate) clean_targets: Vec<PathBuf>,
    pub(crate) vars: Map<String, Json>,
    pub(crate) flags: Map<String, Json>,
    pub(crate) on_run: (Vec<String>, Vec<String>),
    pub(crate) yaml: Yaml,
}

impl ProjectFile {
    /// Reads the file of a project folder.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        if !dir.join(FILE).is_file() {
            return Err(Fault::NoProject { dir: dir.to_owned() }.into());
        }
        let yaml = Yaml::parse(Path::new(FILE), &files::read(dir, Path::new(FILE))?)?;
        yaml.only_keys("`dbt_project.yml`", &[KEYS, TOLERATED])?;
        let name = yaml.need_text("name", "`dbt_project.yml`")?;
        let ok = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(ok) {
            let at = yaml.get("name").unwrap_or(&yaml);
            return Err(at.wrong("name", "letters, digits and underscores"));
        }
        let paths = |key: &str, default: &str| -> Result<Vec<PathBuf>> {
            match yaml.get(key) {
                Some(value) => Ok(value.texts(key)?.iter().map(PathBuf::from).collect()),
                None => Ok(vec![PathBuf::from(default)]),
            }
        };
        let texts = |key: &str| -> Result<Vec<String>> {
            yaml.get(key).map_or(Ok(Vec::new()), |value| value.texts(key))
        };
        let target_path = yaml.opt_text("target-path")?.unwrap_or_else(|| "target".into());
        let object = |key: &str| -> Result<Map<String, Json>> {
            yaml.get(key).map_or(Ok(Map::new()), |value| value.object(key))
        };
        Ok(Self {
            version: yaml.opt_text("version")?,
            profile: yaml.opt_text("profile")?,
            model_paths: paths("model-paths", "models")?,
            seed_paths: paths("seed-paths", "seeds")?,
            test_paths: paths("test-paths", "tests")?,
            macro_paths: paths("macro-paths", "macros")?,
            clean_targets: match yaml.get("clean-targets") {
                Some(value) => {
                    value.texts("clean-targets")?.into_iter().map(PathBuf::from).collect()
                }
                None => vec![PathBuf::from(&target_path)],
            },
            target_path: target_path.into(),
            vars: own_vars(object("vars")?, &name),
            flags: object("flags")?,
            on_run: (texts("on-run-start")?, texts("on-run-end")?),
            name,
            yaml,
        })
    }

    /// The configuration trees of a kind of node: `models`, `seeds`, `data_tests`, `sources`.
    pub(crate) fn trees(&self, kind: &str) -> Vec<&Yaml> {
        let old = (kind == "data_tests").then_some("tests");
        old.into_iter().chain([kind]).filter_map(|key| self.yaml.get(key)).collect()
    }

    /// Refuses unknown keys in all configuration trees.
    pub(crate) fn check_trees(&self) -> Result<()> {
        for kind in ["models", "seeds", "data_tests", "sources", "unit_tests"] {
            for tree in self.trees(kind) {
                check_tree(tree, kind)?;
            }
        }
        Ok(())
    }

    /// Folders of all kinds in which YAML files may stand.
    pub(crate) fn yaml_paths(&self) -> Vec<PathBuf> {
        [&self.model_paths, &self.seed_paths, &self.test_paths, &self.macro_paths]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }
}

/// Variables under the project's own name go before those of all packages.
fn own_vars(mut vars: Map<String, Json>, project: &str) -> Map<String, Json> {
    if let Some(Json::Object(own)) = vars.get(project).cloned() {
        vars.remove(project);
        vars.extend(own);
    }
    vars
}

/// A key of a configuration tree: a setting of this level, or a folder below it?
pub(crate) fn tree_setting(key: &str, value: &Yaml) -> Option<String> {
    if let Some(name) = key.strip_prefix('+') {
        return Some(layers::canonical(name));
    }
    let name = layers::canonical(key);
    let is_folder =
        matches!(value.data, Data::Map(_) | Data::Null) && !layers::holds_mapping(&name);
    (!is_folder).then_some(name)
}

fn check_tree(tree: &Yaml, kind: &str) -> Result<()> {
    for entry in tree.map(kind)? {
        match tree_setting(&entry.key, &entry.value) {
            None => check_tree(&entry.value, kind)?,
            Some(name) if layers::is_known(&name) => {}
            Some(name) => {
                let place = format!("`{kind}` in `dbt_project.yml`");
                let fault = layers::check(&name, &Json::Null, &place).err();
                return Err(fault.unwrap_or(Fault::Internal { detail: name }).at(entry.at()));
            }
        }
    }
    Ok(())
}
