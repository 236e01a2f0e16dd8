//! What other vars would change: the affected models are built with them into a folder of their own, and the
//! daily marts of both are compared. Nothing of the warehouse is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use clicktrail_engine::delta::Snapshot;
use clicktrail_project::{Materialized, ResourceType};
use serde_json::{Map, Value};

use crate::catalog::{Catalog, quoted};
use crate::error::{PipelineError, Result};
use crate::feeds::Feeds;
use crate::report::Reporter;
use crate::warehouse::BuildNote;
use crate::workspace::{QueryResult, RunRequest, Verb, Workspace};

/// The mart that is compared.
const DAILY: &str = "mart_attribution_daily";

/// What to change, and how to show what moves.
#[derive(Debug, Clone, Default)]
pub struct WhatIfRequest {
    /// Vars with their other values.
    pub set: Map<String, Value>,
    /// Column of the daily mart by which sums are shown: `channel`, `source`, `medium`, `campaign`.
    pub by: String,
    /// Rows where nothing moves, too.
    pub all: bool,
}

/// What would move.
#[derive(Debug)]
pub struct WhatIfReport {
    /// Models whose rows could be others, in the order of the graph.
    pub affected: Vec<String>,
    /// By attribution model, key event, the column asked for and currency.
    pub rows: QueryResult,
}

fn refused(message: String, hint: &str) -> PipelineError {
    PipelineError::Setting { message, hint: Some(hint.to_owned()) }
}

impl Workspace {
    /// Builds what depends on the vars with their other values, beside the warehouse, and compares.
    ///
    /// # Errors
    /// An unknown var; tables that are not built or not up to date; models that fail.
    pub fn what_if(
        &self,
        request: &WhatIfRequest,
        reporter: &dyn Reporter,
    ) -> Result<WhatIfReport> {
        self.check_vars(&request.set)?;
        let before = self.warehouse.snapshot(DAILY)?.ok_or_else(|| {
            refused(format!("`{DAILY}` has not been built yet"), "run `clicktrail build` first")
        })?;
        let mut settings = self.settings.clone();
        settings.load.vars.extend(request.set.clone());
        let mut other = Self::open(settings, Arc::clone(&self.clock))?;
        let affected = self.affected(&other)?;
        let scratch = Scratch::new(self.warehouse.spill_dir()?.join("what-if"));
        other.project.target_path = scratch.dir.join("target");
        other.warehouse = self.warehouse.beside(&scratch.dir, self.stored_except(&affected));
        let versions = self.versions(&affected)?;
        let after = if affected.is_empty() {
            before.clone()
        } else {
            other.run_selected(&affected, &RunRequest::new(Verb::Run), reporter)?.sound()?;
            // Looked up in the folder of its own, or in the warehouse when nothing above it moves.
            other.warehouse.snapshot(DAILY)?.unwrap_or_else(|| before.clone())
        };
        if self.versions(&affected)? != versions {
            return Err(refused(
                "tables were built anew while this was computed".into(),
                "run it again when nothing builds",
            ));
        }
        let rows = self.moved(request, &before, &after)?;
        let names = self.project.manifest.order().into_iter().filter(|id| affected.contains(id));
        let name = |id: String| Some(self.project.manifest.nodes.get(&id)?.name.clone());
        Ok(WhatIfReport { affected: names.filter_map(name).collect(), rows })
    }

    fn check_vars(&self, set: &Map<String, Value>) -> Result<()> {
        let Some(unknown) = set.keys().find(|name| !self.project.vars.contains_key(*name)) else {
            return Ok(());
        };
        let known = self.project.vars.keys();
        let near = known
            .map(|name| (strsim::damerau_levenshtein(name, unknown), name))
            .min()
            .filter(|(distance, _)| *distance <= unknown.len() / 3 + 1);
        let hint = match near {
            Some((_, name)) => format!("did you mean `{name}`?"),
            None => "`vars` in dbt_project.yml lists them".to_owned(),
        };
        Err(refused(format!("the project has no var `{unknown}`"), &hint))
    }

