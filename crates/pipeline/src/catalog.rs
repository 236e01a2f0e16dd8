//! What SQL can name: the project's relations, and how each becomes readable in a session.

use std::collections::{BTreeMap, BTreeSet};

use clicktrail_engine::datafusion::Session;
use clicktrail_project::{
    Adapter, AdapterRelations, CompileContext, Compiled, Materialized, Node, Project, Relations,
    ResourceType, Source,
};

use crate::error::{PipelineError, Result};
use crate::feeds::Feeds;
use crate::fingerprint;
use crate::run::order::ancestors;
use crate::warehouse::Warehouse;

/// Compiles nodes and makes them readable.
pub(crate) struct Catalog<'a> {
    pub(crate) project: &'a Project,
    pub(crate) warehouse: &'a Warehouse,
    pub(crate) feeds: &'a Feeds,
    /// Rebuild incremental models from nothing.
    pub(crate) full_refresh: bool,
    /// Ephemeral models by unique id: named like tables, as a session can hold them.
    ephemeral: BTreeMap<String, String>,
}

impl Relations for Catalog<'_> {
    fn relation(&self, node: &Node) -> String {
        AdapterRelations(Adapter::Clicktrail).relation(node)
    }

    fn source(&self, source: &Source) -> String {
        AdapterRelations(Adapter::Clicktrail).source(source)
    }

    fn is_incremental(&self, node: &Node) -> bool {
        let refresh = node.config.full_refresh.unwrap_or(self.full_refresh);
        node.config.materialized == Materialized::Incremental
            && !refresh
            && self.warehouse.snapshot(&node.alias).is_ok_and(|table| table.is_some())
    }
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(
        project: &'a Project,
        warehouse: &'a Warehouse,
        feeds: &'a Feeds,
        full_refresh: bool,
    ) -> Self {
        let ephemeral = project
            .manifest
            .nodes
            .values()
            .filter(|node| node.config.materialized == Materialized::Ephemeral)
            .map(|node| (node.unique_id.clone(), format!("\"{}\"", node.alias)))
            .collect();
        Self { project, warehouse, feeds, full_refresh, ephemeral }
    }

    fn context(&self) -> CompileContext<'_> {
        CompileContext { relations: self, names: Some(&self.ephemeral), overrides: None }
    }

    pub(crate) fn compile(&self, node: &Node) -> Result<Compiled> {
        Ok(self.project.compile(node, &self.context())?)
    }

    pub(crate) fn compile_text(&self, text: &str) -> Result<Compiled> {
        Ok(self.project.compile_text(text, None, &self.context())?)
    }

    /// SQL for each relation other than tables: how unit tests name things is up to the caller.
    pub(crate) fn compile_with(
        &self,
        node: &Node,
        names: &BTreeMap<String, String>,
        overrides: &clicktrail_project::Overrides,
    ) -> Result<Compiled> {
        let mut all = self.ephemeral.clone();
        all.extend(names.clone());
        let context =
            CompileContext { relations: self, names: Some(&all), overrides: Some(overrides) };
        Ok(self.project.compile(node, &context)?)
    }

    pub(crate) fn node(&self, id: &str) -> Option<&'a Node> {
        self.project.manifest.nodes.get(id)
    }

    /// Parents of a node that are relations.
    pub(crate) fn parents(&self, id: &str) -> &'a [String] {
        self.project.manifest.parent_map.get(id).map_or(&[], Vec::as_slice)
    }

    /// Everything above a node.
    pub(crate) fn ancestors(&self, id: &str) -> BTreeSet<String> {
        ancestors(&self.project.manifest, id)
    }

    /// Whether a node keeps rows of its own.
    pub(crate) fn is_stored(node: &Node) -> bool {
        match node.resource_type {
            ResourceType::Seed => true,
            ResourceType::Model => {
                matches!(node.config.materialized, Materialized::Table | Materialized::Incremental)
            }
            _ => false,
        }
    }

    /// Makes what a node reads readable, views under it included; names in `known` are there already.
    ///
    /// # Errors
    /// A table that was never built, a view that does not compile.
    pub(crate) fn register_parents(
        &self,
        session: &Session,
        id: &str,
        known: &mut BTreeSet<String>,
    ) -> Result<()> {
        for parent in self.parents(id) {
            self.register(session, parent, known)?;
        }
        Ok(())
    }

    /// Makes one relation readable; see [`Catalog::register_parents`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn register(
        &self,
        session: &Session,
        id: &str,
        known: &mut BTreeSet<String>,
    ) -> Result<()> {
        if !known.insert(id.to_owned()) {
            return Ok(());
        }
        if let Some(source) = self.project.manifest.sources.get(id) {
            let Some(name) = Feeds::name_of(source) else {
                return Err(unknown_source(source));
            };
            session.add_feed(&name, self.feeds.whole(&name), None)?;
            return Ok(());
        }
        let Some(node) = self.node(id) else { return Ok(()) };
        if Self::is_stored(node) {
            return match self.warehouse.snapshot(&node.alias)? {
                Some(table) => Ok(session.add_table(&node.alias, &table)?),
                None => Err(not_built(node)),
            };
        }
        self.register_parents(session, id, known)?;
        let compiled = self.compile(node)?;
        session.add_view(&node.alias, &compiled.sql).map_err(|error| {
            let error = PipelineError::from(error);
            let path = node.original_file_path.clone();
            let compiled_path = crate::artifacts::compiled_path(self.project, node);
            PipelineError::Located(Box::new(crate::problem::of_node(
                &error,
                &path,
                Some((&compiled, compiled_path)),
            )))
        })
    }

    /// Hash of all SQL and settings that a node's rows depend on, down to the next tables.
    ///
    /// # Errors
    /// A model that does not compile.
    pub(crate) fn fingerprint(&self, node: &Node) -> Result<String> {
        let mut texts = vec![env!("CARGO_PKG_VERSION").to_owned()];
        let config = serde_json::json!({
            "materialized": node.config.materialized, "unique_key": node.config.unique_key,
            "partition_by": node.config.partition_by, "cluster_by": node.config.cluster_by,
            "live": node.config.meta.get("live"),
        });
        texts.push(config.to_string());
        let mut open = vec![node];
        let mut seen = BTreeSet::new();
        while let Some(node) = open.pop() {
            texts.push(self.compile(node)?.sql);
            for parent in self.parents(&node.unique_id) {
                if let Some(parent) = self.node(parent)
                    && !Self::is_stored(parent)
                    && seen.insert(parent.unique_id.clone())
                {
                    open.push(parent);
                }
            }
        }
        Ok(fingerprint::of(texts.iter().map(String::as_str)))
    }

    /// Tables that a node reads, views looked through, by name.
    pub(crate) fn stored_inputs(&self, id: &str) -> BTreeMap<String, &'a Node> {
        let mut inputs = BTreeMap::new();
        for parent in self.parents(id) {
            match self.node(parent) {
                Some(node) if Self::is_stored(node) => {
                    inputs.insert(node.alias.clone(), node);
                }
                Some(node) => inputs.extend(self.stored_inputs(&node.unique_id)),
                None => {}
            }
        }
        inputs
    }

    /// Feeds that a node reads, views looked through, by name.
    pub(crate) fn feed_inputs(&self, id: &str) -> BTreeSet<String> {
        let mut inputs = BTreeSet::new();
        for parent in self.parents(id) {
            if let Some(source) = self.project.manifest.sources.get(parent) {
                inputs.extend(Feeds::name_of(source));
            } else if let Some(node) = self.node(parent)
                && !Self::is_stored(node)
            {
                inputs.extend(self.feed_inputs(&node.unique_id));
            }
        }
        inputs
    }
}

/// The key by which a model says that it can be computed (`meta: {live: {key: …}}`).
pub(crate) fn live_key(node: &Node) -> Option<&str> {
    node.config.meta.get("live")?.get("key")?.as_str()
}

/// A name as the embedded engine's SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text of SQL holds a name as a word.
pub(crate) fn names(sql: &str, name: &str) -> bool {
    sql.split(|char: char| !char.is_alphanumeric() && char != '_')
        .any(|word| word.to_lowercase() == name.to_lowercase())
}

fn unknown_source(source: &Source) -> PipelineError {
    PipelineError::Setting {
        message: format!("source `{}.{}` has no rows that the embedded engine can read", source.source_name, source.name),
        hint: Some("it reads `ga4.events`, `ga4.events_intraday` and `live.events_stream`; load other data as a seed".into()),
    }
}

fn not_built(node: &Node) -> PipelineError {
    PipelineError::Setting {
        message: format!("`{}` has not been built yet", node.name),
        hint: Some(format!("run `clicktrail build --select +{}`", node.name)),
    }
}
