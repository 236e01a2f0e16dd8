//! A project that follows its stream: tables in memory, the events' own table, and the door for readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_eventlog::{Frame, LogError};
use clicktrail_project::{ResourceType, SelectArgs};

use super::follow::{recover_into, store_frames};
use super::keyed_rows::View;
use super::marts::{Applied, Marts};
use super::rows::arrow_fault;
use super::stream_table::{self, Stored};
use super::{offline, restated};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::error::{PipelineError, Result};
use crate::feeds::{Days, Feeds};
use crate::report::{Problem, Reporter, Status};
use crate::warehouse::Lock;
use crate::workspace::{QueryResult, RunRequest, Settings, Verb, Workspace};

/// Counters since the process began, and how things stand.
#[derive(Debug, Clone, Default)]
pub struct LiveStatus {
    /// Whether the tables can be read.
    pub ready: bool,
    /// Why they stopped following, if they did.
    pub failed: Option<Problem>,
    /// Last frame that the tables hold.
    pub applied_seq: u64,
    /// Last frame that is in the table `events_stream`.
    pub stored_seq: u64,
    /// Events taken in, copies and those of exported days included.
    pub events: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events of days that an export has the say over.
    pub superseded: u64,
    /// Events of days before the one on which they came.
    pub late: u64,
    /// Persons computed again, each time counted.
    pub persons: u64,
    /// Figures of past days that changed.
    pub restated: u64,
    /// Rounds of computing.
    pub rounds: u64,
    /// Persons looked at by audits.
    pub audited: u64,
    /// Persons and tables for which an audit found other rows than a build would make: always 0.
    pub mismatches: u64,
    /// Rows of each live table, and `events`.
    pub rows: BTreeMap<String, u64>,
    /// Bytes of these rows in memory.
    pub bytes: u64,
    /// Models that a build alone keeps up to date, with the reason.
    pub off: BTreeMap<String, String>,
}

/// Rows of a live query with the frame up to which they hold.
#[derive(Debug, Clone)]
pub struct LiveRows {
    /// Last frame in the tables read.
    pub seq: u64,
    /// The rows.
    pub result: QueryResult,
}

#[derive(Default)]
struct State {
    marts: Option<Marts>,
    status: LiveStatus,
    /// Hash of the export's files, by day, when the tables were loaded.
    exports: BTreeMap<String, String>,
}

/// A project that follows its stream; holds the warehouse's lock.
pub struct Live {
    workspace: Workspace,
    engine: Embedded,
    clock: Arc<dyn Clock>,
    time_zone: chrono_tz::Tz,
    _lock: Lock,
    state: Mutex<State>,
    moved: Condvar,
}

