//! `state:` and `result:`: what differs from an earlier run.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;

use super::methods::known_word;
use super::parse::Criterion;
use crate::error::{Fault, Location, Result};
use crate::manifest::Manifest;
use crate::node::{Node, ResourceType};

/// Configuration that says nothing about the result.
const QUIET: [&str; 4] = ["tags", "meta", "severity", "enabled"];

/// The earlier artifacts, read when first needed.
pub(crate) struct State {
    path: Option<PathBuf>,
    earlier: OnceCell<Manifest>,
}

impl State {
    /// The artifacts in a folder, or beside a `manifest.json`.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, earlier: OnceCell::new() }
    }

    fn file(&self, name: &str, criterion: &Criterion) -> Result<PathBuf> {
        let needs = "`--state` with the folder of an earlier run";
        let spec = criterion.text.clone();
        let path = self.path.as_ref().ok_or(Fault::SelectorNeeds { spec, needs })?;
        if path.extension().is_some_and(|end| end == "json") {
            return Ok(path.with_file_name(name));
        }
        Ok(path.join(name))
    }

    fn earlier(&self, criterion: &Criterion) -> Result<&Manifest> {
        if let Some(manifest) = self.earlier.get() {
            return Ok(manifest);
        }
        let manifest = Manifest::read(&self.file("manifest.json", criterion)?)?;
        Ok(self.earlier.get_or_init(|| manifest))
    }

    /// `state:new`, `state:old`, `state:modified[.body|.configs|…]`, `state:unmodified`.
    pub(crate) fn modified(
        &self,
        now: &Manifest,
        criterion: &Criterion,
    ) -> Result<BTreeSet<String>> {
        known_word(
            criterion,
            &[
                "new",
                "old",
                "unmodified",
                "modified",
                "modified.body",
                "modified.configs",
                "modified.macros",
                "modified.relation",
                "modified.persisted_descriptions",
            ],
        )?;
        let then = self.earlier(criterion)?;
        let macros: BTreeSet<&str> = now
            .macros
            .iter()
            .filter(|(id, one)| {
                then.macros.get(*id).is_none_or(|old| old.macro_sql.trim() != one.macro_sql.trim())
            })
            .map(|(id, _)| id.as_str())
            .collect();
        let nodes = now.nodes.values().map(|node| {
            let old = then.nodes.get(&node.unique_id);
            (&node.unique_id, old.is_none(), old.map(|old| changes(old, node, &macros)))
        });
        let sources = now.sources.values().map(|source| {
            let old = then.sources.get(&source.unique_id);
            let relation = old.map(|old| {
                let same = (&old.database, &old.schema, &old.identifier)
                    == (&source.database, &source.schema, &source.identifier);
                let configs = old.config != source.config
                    || old.freshness != source.freshness
                    || old.loaded_at_field != source.loaded_at_field;
                Changes { relation: !same, configs, ..Changes::default() }
            });
            (&source.unique_id, old.is_none(), relation)
        });
        let units = now.unit_tests.values().map(|test| {
            let old = then.unit_tests.get(&test.unique_id);
            let body = old.is_some_and(|old| {
                (&old.given, &old.expect, &old.overrides)
                    != (&test.given, &test.expect, &test.overrides)
            });
            (&test.unique_id, old.is_none(), old.map(|_| Changes { body, ..Changes::default() }))
        });
        let keep = |is_new: bool, changes: Changes| match criterion.value.as_str() {
            "new" => is_new,
            "old" => !is_new,
            "unmodified" => !is_new && !changes.any(),
            "modified" => is_new || changes.any(),
            "modified.body" => is_new || changes.body,
            "modified.configs" => is_new || changes.configs,
            "modified.macros" => is_new || changes.macros,
            "modified.relation" => is_new || changes.relation,
            _ => is_new || changes.descriptions,
        };
        let all = nodes.chain(sources).chain(units);
        Ok(all
            .filter(|(_, is_new, changes)| keep(*is_new, changes.unwrap_or_default()))
            .map(|(id, _, _)| id.clone())
            .collect())
    }

    /// The unique ids that ended in this way in the earlier run.
    pub(crate) fn results(&self, criterion: &Criterion) -> Result<BTreeSet<String>> {
        known_word(criterion, &["error", "fail", "warn", "success", "pass", "skipped"])?;
        let path = self.file("run_results.json", criterion)?;
        let text = std::fs::read(&path).map_err(|source| Fault::Io {
            verb: "read",
            path: path.clone(),
            source,
        })?;
        let results: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|source| Fault::Artifact { source }.at(Location::file(path)))?;
        let all = results.get("results").and_then(|list| list.as_array());
        Ok(all
            .into_iter()
            .flatten()
            .filter(|one| one.get("status").and_then(|s| s.as_str()) == Some(&criterion.value))
            .filter_map(|one| Some(one.get("unique_id")?.as_str()?.to_owned()))
            .collect())
    }
}

/// In what respects a node differs.
#[derive(Debug, Clone, Copy, Default)]
struct Changes {
    body: bool,
    configs: bool,
    macros: bool,
    relation: bool,
    descriptions: bool,
}

impl Changes {
    fn any(self) -> bool {
        self.body || self.configs || self.macros || self.relation
    }
}

fn changes(old: &Node, node: &Node, macros: &BTreeSet<&str>) -> Changes {
    let loud = |node: &Node| {
        let mut config = node.unrendered_config.clone();
        config.retain(|key, _| !QUIET.contains(&key.as_str()));
        config
    };
    let is_test = node.resource_type == ResourceType::Test;
    let place = |node: &Node| (node.database.clone(), node.schema.clone(), node.alias.clone());
    Changes {
        body: old.checksum != node.checksum || old.test_metadata != node.test_metadata,
        configs: loud(old) != loud(node),
        macros: node.depends_on.macros.iter().any(|id| macros.contains(id.as_str())),
        relation: !is_test && place(old) != place(node),
        descriptions: old.description != node.description || old.columns != node.columns,
    }
}
