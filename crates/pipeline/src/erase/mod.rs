//! Erasing a person: rows go, what was computed from them is computed anew, old files go, and a ledger says so.
//!
//! | module | what it does |
//! |---|---|
//! | `list` | hashes of erased ids: builds and the collector leave their rows out |
//! | `tables` | files of a table without some rows |
//! | `texts` | where an id stands in rows and files |

mod ledger;
mod list;
mod tables;
mod texts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clicktrail_engine::datafusion::Embedded;
use clicktrail_project::{Materialized, Node, ResourceType};

use self::texts::{bytes_hold_word, holds_word};
use crate::artifacts;
use crate::catalog::Catalog;
use crate::clock::rfc3339;
use crate::error::{PipelineError, Result};
use crate::feeds::{Feeds, STREAM};
use crate::fingerprint;
use crate::report::Reporter;
use crate::workspace::{RunRequest, Verb, Workspace};

pub(crate) use list::{Erased, ID_COLUMNS, LIST};

/// Shorter ids would be found in texts that have nothing to do with the person.
const ID_CHARS_MIN: usize = 4;

/// Who is erased.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EraseRequest {
    /// Device id.
    pub user_pseudo_id: Option<String>,
    /// Login id.
    pub user_id: Option<String>,
}

/// What became of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedTable {
    /// Its name.
    pub name: String,
    /// Rows that held an id before.
    pub rows_before: u64,
    /// And after: 0, or something went wrong.
    pub rows_after: u64,
    /// Version before.
    pub version_before: u64,
    /// Version after; the same when the table held nothing and did not change.
    pub version_after: u64,
    /// Files of old versions that were deleted.
    pub files_deleted: u64,
}

/// The proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseReport {
    /// Names the rows of the table `erasures`.
    pub erasure_id: String,
    /// When, RFC 3339 in UTC.
    pub erased_at: String,
    /// Hash of each id, as in the list of erased persons.
    pub hashes: Vec<String>,
    /// All tables of the warehouse.
    pub tables: Vec<ErasedTable>,
    /// Files beside the tables that still hold an id, relative to the project: the user's own to look at.
    pub left_in: Vec<PathBuf>,
}

impl EraseReport {
    /// Whether no table and no file that was looked at holds an id.
    pub fn is_clean(&self) -> bool {
        self.left_in.is_empty() && self.tables.iter().all(|table| table.rows_after == 0)
    }
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> PipelineError {
    PipelineError::coded("E4202", message, hint)
}

impl EraseRequest {
    /// Column and id of each id given.
    fn ids(&self) -> Vec<(&'static str, &str)> {
        let values = [self.user_pseudo_id.as_deref(), self.user_id.as_deref()];
        ID_COLUMNS.into_iter().zip(values).filter_map(|(kind, id)| Some((kind, id?))).collect()
    }

    fn check(&self) -> Result<()> {
        let ids = self.ids();
        if ids.is_empty() || ids.iter().any(|(_, id)| id.chars().count() < ID_CHARS_MIN) {
            return Err(refused(
                format!("an id to erase has {ID_CHARS_MIN} characters or more"),
                "`select user_pseudo_id, last_user_id from int_users` lists ids",
            ));
        }
        Ok(())
    }
}

impl Workspace {
    /// Erases a person from everything that the warehouse keeps.
    ///
    /// Can be done again, after an interruption too: it then erases what is left.
    ///
    /// # Errors
    /// A server or a build at work on the warehouse; tables that can't be written; models that fail.
    pub fn erase(&self, request: &EraseRequest, reporter: &dyn Reporter) -> Result<EraseReport> {
        request.check()?;
        let _lock = self.warehouse.lock()?;
        crate::live::empty_log(self)?;
        let engine = self.engine()?;
        let at_micros = self.clock.now_micros();
        let erased_at = rfc3339(at_micros);
        // On the list first: whatever builds from here on leaves the person out.
        let hashes = self.put_on_list(request, &erased_at)?;
        let ids = request.ids();
        let is_id = |text: &str| ids.iter().any(|(_, id)| *id == text);
        let holds_id = |text: &str| ids.iter().any(|(_, id)| holds_word(text, id));
        let kept = self.kept_tables();
        let mut tables = Vec::new();
        for name in self.warehouse.tables()? {
            let Some(base) = self.warehouse.snapshot(&name)? else { continue };
            // Raw texts of requests and of unreadable rows hold ids inside longer texts.
            let raw = !kept.modelled.contains(&name) && name != STREAM.1;
            let test: tables::Test<'_> = if raw { &holds_id } else { &is_id };
            let (version_before, rows_before) =
                (base.version, tables::count(&engine, &base, test)?);
            let rewritten = raw || name == STREAM.1 || kept.history.contains(&name);
            if rows_before > 0 && rewritten {
                tables::remove(&self.warehouse, &engine, base, test, at_micros)?;
            }
            tables.push(ErasedTable {
                name,
                rows_before,
                rows_after: 0,
                version_before,
                version_after: version_before,
                files_deleted: 0,
            });
        }
        self.compute_anew(&kept, reporter)?;
        self.prove(&engine, &mut tables, &holds_id)?;
        self.strike_from_logs(&ids)?;
        let left_in =
            self.other_files(&|bytes| ids.iter().any(|(_, id)| bytes_hold_word(bytes, id)));
        let erasure_id = fingerprint::of([erased_at.as_str(), hashes.join(" ").as_str()]);
        let report = EraseReport {
            erasure_id: erasure_id[..12].to_owned(),
            erased_at,
            hashes,
            tables,
            left_in,
        };
        self.warehouse.append(
            ledger::TABLE,
            &ledger::rows(&report)?,
            serde_json::Value::Null,
            at_micros,
        )?;
        Ok(report)
    }