impl Live {
    /// Opens the project for one process; makes the table `events_stream` where it is missing.
    ///
    /// # Errors
    /// A fault of the project; [`PipelineError::Locked`] while another process works on the warehouse.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let first = Workspace::open(settings.clone(), Arc::clone(&clock))?;
        let engine = first.engine()?;
        let lock = first.warehouse.lock()?;
        stream_table::append(&first.warehouse, &engine, Stored::default(), clock.now_micros())?;
        // From now on the project reads that table.
        let workspace = Workspace::open(settings, Arc::clone(&clock))?;
        let time_zone = time_zone(&workspace)?;
        let status = LiveStatus {
            stored_seq: stream_table::last_seq(&workspace.warehouse)?,
            ..LiveStatus::default()
        };
        Ok(Self {
            workspace,
            engine,
            clock,
            time_zone,
            _lock: lock,
            state: Mutex::new(State { status, ..State::default() }),
            moved: Condvar::new(),
        })
    }

    /// The project.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Folder of the event log, beside the tables.
    pub fn log_dir(&self) -> std::path::PathBuf {
        let dir = self.workspace.warehouse.dir().to_path_buf();
        offline::LOG.iter().fold(dir, |dir, part| dir.join(part))
    }

    /// The property's reporting time zone.
    pub fn time_zone(&self) -> chrono_tz::Tz {
        self.time_zone
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How things stand.
    pub fn status(&self) -> LiveStatus {
        let mut state = self.state();
        if let Some(marts) = &state.marts {
            let (rows, bytes) = (marts.counts(), marts.bytes());
            state.status.rows = rows;
            state.status.bytes = bytes;
        }
        state.status.clone()
    }

    /// Moves events into the table `events_stream`; `seq` is the last frame they come from. Frames that are
    /// there already must not be given again with a higher `seq`.
    ///
    /// # Errors
    /// [`PipelineError::Io`] when the disk is full.
    pub fn store(&self, batches: &[RecordBatch], seq: u64) -> Result<()> {
        let now = self.clock.now_micros();
        let rows = Stored { batches, seq, producers: Vec::new() };
        stream_table::append(&self.workspace.warehouse, &self.engine, rows, now)?;
        self.state().status.stored_seq = seq;
        Ok(())
    }

    /// The same for frames, with their dead letters and their senders' numbering.
    ///
    /// # Errors
    /// As [`Live::store`]; frames that hold something else.
    pub(super) fn store_frames(&self, frames: &[Arc<Frame>]) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        let stored = store_frames(warehouse, &self.engine, self.clock.as_ref(), frames)?;
        let mut state = self.state();
        state.status.stored_seq = state.status.stored_seq.max(stored);
        Ok(())
    }

    /// Moves the frames that a log still has into the table `events_stream`, before anything else happens.
    ///
    /// # Errors
    /// A damaged log, a full disk.
    pub fn recover(&self, frames: impl Iterator<Item = Result<Frame, LogError>>) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        recover_into(warehouse, &self.engine, self.clock.as_ref(), frames)?;
        self.state().status.stored_seq = stream_table::last_seq(warehouse)?;
        Ok(())
    }

    /// How far each sender's own numbering is in the table `events_stream`, as the frames said it.
    ///
    /// # Errors
    /// A table that can't be read.
    pub fn producers(&self) -> Result<Vec<serde_json::Value>> {
        stream_table::producers(&self.workspace.warehouse)
    }

    /// Builds seeds and models from all that is stored, and loads the live tables from them.
    ///
    /// # Errors
    /// Why the project can't be built or can't follow a stream.
    pub fn start(&self, reporter: &dyn Reporter) -> Result<()> {
        self.build(reporter)?;
        let feeds = Feeds::find(&self.workspace.project)?;
        let catalog =
            Catalog::new(&self.workspace.project, &self.workspace.warehouse, &feeds, false);
        let exports = exported(&feeds)?;
        let marts = Marts::load(&catalog, &self.engine, owned_days(&exports))?;
        let mut state = self.state();
        state.exports = exports.fingerprints(&self.workspace.project.dir);
        state.status.failed = None;
        state.status.applied_seq = state.status.stored_seq;
        state.status.off = marts.off().clone();
        state.status.ready = true;
        state.marts = Some(marts);
        drop(state);
        self.moved.notify_all();
        Ok(())
    }

    /// Builds seeds and models, so that the warehouse's tables hold what is stored.
    ///
    /// # Errors
    /// The first model that failed.
    pub fn build(&self, reporter: &dyn Reporter) -> Result<()> {
        let tests = ["resource_type:test", "resource_type:unit_test"];
        let exclude = tests.iter().map(|&text| text.to_owned()).collect();
        let request = RunRequest {
            select: SelectArgs { exclude, ..SelectArgs::default() },
            ..RunRequest::new(Verb::Build)
        };
        let selected = self.workspace.project.select(&request.select)?;
        let summary = self.workspace.run_locked(&selected, &request, reporter)?;
        let failed = summary.results.into_iter().find(|node| node.status == Status::Error);
        match failed.and_then(|node| node.problem) {
            Some(problem) => Err(PipelineError::Located(Box::new(problem))),
            None => Ok(()),
        }
    }

    /// Whether files of the export came, went or changed since the tables were loaded. Files that can't be read
    /// now are no change: the tables stay as they are.
    pub fn exports_changed(&self) -> bool {
        let now = Feeds::find(&self.workspace.project).and_then(|feeds| exported(&feeds));
        match now {
            Ok(days) => self.state().exports != days.fingerprints(&self.workspace.project.dir),
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the export can't be looked at");
                false
            }
        }
    }

    /// Paths of an event's row that the models read; the others need not be decoded for [`Live::apply`].
    pub fn leaves(&self) -> Vec<String> {
        self.state().marts.as_ref().map(|marts| marts.leaves().to_vec()).unwrap_or_default()
    }

    /// Brings every live table up to date with some events, received at `received_at` (microseconds since 1970)
    /// in frames up to `seq`.
    ///
    /// # Errors
    /// Rows that the models can't compute. From then on the tables stand still, and say so.
    pub fn apply(&self, rows: &RecordBatch, seq: u64, received_at: i64) -> Result<()> {
        let today = self.day_of(received_at);
        let mut state = self.state();
        let Some(marts) = &mut state.marts else { return Err(not_started()) };
        match marts.apply(rows, today) {
            Ok(applied) => {
                count(&mut state.status, &applied, seq);
                drop(state);
                self.moved.notify_all();
                let now = self.clock.now_micros();
                restated::write(&self.workspace.warehouse, &applied.restated, seq, now)
            }
            Err(error) => {
                // Half a change must not be shown; a restart begins from the stored tables.
                state.marts = None;
                state.status.ready = false;
                state.status.failed = Some(error.problem());
                drop(state);
                self.moved.notify_all();
                Err(error)
            }
        }
    }

    /// Notes that frames without events (dead letters) are taken care of.
    pub fn skip_to(&self, seq: u64) {
        let mut state = self.state();
        state.status.applied_seq = state.status.applied_seq.max(seq);
        drop(state);
        self.moved.notify_all();
    }

    /// Waits until the tables hold the frame `seq`; false when the time is over first.
    pub fn wait_for(&self, seq: u64, timeout: Duration) -> bool {
        let state = self.state();
        let behind =
            |state: &mut State| state.status.applied_seq < seq && state.status.failed.is_none();
        let (state, _) = self
            .moved
            .wait_timeout_while(state, timeout, behind)
            .unwrap_or_else(PoisonError::into_inner);
        state.status.applied_seq >= seq
    }

    /// Runs a read-only query over the live tables, all at one frame.
    ///
    /// # Errors
    /// SQL faults; tables that are not live, with the reason; tables that stopped following.
    pub fn query(&self, sql: &str) -> Result<LiveRows> {
        let (seq, views) = {
            let state = self.state();
            let Some(marts) = &state.marts else {
                return Err(match &state.status.failed {
                    Some(problem) => PipelineError::Located(Box::new(problem.clone())),
                    None => not_started(),
                });
            };
            if let Some((name, why)) = marts.off().iter().find(|(name, _)| names(sql, name)) {
                return Err(PipelineError::Setting {
                    message: format!("`{name}` is not live: {why}"),
                    hint: Some("`clicktrail query` reads it as the last build left it".into()),
                });
            }
            (state.status.applied_seq, named(sql, marts.views()))
        };
        let session = self.engine.session()?;
        for (name, view) in views {
            let batches = view.batches().map_err(arrow_fault)?;
            session.add_batches(&name, view.schema(), batches)?;
        }
        self.add_fixed(&session, sql)?;
        let (schema, batches) = session.query(sql).map_err(crate::problem::of_query)?;
        Ok(LiveRows { seq, result: QueryResult { schema, batches } })
    }

    /// Seeds and the ledger, which no event changes.
    fn add_fixed(&self, session: &clicktrail_engine::datafusion::Session, sql: &str) -> Result<()> {
        let nodes = self.workspace.project.manifest.nodes.values();
        let seeds = nodes
            .filter(|node| node.resource_type == ResourceType::Seed)
            .map(|node| node.alias.clone());
        for name in seeds.chain([restated::TABLE.to_owned()]) {
            if names(sql, &name)
                && let Some(table) = self.workspace.warehouse.snapshot(&name)?
            {
                session.add_table(&name, &table)?;
            }
        }
        Ok(())
    }

    /// Computes some persons anew, as a build would, and compares; `seed` chooses them.
    ///
    /// # Errors
    /// As [`Live::apply`], without its consequences.
    pub fn audit(&self, seed: u64, persons: usize) -> Result<u64> {
        let mut state = self.state();
        let Some(marts) = &mut state.marts else { return Ok(0) };
        let mismatches = marts.audit(seed, persons)?;
        state.status.audited += persons as u64;
        state.status.mismatches += mismatches;
        Ok(mismatches)
    }

    fn day_of(&self, micros: i64) -> i32 {
        day_of(micros, self.time_zone)
    }
}

