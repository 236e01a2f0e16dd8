//! Copies of tables in BigQuery for a server of this machine: a folder of Delta tables, each with a note of the version
//! that it holds. Versions are asked for by `tables.get` and rows read by `tabledata.list`; neither costs anything, and
//! no query is run.
//!
//! All copies are of one moment: rows are read, then versions are asked for again, and only if none has changed are the
//! copies exchanged, while the folder's lock is held.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow::datatypes::SchemaRef;
use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Client, Fault, FaultKind, Table, TableId, arrow_schema};
use clicktrail_engine::delta::{
    Commit, DataFile, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};
use clicktrail_project::{Materialized, Node, Project};
use serde_json::{Value, json};

use super::{table_id, target};
use crate::artifacts::target_dir;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::dashboard::{CopySettings, Origin, Refreshed, TABLES};
use crate::error::{PipelineError, Result};
use crate::run::order::ancestors;
use crate::warehouse::Warehouse;
use crate::workspace::Workspace;

/// Folder of the copies in the folder `target`.
const FOLDER: &str = "bigquery";

/// Requests for versions under way at once.
const ASKERS: usize = 4;

/// How often rows are read anew when tables change meanwhile, before the next refresh tries again.
const ATTEMPTS: u32 = 3;

/// A build replaces one table after the other. Tables that look as if one were under way are taken all the same when
/// nothing has changed for this time: somebody has built some of them only. Milliseconds.
const SETTLED_AFTER: i64 = 10 * 60 * 1000;

/// The tables of a target, and how they get here.
pub(crate) struct Mirror {
    client: Client,
    /// Command that makes the tables.
    build: String,
    /// In the order of the graph.
    copied: Vec<Copied>,
    /// Everything else that is a table there, for its number of rows.
    others: Vec<(String, TableId)>,
    rows_max: u64,
    clock: Arc<dyn Clock>,
    rows: Mutex<BTreeMap<String, u64>>,
    doing: Mutex<String>,
}

/// A table that is copied.
struct Copied {
    name: String,
    id: TableId,
    /// Tables that it is made from.
    from: BTreeSet<String>,
}

/// What is known of the tables of one moment, by name.
struct Seen {
    copied: BTreeMap<String, Table>,
    others: BTreeMap<String, Table>,
}

/// Rows that were read and not shown yet.
struct Draft {
    base: Option<Snapshot>,
    schema: SchemaRef,
    files: Vec<DataFile>,
    version: String,
    rows: u64,
}

impl Mirror {
    /// Looks for the target's dataset. Copies go to a folder of their own below `target`.
    ///
    /// # Errors
    /// A target that makes no sense, no rights, no dataset; a table to copy that the project does not have.
    pub(crate) fn open(workspace: &Workspace, settings: &CopySettings) -> Result<Self> {
        let client = target::client(workspace)?;
        let project = &workspace.project;
        let build = format!("clicktrail build --target {}", project.target.name);
        let (home, dataset) = (&client.settings().project, &project.target.schema);
        if client.dataset(home, dataset)?.is_none() {
            let fault = format!("the dataset `{home}.{dataset}` does not exist");
            let hint = format!("`{build}` makes it, or name another one in profiles.yml");
            return Err(Fault::new(FaultKind::NotFound, fault).hinted(hint).into());
        }
        let id =
            |node: &Node| table_id(&client, node.database.as_deref(), &node.schema, &node.alias);
        let wanted: BTreeSet<&str> =
            TABLES.into_iter().chain(settings.also.iter().map(String::as_str)).collect();
        let (mut copied, mut others) = (Vec::<Copied>::new(), Vec::new());
        let mut ids = BTreeMap::new();
        for unique_id in project.manifest.order() {
            let Some(node) = project.manifest.nodes.get(&unique_id) else { continue };
            if !Catalog::is_stored(node) {
                continue;
            }
            ids.insert(unique_id.clone(), node.alias.clone());
            if !wanted.contains(node.alias.as_str()) {
                others.push((node.alias.clone(), id(node)));
                continue;
            }
            let above = ancestors(&project.manifest, &unique_id);
            let from = above.iter().filter_map(|parent| ids.get(parent).cloned()).collect();
            copied.push(Copied { name: node.alias.clone(), id: id(node), from });
        }
        if let Some(name) =
            wanted.into_iter().find(|name| !copied.iter().any(|table| table.name == *name))
        {
            return Err(no_table(project, name));
        }
        let (rows_max, clock) = (settings.rows_max, Arc::clone(&workspace.clock));
        let (rows, doing) = (Mutex::default(), Mutex::default());
        Ok(Self { client, build, copied, others, rows_max, clock, rows, doing })
    }

