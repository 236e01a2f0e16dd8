//! The tables of the last build for a server that takes no events: nothing is kept in memory but file lists, and other
//! processes may build meanwhile. Tables that are not on this machine are copied to it first, by an [`Origin`].

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use clicktrail_engine::datafusion::{Embedded, Session};
use clicktrail_engine::delta::Snapshot;
use clicktrail_project::ResourceType;
use serde_json::{Value, json};

use super::copies::{self, Copies, CopySettings, Origin, Refreshed};
use super::{
    LEDGERS, Outcomes, PageFault, PageRequest, PageResult, Reader, TABLES, Things, answer,
};
use crate::artifacts::{RUN_RESULTS, target_dir};
use crate::clock::Clock;
use crate::error::{PipelineError, Result};
use crate::workspace::{QueryResult, Settings, Workspace};

/// Tables of the last build, opened anew when a build has changed them.
pub struct Shelf {
    workspace: Workspace,
    engine: Embedded,
    kept: Mutex<Kept>,
    origin: Option<Box<dyn Origin>>,
    copies: Mutex<Copies>,
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The tables are those of the last look.
    Same,
    /// Other tables were opened.
    New,
    /// Another process is changing the tables; pages show what was there before.
    Busy,
    /// There are no tables: nothing was built yet.
    Missing,
}

#[derive(Default)]
struct Kept {
    versions: BTreeMap<String, u64>,
    reader: Option<Arc<Reader>>,
    /// Copied tables.
    copied: Vec<Snapshot>,
    rows: BTreeMap<String, u64>,
    outcomes: Outcomes,
    /// When the outcomes were written.
    told_at: Option<SystemTime>,
}

impl Shelf {
    /// Opens the project. Tables are opened by [`Shelf::look`], copies made by [`Shelf::refresh`].
    ///
    /// # Errors
    /// A fault of the project; for a target elsewhere, no connection, no rights, no dataset.
    pub fn open(settings: Settings, copied: &CopySettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut workspace = Workspace::open(settings, clock)?;
        let origin = copies::origin(&mut workspace, copied)?;
        let engine = match origin {
            Some(_) => workspace.engine_here()?,
            None => workspace.engine()?,
        };
        let (kept, copies) = (Mutex::default(), Mutex::default());
        Ok(Self { workspace, engine, kept, origin, copies })
    }

    /// Where the tables are, when they are not made on this machine.
    pub fn elsewhere(&self) -> Option<String> {
        self.origin.as_ref().map(|origin| origin.told())
    }

    /// Command that makes the tables.
    pub fn build_command(&self) -> &str {
        self.origin.as_ref().map_or("clicktrail build", |origin| origin.build())
    }