/// The reporting day of an instant, as days since 1970.
pub(crate) fn day_of(micros: i64, time_zone: chrono_tz::Tz) -> i32 {
    let local = chrono::DateTime::from_timestamp_micros(micros)
        .unwrap_or_default()
        .with_timezone(&time_zone)
        .date_naive();
    i32::try_from((local - chrono::NaiveDate::default()).num_days()).unwrap_or(i32::MAX)
}

fn count(status: &mut LiveStatus, applied: &Applied, seq: u64) {
    status.applied_seq = status.applied_seq.max(seq);
    status.events += applied.events;
    status.duplicates += applied.duplicates;
    status.superseded += applied.superseded;
    status.late += applied.late;
    status.persons += applied.persons;
    status.restated += applied.restated.len() as u64;
    status.rounds += 1;
}

fn not_started() -> PipelineError {
    PipelineError::Setting {
        message: "the live tables are still being built".into(),
        hint: Some("wait: `clicktrail status --wait`".into()),
    }
}

fn names(sql: &str, table: &str) -> bool {
    sql.to_lowercase()
        .split(|char: char| !char.is_alphanumeric() && char != '_')
        .any(|word| word == table.to_lowercase())
}

fn named(sql: &str, views: BTreeMap<String, View>) -> BTreeMap<String, View> {
    views.into_iter().filter(|(name, _)| names(sql, name)).collect()
}

/// The export's files by day.
fn exported(feeds: &Feeds) -> Result<Days> {
    feeds.days(&["ga4.events".to_owned(), "ga4.events_intraday".to_owned()])
}

/// Days (since 1970) that an export has the say over [2.25].
fn owned_days(exports: &Days) -> BTreeSet<i32> {
    exports
        .days
        .keys()
        .filter_map(|day| chrono::NaiveDate::parse_from_str(day, "%Y%m%d").ok())
        .filter_map(|day| i32::try_from((day - chrono::NaiveDate::default()).num_days()).ok())
        .collect()
}

pub(crate) fn time_zone(workspace: &Workspace) -> Result<chrono_tz::Tz> {
    let vars = workspace.vars();
    let name = vars.get("timezone").and_then(|zone| zone.as_str()).unwrap_or("UTC");
    name.parse().map_err(|_| PipelineError::Setting {
        message: format!("var `timezone` is `{name}`, which is no IANA time zone"),
        hint: Some("as in `Europe/Paris`".into()),
    })
}