    /// Folder of the copies: one for each dataset.
    pub(crate) fn folder(&self, project: &Project) -> std::path::PathBuf {
        let settings = self.client.settings();
        let name: String = format!("{}.{}", settings.project, settings.dataset)
            .chars()
            .map(
                |char| {
                    if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '_' }
                },
            )
            .collect();
        target_dir(project).join(FOLDER).join(name)
    }

    fn tell(&self, text: String) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// What is known of tables, by name; those that do not exist are left out.
    fn ask(&self, tables: &[(&str, &TableId)]) -> Result<BTreeMap<String, Table>> {
        let part = tables.len().div_ceil(ASKERS).max(1);
        let found: Vec<Result<Vec<(String, Table)>>> = thread::scope(|scope| {
            let asked: Vec<_> = tables
                .chunks(part)
                .map(|part| {
                    scope.spawn(move || {
                        let mut found = Vec::new();
                        for (name, id) in part {
                            if let Some(table) = self.client.table(id)? {
                                found.push(((*name).to_owned(), table));
                            }
                        }
                        Ok(found)
                    })
                })
                .collect();
            let found = asked.into_iter().map(thread::ScopedJoinHandle::join);
            found
                .map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut all = BTreeMap::new();
        for found in found {
            all.extend(found?);
        }
        Ok(all)
    }

    fn see(&self) -> Result<Seen> {
        let copied = self.copied.iter().map(|table| (table.name.as_str(), &table.id));
        let others = self.others.iter().map(|(name, id)| (name.as_str(), id));
        let all: Vec<_> = copied.chain(others).collect();
        let is_copied = |name: &String| self.copied.iter().any(|table| table.name == *name);
        let (copied, others) = self.ask(&all)?.into_iter().partition(|(name, _)| is_copied(name));
        Ok(Seen { copied, others })
    }

    /// Why there is nothing to copy now, if so.
    ///
    /// # Errors
    /// A table that can't be copied.
    fn hindered(&self, seen: &Seen) -> Result<Option<Refreshed>> {
        let missing = self.copied.iter().filter(|table| !seen.copied.contains_key(&table.name));
        let missing: Vec<String> = missing.map(|table| table.name.clone()).collect();
        if !missing.is_empty() {
            return Ok(Some(Refreshed::Missing(missing)));
        }
        for table in seen.copied.values() {
            let rows = table.rows.unwrap_or(0);
            let (message, hint) = if table.kind != "TABLE" {
                let kind = table.kind.to_lowercase();
                let message = format!("`{}` is a {kind}: only queries read its rows", table.id);
                (message, "give its model the materialization `table`, and build it")
            } else if rows > self.rows_max {
                let most = self.rows_max;
                let message = format!("`{}` has {rows} rows, and {most} may be copied", table.id);
                (message, "allow more by `--copy-rows`")
            } else {
                continue;
            };
            return Err(PipelineError::Setting { message, hint: Some(hint.into()) });
        }
        Ok(None)
    }

    /// Why the tables are not of one build, if they look so.
    fn unsettled(&self, seen: &Seen) -> Option<String> {
        unsettled(&self.copied, seen, self.clock.now_micros() / 1000)
    }

    /// Reads a table into files that nobody sees yet.
    fn read(&self, warehouse: &Warehouse, name: &str, table: &Table) -> Result<Draft> {
        let place = warehouse.table(name);
        let base = match place.snapshot() {
            Ok(base) => base,
            // A copy can be had again.
            Err(error) => {
                tracing::warn!(%error, "a damaged copy is made anew");
                let root = place.root();
                fs::remove_dir_all(root).map_err(PipelineError::io("delete", root))?;
                None
            }
        };
        // Of a process that was killed.
        place.discard_unnamed(base.as_ref());
        let schema = stored_schema(&arrow_schema(&table.fields))?;
        let mut writer = TableWriter::new(
            &place,
            base.as_ref(),
            Arc::clone(&schema),
            WriterSettings::default(),
            Arc::default(),
        )?;
        let (mut rows, total) = (0, table.rows.unwrap_or(0));
        self.tell(format!("{name}, {total} rows"));
        self.client.table_rows(table, &mut |batch| {
            rows += batch.num_rows() as u64;
            self.tell(format!("{name}, {rows} of {total} rows"));
            writer.write(&batch)
        })?;
        Ok(Draft { base, schema, files: writer.finish()?, version: table.version.clone(), rows })
    }

    /// Reads what has changed, until it is all of one moment; shows it then.
    fn copy(&self, warehouse: &Warehouse, mut seen: Seen) -> Result<Refreshed> {
        let held = held(warehouse, &self.copied);
        let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            for (name, table) in &seen.copied {
                let is_read = drafts.get(name).is_some_and(|draft| draft.version == table.version);
                if !is_read && held.get(name) != Some(&version_of(table)) {
                    drafts.insert(name.clone(), self.read(warehouse, name, table)?);
                }
            }
            let again = self.see()?;
            let same = |(name, table): (&String, &Table)| {
                again.copied.get(name).is_some_and(|again| again.version == table.version)
            };
            if seen.copied.iter().all(same) {
                self.show(warehouse, &seen.copied, drafts)?;
                return Ok(Refreshed::New);
            }
            if let Some(hindered) = self.hindered(&again)? {
                return Ok(hindered);
            }
            if let Some(why) = self.unsettled(&again) {
                return Ok(Refreshed::Waiting(why));
            }
            seen = again;
        }
        Ok(Refreshed::Waiting("the tables in BigQuery change while they are read".into()))
    }

    /// Exchanges the copies.
    fn show(
        &self,
        warehouse: &Warehouse,
        found: &BTreeMap<String, Table>,
        drafts: BTreeMap<String, Draft>,
    ) -> Result<()> {
        for (name, table) in found {
            let Some(draft) = drafts.get(name) else { continue };
            if draft.version == table.version && table.rows.is_some_and(|rows| rows != draft.rows) {
                let what =
                    format!("{} gave {} rows of {}", table.id, draft.rows, table.rows.unwrap_or(0));
                return Err(EngineError::Feed(what).into());
            }
        }
        for (name, draft) in drafts {
            let Some(table) = found.get(&name) else { continue };
            let commit = Commit {
                schema: draft.schema,
                partition_columns: Vec::new(),
                added: draft.files,
                removed: Removal::Everything,
                note: json!({ FOLDER: version_of(table) }),
                at_millis: self.clock.now_micros() / 1000,
            };
            warehouse.table(&name).commit(draft.base.as_ref(), commit)?;
        }
        Ok(())
    }
}

