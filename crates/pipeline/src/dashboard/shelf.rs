//! The tables of the last build for a server that takes no events: nothing is kept in memory but file lists, and other
//! processes may build meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use clicktrail_engine::datafusion::Embedded;
use serde_json::{Value, json};

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
    rows: BTreeMap<String, u64>,
    outcomes: Outcomes,
    /// When the outcomes were written.
    told_at: Option<SystemTime>,
}

impl Shelf {
    /// Opens the project. Tables are opened by [`Shelf::look`].
    ///
    /// # Errors
    /// A fault of the project.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let workspace = Workspace::open(settings, clock)?;
        let engine = workspace.engine()?;
        Ok(Self { workspace, engine, kept: Mutex::default() })
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
        let known = self.kept().versions.clone();
        let now = self.versions()?;
        if TABLES.iter().any(|name| !now.contains_key(*name)) {
            return Ok(Look::Missing);
        }
        if now == known {
            return self.look_at_results();
        }
        let _alone = match self.workspace.warehouse.lock() {
            Ok(lock) => lock,
            Err(PipelineError::Locked { .. }) => return Ok(Look::Busy),
            Err(error) => return Err(error),
        };
        let versions = self.versions()?;
        let reader = self.reader(&versions)?;
        let rows = self.workspace.stored_rows()?;
        let told_at = self.told_at();
        let outcomes = Outcomes::of_last_run(&self.workspace.project)?;
        *self.kept() = Kept { versions, reader: Some(Arc::new(reader)), rows, outcomes, told_at };
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
    pub fn missing(&self) -> Result<Vec<&'static str>> {
        let versions = self.versions()?;
        Ok(TABLES.into_iter().filter(|name| !versions.contains_key(*name)).collect())
    }

    /// Versions of all tables that pages read, as far as they are there.
    fn versions(&self) -> Result<BTreeMap<String, u64>> {
        let mut versions = BTreeMap::new();
        for name in TABLES.into_iter().chain(LEDGERS).chain(["int_events"]) {
            if let Some(version) = self.workspace.warehouse.table(name).version()? {
                versions.insert(name.to_owned(), version);
            }
        }
        Ok(versions)
    }

    fn reader(&self, versions: &BTreeMap<String, u64>) -> Result<Reader> {
        let names: Vec<&str> = versions.keys().map(String::as_str).collect();
        let session = self.workspace.session_of(&self.engine, &names.join(" "))?;
        let tables: BTreeSet<String> = versions.keys().cloned().collect();
        let mut hash = DefaultHasher::new();
        versions.hash(&mut hash);
        let snapshot = format!("b{:x}", hash.finish());
        Ok(Reader::new(snapshot, (self.engine.clone(), session), tables))
    }

    /// Id of the tables that pages read; `None` before there are any.
    pub fn snapshot(&self) -> Option<String> {
        self.kept().reader.as_ref().map(|reader| reader.snapshot.clone())
    }

    /// Rows by table.
    pub fn table_rows(&self) -> BTreeMap<String, u64> {
        self.kept().rows.clone()
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
        let (reader, rows, outcomes) = {
            let kept = self.kept();
            let reader = kept.reader.clone().ok_or(PageFault::NotReady)?;
            (reader, kept.rows.clone(), kept.outcomes.clone())
        };
        let stream = json!({ "phase": "read-only" });
        let things = Things { outcomes: &outcomes, stream, rows, off: None, build };
        answer(&reader, &self.workspace, request, &things)
    }

    /// Runs a read-only query over all relations of the project.
    ///
    /// # Errors
    /// SQL faults, located in the query's own text.
    pub fn query(&self, sql: &str) -> Result<QueryResult> {
        self.workspace.query(sql)
    }
}
