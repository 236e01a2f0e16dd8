//! Questions to a workspace that change no table: queries, a node's first rows, compiled SQL.

use std::collections::BTreeSet;

use clicktrail_engine::datafusion::{Embedded, Session};
#[cfg(feature = "bigquery")]
use clicktrail_project::Adapter;
use clicktrail_project::{AdapterRelations, CompileContext, ResourceType, SelectArgs};

use super::{CompiledNode, QueryResult, ShowWhat, Workspace};
use crate::artifacts;
use crate::catalog::{self, Catalog};
use crate::error::{PipelineError, Result};
use crate::feeds::Feeds;

impl Workspace {
    /// Runs a read-only query over all relations of the project.
    ///
    /// # Errors
    /// SQL faults, located in the query's own text.
    pub fn query(&self, sql: &str) -> Result<QueryResult> {
        #[cfg(feature = "bigquery")]
        if self.project.target.adapter == Adapter::Bigquery {
            return crate::remote::query(self, sql);
        }
        let session = self.session_of(&self.engine()?, sql)?;
        let (schema, batches) = session.query(sql).map_err(crate::problem::of_query)?;
        Ok(QueryResult { schema, batches })
    }

    /// What a query costs, step by step, after running it.
    ///
    /// # Errors
    /// As [`Workspace::query`].
    pub fn analyze(&self, sql: &str) -> Result<String> {
        Ok(self.session_of(&self.engine()?, sql)?.analyze(sql)?)
    }

    /// Missing export files are no reason to refuse a query on tables.
    fn lenient_feeds(&self) -> Feeds {
        Feeds::open(&self.project).unwrap_or_default()
    }

    /// A session with the relations that a text names.
    pub(crate) fn session_of(&self, engine: &Embedded, text: &str) -> Result<Session> {
        let feeds = self.lenient_feeds();
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        self.session_for(engine, &catalog, text)
    }

    /// A session with every relation whose name stands in the text; planning the others would be wasted.
    fn session_for(&self, engine: &Embedded, catalog: &Catalog<'_>, sql: &str) -> Result<Session> {
        let session = engine.session()?;
        let text = sql.to_lowercase();
        let mut known = BTreeSet::new();
        let manifest = &self.project.manifest;
        for (id, source) in &manifest.sources {
            if text.contains(&source.name.to_lowercase()) && Feeds::name_of(source).is_some() {
                catalog.register(&session, id, &mut known)?;
            }
        }
        for (id, node) in &manifest.nodes {
            let relation = matches!(node.resource_type, ResourceType::Model | ResourceType::Seed);
            if !relation || !text.contains(&node.alias.to_lowercase()) {
                continue;
            }
            if Catalog::is_stored(node) && self.warehouse.snapshot(&node.alias)?.is_none() {
                // Named by chance, or not built yet: only the second shows, and the engine says so.
                if catalog::names(sql, &node.alias) {
                    catalog.register(&session, id, &mut known)?;
                }
                continue;
            }
            catalog.register(&session, id, &mut known)?;
        }
        // Tables beside the project: kept failures of tests, rejected rows.
        for name in self.other_tables()? {
            if text.contains(&name.to_lowercase())
                && let Some(table) = self.warehouse.snapshot(&name)?
            {
                session.add_table(&name, &table)?;
            }
        }
        Ok(session)
    }

    fn other_tables(&self) -> Result<Vec<String>> {
        let named: BTreeSet<&str> = self
            .project
            .manifest
            .nodes
            .values()
            .filter(|node| node.resource_type != ResourceType::Test)
            .map(|node| node.alias.as_str())
            .collect();
        Ok(self
            .warehouse
            .tables()?
            .into_iter()
            .filter(|name| !named.contains(name.as_str()))
            .collect())
    }

    /// First rows of a model, test or `--inline` Jinja-SQL.
    ///
    /// # Errors
    /// As [`Workspace::query`].
    pub fn show(&self, what: ShowWhat<'_>, limit: Option<usize>) -> Result<QueryResult> {
        #[cfg(feature = "bigquery")]
        if self.project.target.adapter == Adapter::Bigquery {
            return crate::remote::show(self, what, limit);
        }
        let (engine, feeds) = (self.engine()?, self.lenient_feeds());
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
        let (session, sql) = match what {
            ShowWhat::Inline(text) => {
                let sql = catalog.compile_text(text)?.sql;
                (self.session_for(&engine, &catalog, &sql)?, sql)
            }
            ShowWhat::Node(id) => {
                let session = engine.session()?;
                let mut known = BTreeSet::new();
                let node = catalog.node(id).ok_or_else(|| PipelineError::Setting {
                    message: format!("`{id}` can't be shown"),
                    hint: Some("name a model, a seed or a data test".into()),
                })?;
                if node.resource_type == ResourceType::Seed {
                    catalog.register(&session, id, &mut known)?;
                    let sql = format!("select * from {}", catalog::quoted(&node.alias));
                    (session, sql)
                } else {
                    catalog.register_parents(&session, id, &mut known)?;
                    if let Some(this) = self.warehouse.snapshot(&node.alias)? {
                        session.add_table(&node.alias, &this)?;
                    }
                    (session, catalog.compile(node)?.sql)
                }
            }
        };
        let (schema, batches) =
            session.query(&format!("select * from (\n{sql}\n) as shown{limit}"))?;
        Ok(QueryResult { schema, batches })
    }

    /// Compiles the selected nodes into `target/compiled/`.
    ///
    /// # Errors
    /// The first fault.
    pub fn compile(&self, select: &SelectArgs) -> Result<Vec<CompiledNode>> {
        let relations = AdapterRelations(self.project.target.adapter);
        let context = CompileContext::new(&relations);
        let selected = self.project.select(select)?;
        let mut compiled = Vec::new();
        for id in self.project.manifest.order() {
            let Some(node) =
                self.project.manifest.nodes.get(&id).filter(|_| selected.contains(&id))
            else {
                continue;
            };
            if !matches!(node.resource_type, ResourceType::Model | ResourceType::Test) {
                continue;
            }
            let sql = self.project.compile(node, &context)?.sql;
            let path = artifacts::compiled_path(&self.project, node);
            artifacts::write(&self.project.dir.join(&path), &sql)?;
            compiled.push(CompiledNode { unique_id: id, name: node.name.clone(), sql, path });
        }
        self.project.manifest.write(&artifacts::target_dir(&self.project).join("manifest.json"))?;
        Ok(compiled)
    }
}