impl Origin for Mirror {
    fn refresh(&self, warehouse: &Warehouse) -> Result<Refreshed> {
        let seen = self.see()?;
        let rows = seen.copied.iter().chain(&seen.others);
        let rows = rows
            .filter(|(_, table)| table.kind == "TABLE")
            .filter_map(|(name, table)| Some((name.clone(), table.rows?)))
            .collect();
        let moved = {
            let mut known = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *known, rows) != *known
        };
        if let Some(hindered) = self.hindered(&seen)? {
            return Ok(hindered);
        }
        let held = held(warehouse, &self.copied);
        if seen.copied.iter().all(|(name, table)| held.get(name) == Some(&version_of(table))) {
            return Ok(if moved { Refreshed::New } else { Refreshed::Same });
        }
        if let Some(why) = self.unsettled(&seen) {
            return Ok(Refreshed::Waiting(why));
        }
        // Held while rows are read: another server of this folder would write the same files.
        let _alone = match warehouse.lock() {
            Ok(lock) => lock,
            Err(PipelineError::Locked { .. }) => {
                let why = "another process copies the tables to this machine";
                return Ok(Refreshed::Waiting(why.into()));
            }
            Err(error) => return Err(error),
        };
        let copied = self.copy(warehouse, seen);
        self.tell(String::new());
        copied
    }

    fn tables(&self) -> Vec<&str> {
        self.copied.iter().map(|table| table.name.as_str()).collect()
    }

    fn rows(&self) -> BTreeMap<String, u64> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn version(&self, copy: &Snapshot) -> String {
        copy.note[FOLDER].to_string()
    }

    fn doing(&self) -> String {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn build(&self) -> &str {
        &self.build
    }

    fn told(&self) -> String {
        let settings = self.client.settings();
        format!("{}.{} in BigQuery", settings.project, settings.dataset)
    }
}

/// Why tables are not of one build at a time (milliseconds since 1970), if they look so.
fn unsettled(copied: &[Copied], seen: &Seen, now: i64) -> Option<String> {
    let at = |name: &str| -> Option<i64> {
        seen.copied.get(name).or(seen.others.get(name))?.version.parse().ok()
    };
    let made = copied.iter().flat_map(|table| table.from.iter().chain([&table.name]));
    let youngest = made.filter_map(|name| at(name)).max()?;
    if now - youngest > SETTLED_AFTER {
        return None;
    }
    copied.iter().find_map(|table| {
        let own = at(&table.name)?;
        let parent = table.from.iter().find(|parent| at(parent).is_some_and(|at| at > own))?;
        let name = &table.name;
        Some(format!("a build is under way in BigQuery: {name} is older than {parent}"))
    })
}

/// What a copy says of the table that it is a copy of.
fn version_of(table: &Table) -> Value {
    json!({ "table": table.id.to_string(), "version": table.version })
}

/// What the copies say that are whole.
fn held(warehouse: &Warehouse, copied: &[Copied]) -> BTreeMap<String, Value> {
    let says = |table: &Copied| {
        let copy = warehouse.snapshot(&table.name).ok()??;
        Some((table.name.clone(), copy.note[FOLDER].clone()))
    };
    copied.iter().filter_map(says).collect()
}

/// A table to copy that is none.
fn no_table(project: &Project, name: &str) -> PipelineError {
    let node = project.manifest.nodes.values().find(|node| node.alias == name);
    let (message, hint) = match node.map(|node| node.config.materialized) {
        Some(Materialized::View | Materialized::Ephemeral) => (
            format!("`{name}` is no table in this project, so it can't be copied"),
            "give its model the materialization `table`, and build it",
        ),
        _ => (
            format!("no model or seed of this project has the name `{name}`"),
            "pages need the demo's models: docs/models.md",
        ),
    };
    PipelineError::Setting { message, hint: Some(hint.into()) }
}

#[cfg(test)]
mod tests;
