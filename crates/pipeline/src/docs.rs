//! `docs generate`: manifest.json, catalog.json and a page with the graph.
//!
//! | room | in → out |
//! |---|---|
//! | `relations` | warehouse, views, feeds → columns, rows, bytes of each relation |
//! | `catalog` | those → `catalog.json`, in dbt's shape |
//! | `page` | those, the manifest, the last results → `index.html`, one file that needs nothing else |
//! | `types` | Arrow types → the words of SQL |

mod catalog;
mod page;
mod relations;
mod types;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clicktrail_project::{Adapter, AdapterRelations, CompileContext, ResourceType};

use crate::artifacts;
use crate::catalog::Catalog;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::feeds::Feeds;
use crate::workspace::Workspace;
use relations::Relations;
pub(crate) use types::sql_type;

/// Compiled SQL by unique id, or why there is none.
type CompiledTexts = BTreeMap<String, std::result::Result<String, String>>;

impl Workspace {
    /// Writes manifest.json, catalog.json and index.html into `target/`; gives the page's path.
    ///
    /// What is not built, or does not compile, has no columns and says why: documentation is most wanted
    /// when something is broken.
    ///
    /// # Errors
    /// Files that can't be written.
    pub fn generate_docs(&self) -> Result<PathBuf> {
        let feeds = Feeds::find(&self.project).unwrap_or_default();
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        let relations = match self.project.target.adapter {
            Adapter::Clicktrail => relations::find(&self.engine()?, &catalog),
            // Their warehouses are dbt's business; the page has graph, SQL and descriptions.
            Adapter::Duckdb | Adapter::Bigquery | Adapter::Postgres => Relations::default(),
        };
        let generated_at = rfc3339(self.clock.now_micros());
        let invocation_id = &self.settings.load.invocation_id;
        let target = artifacts::target_dir(&self.project);
        self.project.manifest.write(&target.join("manifest.json"))?;
        let document =
            catalog::document(&self.project.manifest, &relations, &generated_at, invocation_id);
        artifacts::write(&target.join("catalog.json"), &format!("{document:#}\n"))?;
        let data =
            page::data(&self.project, &relations, &self.compiled_texts(&catalog), &generated_at);
        let page = target.join("index.html");
        artifacts::write(&page, &page::html(&data))?;
        Ok(page)
    }

    /// SQL of all models and data tests as a build would run it.
    fn compiled_texts(&self, catalog: &Catalog<'_>) -> CompiledTexts {
        let adapter = self.project.target.adapter;
        let compile = |node| match adapter {
            Adapter::Clicktrail => catalog.compile(node),
            _ => {
                Ok(self.project.compile(node, &CompileContext::new(&AdapterRelations(adapter)))?)
            }
        };
        self.project
            .manifest
            .nodes
            .iter()
            .filter(|(_, node)| node.resource_type != ResourceType::Seed)
            .map(|(id, node)| {
                let sql =
                    compile(node).map(|compiled| compiled.sql).map_err(|error| error.to_string());
                (id.clone(), sql)
            })
            .collect()
    }
}
