//! The manifest: everything the project holds, and who needs whom.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
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
        todo!()
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        todo!("{path:?}")
    }

    /// Reads a `manifest.json` that [`Manifest::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self> {
        todo!("{path:?}")
    }
}
