//! A folder of dbt-convention SQL and YAML → a manifest: configuration, Jinja, the graph of nodes,
//! selectors. Knows nothing of engines: the caller says how relations are named
//! ([`Relations`]) and runs the SQL.
//!
//! ```no_run
//! use clicktrail_project::{AdapterRelations, CompileContext, LoadOptions, Project, SelectArgs};
//!
//! # fn main() -> clicktrail_project::Result<()> {
//! let project = Project::load(&LoadOptions { project_dir: "demo".into(), ..Default::default() })?;
//! let args = SelectArgs { select: vec!["+fct_credits".into()], ..Default::default() };
//! let selected = project.select(&args)?;
//! let relations = AdapterRelations(project.target.adapter);
//! for id in project.manifest.order().iter().filter(|id| selected.contains(*id)) {
//!     if let Some(node) = project.manifest.nodes.get(id) {
//!         let compiled = project.compile(node, &CompileContext::new(&relations))?;
//!         assert!(!compiled.sql.is_empty());
//!     }
//! }
//! # Ok(()) }
//! ```

// A test may panic.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod compile;
mod config;
mod ctes;
mod error;
mod hint;
mod jinja;
mod layers;
mod load;
mod manifest;
mod node;
mod profile;
mod project;
mod relations;
mod rows;
mod select;
mod yaml;

pub use compile::{CompileContext, Compiled, LineMap, Relations};
pub use config::{
    IncrementalStrategy, Materialized, NodeConfig, OnSchemaChange, PartitionBy, Severity,
};
pub use error::{ErrorKind, Fault, Location, ProjectError, Result};
pub use manifest::{Manifest, Metadata};
pub use node::{
    Checksum, Column, DependsOn, Freshness, Given, InputName, Macro, Node, Overrides, Period,
    RefCall, ResourceType, Rows, Source, TestMetadata, UnitTest,
};
pub use profile::{Adapter, Target};
pub use project::{LoadOptions, Project};
pub use relations::AdapterRelations;
pub use select::SelectArgs;