    /// Brings copies up to date; without any, nothing is done. Takes as long as the rows that have changed take.
    ///
    /// # Errors
    /// What keeps rows from coming; what was copied before stays.
    pub fn refresh(&self) -> Result<Refreshed> {
        let Some(origin) = &self.origin else { return Ok(Refreshed::Same) };
        let refreshed = origin.refresh(&self.workspace.warehouse);
        self.copies().hear(&refreshed, self.workspace.clock.now_micros());
        refreshed
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the tables are not the newest, if they are not.
    pub fn stale(&self) -> Option<String> {
        self.copies().stale.clone()
    }

    /// What a refresh is reading, in words; empty when none is under way.
    pub fn doing(&self) -> String {
        self.origin.as_ref().map_or_else(String::new, |origin| origin.doing())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the tables if their versions are others than before. All of them are read while no build is under way:
    /// a build replaces one table after the other.
    ///
    /// # Errors
    /// Tables that can't be read.
    pub fn look(&self) -> Result<Look> {
        if self.origin.is_some() && !self.copies().whole {
            return Ok(Look::Missing);
        }
        let known = self.kept().versions.clone();
        let now = self.versions()?;
        if self.needed().any(|name| !now.contains_key(name)) {
            return Ok(Look::Missing);
        }
        // A folder that was deleted meanwhile counts its versions anew.
        if now == known && !self.copies().fresh {
            return self.look_at_results();
        }
        let _alone = match self.workspace.warehouse.lock() {
            Ok(lock) => lock,
            Err(PipelineError::Locked { .. }) => return Ok(Look::Busy),
            Err(error) => return Err(error),
        };
        self.copies().fresh = false;
        let versions = self.versions()?;
        let copied = self.copied()?;
        let reader = Some(Arc::new(self.reader(&versions, &copied)?));
        let rows = self.workspace.stored_rows()?;
        let told_at = self.told_at();
        let outcomes = Outcomes::of_last_run(&self.workspace.project)?;
        *self.kept() = Kept { versions, reader, copied, rows, outcomes, told_at };
        Ok(Look::New)
    }

    /// Results of tests change without the tables, and are written after them.
    fn look_at_results(&self) -> Result<Look> {
        let told_at = self.told_at();
        if told_at == self.kept().told_at {
            return Ok(Look::Same);
        }
        let outcomes = Outcomes::of_last_run(&self.workspace.project)?;
        let mut kept = self.kept();
        (kept.outcomes, kept.told_at) = (outcomes, told_at);
        Ok(Look::New)
    }

    /// When results were written last.
    fn told_at(&self) -> Option<SystemTime> {
        let path = target_dir(&self.workspace.project).join(RUN_RESULTS);
        std::fs::metadata(path).and_then(|data| data.modified()).ok()
    }

    /// Tables that pages need and nobody has built.
    ///
    /// # Errors
    /// As [`Shelf::look`].
    pub fn missing(&self) -> Result<Vec<String>> {
        if self.origin.is_some() {
            return Ok(self.copies().missing.clone());
        }
        let versions = self.versions()?;
        let missing = TABLES.into_iter().filter(|name| !versions.contains_key(*name));
        Ok(missing.map(str::to_owned).collect())
    }

    /// Tables without which there is no page.
    fn needed(&self) -> impl Iterator<Item = &str> {
        let copied = self.origin.iter().flat_map(|origin| origin.tables());
        copied.chain(TABLES)
    }

    /// Versions of all tables that pages read, as far as they are there.
    fn versions(&self) -> Result<BTreeMap<String, u64>> {
        // Ledgers and events are not copied unless they are asked for.
        let more = LEDGERS.into_iter().chain(["int_events"]).filter(|_| self.origin.is_none());
        let mut versions = BTreeMap::new();
        for name in self.needed().chain(more) {
            if let Some(version) = self.workspace.warehouse.table(name).version()? {
                versions.insert(name.to_owned(), version);
            }
        }
        Ok(versions)
    }

    fn copied(&self) -> Result<Vec<Snapshot>> {
        let mut copied = Vec::new();
        for name in self.origin.iter().flat_map(|origin| origin.tables()) {
            copied.extend(self.workspace.warehouse.snapshot(name)?);
        }
        Ok(copied)
    }

    fn reader(&self, versions: &BTreeMap<String, u64>, copied: &[Snapshot]) -> Result<Reader> {
        let mut hash = DefaultHasher::new();
        let session = match &self.origin {
            Some(origin) => {
                // The copies' own versions begin anew when their folder is deleted.
                copied.iter().for_each(|copy| origin.version(copy).hash(&mut hash));
                self.session(copied)?
            }
            None => {
                versions.hash(&mut hash);
                let names: Vec<&str> = versions.keys().map(String::as_str).collect();
                self.workspace.session_of(&self.engine, &names.join(" "))?
            }
        };
        let tables: BTreeSet<String> = versions.keys().cloned().collect();
        let snapshot = format!("b{:x}", hash.finish());
        Ok(Reader::new(snapshot, (self.engine.clone(), session), tables))
    }

    /// A session with copied tables.
    fn session(&self, copied: &[Snapshot]) -> Result<Session> {
        let session = self.engine.session()?;
        for copy in copied {
            session.add_table(&copy.name, copy)?;
        }
        Ok(session)
    }

    /// Id of the tables that pages read; `None` before there are any.
    pub fn snapshot(&self) -> Option<String> {
        self.kept().reader.as_ref().map(|reader| reader.snapshot.clone())
    }

    /// Rows by table.
    pub fn table_rows(&self) -> BTreeMap<String, u64> {
        let kept = self.kept();
        let Some(origin) = &self.origin else { return kept.rows.clone() };
        // Copies have the rows that pages show; the others are counted where they are.
        let mut rows = origin.rows();
        rows.extend(kept.copied.iter().map(|copy| (copy.name.clone(), copy.rows())));
        rows
    }

    /// Counts of test results of the last build or test; null where there was none.
    pub fn tests(&self) -> Value {
        self.kept().outcomes.counts()
    }

    /// When the tests ended whose results pages tell, microseconds since 1970; 0 before any ran.
    pub fn tested_at(&self) -> i64 {
        self.kept().outcomes.tested_at()
    }

    /// A page. `build` is what Settings shows of the server.
    ///
    /// # Errors
    /// [`PageFault`].
    pub fn page(&self, request: &PageRequest, build: Value) -> Result<PageResult, PageFault> {
        let (reader, outcomes) = {
            let kept = self.kept();
            let reader = kept.reader.clone().ok_or(PageFault::NotReady)?;
            (reader, kept.outcomes.clone())
        };
        let rows = self.table_rows();
        let stream = json!({ "phase": "read-only", "stale": self.stale() });
        let things = Things { outcomes: &outcomes, stream, rows, off: None, build };
        answer(&reader, &self.workspace, request, &things)
    }

    /// Runs a read-only query: over all relations of the project, or over the copied tables.
    ///
    /// # Errors
    /// SQL faults, located in the query's own text; tables that are not copied.
    pub fn query(&self, sql: &str) -> Result<QueryResult> {
        let Some(origin) = &self.origin else { return self.workspace.query(sql) };
        let copied = self.kept().copied.clone();
        let session = self.session(&copied)?;
        let (schema, batches) = session.query(sql).map_err(|error| {
            let fault = crate::problem::of_query(error);
            let known = origin.tables();
            let nodes = self.workspace.project.manifest.nodes.values();
            let relations = nodes.filter(|node| node.resource_type != ResourceType::Test);
            let absent = relations.map(|node| node.alias.as_str()).find(|name| {
                !known.contains(name) && fault.code() == "E3001" && crate::catalog::names(sql, name)
            });
            absent.map_or(fault, |name| PipelineError::Setting {
                message: format!("`{name}` is not copied to this server"),
                hint: Some(format!(
                    "name it by `--also`, if it is a table; or ask BigQuery itself: clicktrail query --target {}",
                    self.workspace.project.target.name
                )),
            })
        })?;
        Ok(QueryResult { schema, batches })
    }
}