    /// Models whose SQL is another one there, and all that reads them.
    fn affected(&self, other: &Self) -> Result<BTreeSet<String>> {
        let (feeds, other_feeds) = (Feeds::default(), Feeds::default());
        let here = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        let there = Catalog::new(&other.project, &other.warehouse, &other_feeds, false);
        let mut affected = BTreeSet::new();
        let mut stale = None;
        for id in self.project.manifest.order() {
            let (Some(node), Some(other)) = (here.node(&id), there.node(&id)) else { continue };
            if node.resource_type != ResourceType::Model {
                continue;
            }
            let reads_moved = here.parents(&id).iter().any(|parent| affected.contains(parent));
            if !reads_moved && here.compile(node)?.sql == there.compile(other)?.sql {
                continue;
            }
            affected.insert(id.clone());
            // Compared with tables of other SQL, what moves would not be the vars' doing alone.
            if node.config.materialized == Materialized::Table
                && let Some(table) = self.warehouse.snapshot(&node.alias)?
                && BuildNote::of(&table).fingerprint != here.fingerprint(node)?
            {
                stale.get_or_insert_with(|| node.name.clone());
            }
        }
        match stale {
            None => Ok(affected),
            Some(name) => Err(refused(
                format!("`{name}` was built from other SQL or vars than the project has now"),
                "run `clicktrail build` first, so that the comparison shows only what the vars change",
            )),
        }
    }

    /// Names of the tables that can be read as they are.
    fn stored_except(&self, affected: &BTreeSet<String>) -> BTreeSet<String> {
        let nodes = self.project.manifest.nodes.values();
        nodes
            .filter(|node| Catalog::is_stored(node) && !affected.contains(&node.unique_id))
            .map(|node| node.alias.clone())
            .collect()
    }

    fn versions(&self, affected: &BTreeSet<String>) -> Result<BTreeMap<String, Option<u64>>> {
        let mut names = self.stored_except(affected);
        names.insert(DAILY.to_owned());
        names
            .into_iter()
            .map(|name| Ok((name.clone(), self.warehouse.table(&name).version()?)))
            .collect()
    }

    fn moved(
        &self,
        request: &WhatIfRequest,
        before: &Snapshot,
        after: &Snapshot,
    ) -> Result<QueryResult> {
        let session = self.engine()?.session()?;
        session.add_table("base_daily", before)?;
        session.add_table("other_daily", after)?;
        let by = quoted(&request.by);
        let sums = |table: &str| {
            format!(
                "select attribution_model, event_name, {by}, currency, \
                 sum(conversions) as conversions, sum(revenue) as revenue from {table} \
                 group by attribution_model, event_name, {by}, currency"
            )
        };
        let columns = ["attribution_model", "event_name", by.as_str(), "currency"];
        let keys: Vec<String> = columns
            .iter()
            .map(|name| format!("coalesce(base.{name}, other.{name}) as {name}"))
            .collect();
        let same: Vec<String> = columns
            .iter()
            .map(|name| format!("(base.{name} is not distinct from other.{name})"))
            .collect();
        let measures = |name: &str| {
            let (now, other) =
                (format!("coalesce(base.{name}, 0)"), format!("coalesce(other.{name}, 0)"));
            format!("{now} as {name}, {other} as {name}_if, {other} - {now} as {name}_moved")
        };
        let filter = match request.all {
            true => "",
            false => "where conversions_moved <> 0 or revenue_moved <> 0",
        };
        let sql = format!(
            "select * from (select {}, {}, {} from ({}) as base full outer join ({}) as other on {}) \
             {filter} order by attribution_model, event_name, currency, abs(revenue_moved) desc, \
             abs(conversions_moved) desc, {by}",
            keys.join(", "),
            measures("conversions"),
            measures("revenue"),
            sums("base_daily"),
            sums("other_daily"),
            same.join(" and "),
        );
        let (schema, batches) = session.query(&sql)?;
        Ok(QueryResult { schema, batches })
    }
}

/// A folder that goes when it is not needed any more.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn new(dir: PathBuf) -> Self {
        Self { dir }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