    fn put_on_list(&self, request: &EraseRequest, at: &str) -> Result<Vec<String>> {
        let mut erased = self.warehouse.erased()?;
        let salt = fingerprint::of([
            at,
            self.settings.load.invocation_id.as_str(),
            &self.project.dir.to_string_lossy(),
        ]);
        let ids = request.ids();
        let hashes = ids.iter().map(|(kind, id)| erased.add(kind, id, &salt, at)).collect();
        erased.write(&self.project.dir.join(LIST))?;
        Ok(hashes)
    }

    /// Which tables are made how.
    fn kept_tables(&self) -> Kept {
        let feeds = Feeds::default();
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        let mut kept = Kept::default();
        for (id, node) in &self.project.manifest.nodes {
            if !Catalog::is_stored(node) || node.resource_type == ResourceType::Test {
                continue;
            }
            kept.modelled.insert(node.alias.clone());
            if node.resource_type == ResourceType::Model {
                match has_history(&catalog, node) {
                    true => kept.history.insert(node.alias.clone()),
                    false => kept.computed.insert(id.clone()),
                };
            }
        }
        kept
    }

    /// Builds what was computed from the rows that went; tables that were never built stay so.
    fn compute_anew(&self, kept: &Kept, reporter: &dyn Reporter) -> Result<()> {
        let mut selected = BTreeSet::new();
        for id in &kept.computed {
            let built = self.project.manifest.nodes.get(id).map(|node| node.alias.as_str());
            if let Some(name) = built
                && self.warehouse.snapshot(name)?.is_some()
            {
                selected.insert(id.clone());
            }
        }
        if selected.is_empty() {
            return Ok(());
        }
        self.run_locked(&selected, &RunRequest::new(Verb::Run), reporter)?.sound()
    }

    /// Deletes the files of old versions, and looks for the ids in all that is left.
    fn prove(
        &self,
        engine: &Embedded,
        tables: &mut [ErasedTable],
        holds_id: tables::Test<'_>,
    ) -> Result<()> {
        for table in tables {
            let Some(now) = self.warehouse.snapshot(&table.name)? else { continue };
            table.files_deleted = self.warehouse.table(&table.name).vacuum(&now)?;
            table.version_after = now.version;
            table.rows_after = tables::count(engine, &now, holds_id)?;
        }
        Ok(())
    }

    /// Log files of earlier commands, such as a query that named the id.
    fn strike_from_logs(&self, ids: &[(&str, &str)]) -> Result<()> {
        let dir = artifacts::target_dir(&self.project).join("logs");
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(before) = std::fs::read_to_string(&path) else { continue };
            let after =
                ids.iter().fold(before.clone(), |text, (_, id)| text.replace(id, "[erased]"));
            if after != before {
                // In place: this process has the file open, and goes on at its end.
                std::fs::write(&path, after).map_err(PipelineError::io("write", &path))?;
            }
        }
        Ok(())
    }

    /// Files of warehouse and target folder, other than tables' rows, that hold an id.
    fn other_files(&self, holds_id: &dyn Fn(&[u8]) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.warehouse.dir().to_owned(), artifacts::target_dir(&self.project)];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_none_or(|ending| ending != "parquet")
                    && std::fs::read(&path).is_ok_and(|bytes| holds_id(&bytes))
                {
                    let inside = path.strip_prefix(&self.project.dir).unwrap_or(&path);
                    found.push(Path::to_owned(inside));
                }
            }
        }
        found.sort();
        found
    }
}

/// Tables by what has to be done with them.
#[derive(Debug, Default)]
struct Kept {
    /// Tables of models and seeds.
    modelled: BTreeSet<String>,
    /// Tables of models whose rows come from files and can't be computed from other tables.
    history: BTreeSet<String>,
    /// Unique ids of models that are computed from other tables.
    computed: BTreeSet<String>,
}

/// Whether a model's rows are kept beyond what a build computes: read from files, or added to.
fn has_history(catalog: &Catalog<'_>, node: &Node) -> bool {
    !catalog.feed_inputs(&node.unique_id).is_empty()
        || node.config.materialized == Materialized::Incremental
}
