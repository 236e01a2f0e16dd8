//! The manifest: everything the project holds, and who needs whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Fault, Location, Result};
use crate::node::{Macro, Node, ResourceType, Source, UnitTest};

/// Facts about the manifest itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Version of the writer.
    pub clicktrail_version: String,
    /// Project name.
    pub project_name: String,
    /// Adapter type of the target.
    pub adapter_type: String,
    /// Time of the run, RFC 3339, as the caller gave it.
    pub generated_at: String,
    /// Id of the run, as the caller gave it.
    pub invocation_id: String,
}

/// Everything the project holds. Field names are dbt's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// About the manifest.
    pub metadata: Metadata,
    /// Enabled models, seeds and data tests, by unique id.
    pub nodes: BTreeMap<String, Node>,
    /// Enabled source tables, by unique id.
    pub sources: BTreeMap<String, Source>,
    /// Macros, by unique id.
    pub macros: BTreeMap<String, Macro>,
    /// Enabled unit tests, by unique id.
    #[serde(default)]
    pub unit_tests: BTreeMap<String, UnitTest>,
    /// Disabled models, seeds and data tests, by unique id.
    #[serde(default)]
    pub disabled: BTreeMap<String, Node>,
    /// Who a node needs, directly.
    pub parent_map: BTreeMap<String, Vec<String>>,
    /// Who needs a node, directly.
    pub child_map: BTreeMap<String, Vec<String>>,
}

impl Manifest {
    /// The model or seed of this name.
    pub fn model(&self, name: &str) -> Option<&Node> {
        self.nodes.values().find(|node| {
            node.name == name
                && matches!(node.resource_type, ResourceType::Model | ResourceType::Seed)
        })
    }

    /// The source table.
    pub fn source(&self, source: &str, table: &str) -> Option<&Source> {
        self.sources.values().find(|one| one.source_name == source && one.name == table)
    }

    /// Unique ids of everything in the graph, parents before children; ties go by unique id.
    pub fn order(&self) -> Vec<String> {
        let mut waiting: BTreeMap<&str, usize> =
            self.parent_map.iter().map(|(id, parents)| (id.as_str(), parents.len())).collect();
        let mut ready: BTreeSet<&str> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(id) = ready.pop_first() {
            order.push(id.to_owned());
            for child in self.child_map.get(id).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(child.as_str()) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(child);
                    }
                }
            }
        }
        order
    }

    /// Builds `parent_map` and `child_map` from what each node needs.
    pub(crate) fn fill_maps(&mut self) {
        let mut parents: BTreeMap<String, Vec<String>> =
            self.sources.keys().map(|id| (id.clone(), Vec::new())).collect();
        for (id, node) in &self.nodes {
            parents.insert(id.clone(), node.depends_on.nodes.clone());
        }
        for (id, test) in &self.unit_tests {
            parents.insert(id.clone(), test.depends_on.nodes.clone());
        }
        let mut children: BTreeMap<String, Vec<String>> =
            parents.keys().map(|id| (id.clone(), Vec::new())).collect();
        for (id, needed) in &parents {
            for parent in needed {
                children.entry(parent.clone()).or_default().push(id.clone());
            }
        }
        self.parent_map = parents;
        self.child_map = children;
    }

    /// Writes `manifest.json`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|source| Fault::Artifact { source })?;
        let fail = |source| Fault::Io { verb: "write", path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        let draft = path.with_extension("json.tmp");
        std::fs::write(&draft, text).map_err(fail)?;
        std::fs::rename(&draft, path).map_err(fail)?;
        Ok(())
    }

    /// Reads a `manifest.json` that [`Manifest::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Fault::Io {
            verb: "read",
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text)
            .map_err(|source| Fault::Artifact { source }.at(Location::file(path)))
    }
}
