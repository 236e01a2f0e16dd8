//! A project that follows its stream: tables in memory, the events' own table, and the door for readers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Date32Type;
use clicktrail_engine::datafusion::{Embedded, Session};
use clicktrail_eventlog::{Frame, LogError};
use clicktrail_project::{ResourceType, SelectArgs};

use super::marts::{Applied, Marts};
use super::pages::Kept;
use super::restated::{self, Entry, Restated};
use super::staging::{Staged, Staging};
use super::store::{recover_into, store_frames};
use super::stream_table::{self, Draft};
use super::tiers::{LiveMemory, Tiers};
use super::told::{Listener, Round};
use crate::catalog::{Catalog, names};
use crate::clock::Clock;
use crate::erase::Erased;
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
    /// When the tables were loaded, microseconds since 1970.
    pub loaded_at: i64,
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
    /// Persons with so many events that they are computed at a pace of their own, and wait for it.
    pub waiting_persons: u64,
    /// Persons and tables for which an audit found other rows than a build would make: always 0.
    pub mismatches: u64,
    /// Rows of each live table, and `events`.
    pub rows: BTreeMap<String, u64>,
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
pub(super) struct State {
    pub(super) marts: Option<Marts>,
    /// Hash of the export's files, by day, when the tables were loaded.
    exports: BTreeMap<String, String>,
    /// Changed figures that are not in the ledger's table yet: they go there with the events that changed them.
    pub(super) untold: Vec<Entry>,
}

impl State {
    /// Keeps changed figures until the events up to `seq`, which changed them, are stored.
    fn tell(&mut self, restated: Vec<Restated>, seq: u64, at_micros: i64) {
        let entries = restated.into_iter().map(|change| Entry { seq, at_micros, change });
        self.untold.extend(entries);
    }
}

/// A project that follows its stream; holds the warehouse's lock.
pub struct Live {
    workspace: Workspace,
    engine: Embedded,
    clock: Arc<dyn Clock>,
    time_zone: chrono_tz::Tz,
    memory: LiveMemory,
    /// Nobody is erased while this process holds the lock.
    pub(super) erased: Erased,
    _lock: Lock,
    /// Of the tables that are loaded; apart from them, so that a round is staged while another is applied.
    staging: Mutex<Option<Arc<Staging>>>,
    /// Held during a round.
    state: Mutex<State>,
    /// Held for moments only, so that nobody who asks how things stand waits for a round. Taken after `state`.
    status: Mutex<LiveStatus>,
    moved: Condvar,
    pub(super) listener: Mutex<Option<Listener>>,
    kept: Mutex<Kept>,
    /// Held while tables of the warehouse are written or tested.
    alone: Mutex<()>,
}

impl Live {
    /// Opens the project for one process; makes the table `events_stream` where it is missing.
    ///
    /// # Errors
    /// A fault of the project; [`PipelineError::Locked`] while another process works on the warehouse.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self> {
        let workspace = Workspace::open(settings, Arc::clone(&clock))?;
        let engine = workspace.engine()?;
        let lock = workspace.warehouse.lock()?;
        Draft::open(&workspace.warehouse)?.commit(&engine, 0, Vec::new(), clock.now_micros())?;
        let time_zone = time_zone(&workspace)?;
        let status = LiveStatus {
            stored_seq: stream_table::last_seq(&workspace.warehouse)?,
            ..LiveStatus::default()
        };
        let erased = workspace.warehouse.erased()?;
        Ok(Self {
            workspace,
            engine,
            clock,
            time_zone,
            memory: LiveMemory::default(),
            erased,
            _lock: lock,
            staging: Mutex::default(),
            state: Mutex::default(),
            status: Mutex::new(status),
            moved: Condvar::new(),
            listener: Mutex::default(),
            kept: Mutex::default(),
            alone: Mutex::default(),
        })
    }

    /// The same with another share of the tables in memory.
    #[must_use]
    pub fn with_memory(self, memory: LiveMemory) -> Self {
        Self { memory, ..self }
    }

    /// The project.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Folder of the event log, beside the tables.
    pub fn log_dir(&self) -> std::path::PathBuf {
        self.workspace.warehouse.log_dir()
    }

    /// The property's reporting time zone.
    pub fn time_zone(&self) -> chrono_tz::Tz {
        self.time_zone
    }

    /// What the pages keep. Taken after `state`, never before it.
    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps others from writing the warehouse's tables.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn engine(&self) -> &Embedded {
        &self.engine
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How things stand.
    pub fn status(&self) -> LiveStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes how things stand, and wakes who waits for it.
    fn note(&self, change: impl FnOnce(&mut LiveStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// Moves events into the table `events_stream`; `seq` is the last frame they come from. Frames that are
    /// there already must not be given again with a higher `seq`.
    ///
    /// # Errors
    /// [`PipelineError::Io`] when the disk is full.
    pub fn store(&self, batches: &[RecordBatch], seq: u64) -> Result<()> {
        let mut draft = self.draft()?;
        batches.iter().try_for_each(|rows| draft.write(rows))?;
        draft.commit(&self.engine, seq, Vec::new(), self.clock.now_micros())?;
        self.stored(seq)
    }

    /// Events up to `seq` are stored: so are the figures that they changed.
    fn stored(&self, seq: u64) -> Result<()> {
        self.note(|status| status.stored_seq = status.stored_seq.max(seq));
        let told: Vec<Entry> = {
            let mut state = self.state();
            let all = std::mem::take(&mut state.untold).into_iter();
            let (told, untold) = all.partition(|entry| entry.seq <= seq);
            state.untold = untold;
            told
        };
        restated::write(&self.workspace.warehouse, &told)
    }

    /// Files of the table `events_stream` to which rows go before they are part of it.
    pub(super) fn draft(&self) -> Result<Draft> {
        Draft::open(&self.workspace.warehouse)
    }

    /// The same for frames, with their dead letters and their senders' numbering. `draft` has their events, where it is known.
    ///
    /// # Errors
    /// As [`Live::store`]; frames that hold something else.
    pub(super) fn store_frames(&self, frames: &[Arc<Frame>], draft: Option<Draft>) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        let _alone = self.alone();
        let stored = store_frames(warehouse, &self.engine, self.clock.as_ref(), frames, draft)?;
        self.stored(stored)
    }

    /// Moves the frames that a log still has into the table `events_stream`, before anything else happens.
    ///
    /// # Errors
    /// A damaged log, a full disk.
    pub fn recover(&self, frames: impl Iterator<Item = Result<Frame, LogError>>) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        recover_into(warehouse, &self.engine, self.clock.as_ref(), frames)?;
        let stored = stream_table::last_seq(warehouse)?;
        self.note(|status| status.stored_seq = stored);
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
        let tiers = Tiers::open(&self.workspace.warehouse.live_dir(), self.memory)?;
        let marts = Marts::load(&catalog, &self.engine, owned_days(&exports), &tiers)?;
        let mut state = self.state();
        state.exports = exports.fingerprints(&self.workspace.project.dir);
        self.note(|status| {
            status.failed = None;
            status.applied_seq = status.stored_seq;
            status.off = marts.off().clone();
            status.rows = marts.counts();
            status.loaded_at = self.clock.now_micros();
            status.waiting_persons = 0;
            status.ready = true;
        });
        *self.staging.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::clone(marts.staging()));
        state.marts = Some(marts);
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
        let summary = {
            let _alone = self.alone();
            self.workspace.run_locked(&selected, &request, reporter)?
        };
        self.kept().outcomes.add(self.clock.now_micros(), &summary);
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

    /// What rows pass before [`Live::apply_staged`].
    ///
    /// # Errors
    /// Tables that were never loaded.
    pub(super) fn staging(&self) -> Result<Arc<Staging>> {
        let staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        staging.clone().ok_or_else(not_started)
    }

    /// Brings every live table up to date with some events, received at `received_at` (microseconds since 1970)
    /// in frames up to `seq`.
    ///
    /// # Errors
    /// Rows that the models can't compute. From then on the tables stand still, and say so.
    pub fn apply(&self, rows: &RecordBatch, seq: u64, received_at: i64) -> Result<()> {
        let mut staged = Staged::none(self.staging()?);
        staged.add(rows.clone()).map_err(|error| self.stand_still(error))?;
        self.apply_staged(staged, seq, received_at, received_at)
    }

    /// The same for rows that are staged, with the time at which the first of the frames was received: listeners are
    /// told that one, so that a delay is never told shorter than it was.
    pub(super) fn apply_staged(
        &self,
        staged: Staged,
        seq: u64,
        received_at: i64,
        first_received_at: i64,
    ) -> Result<()> {
        let today = self.day_of(received_at);
        let mut state = self.state();
        let Some(marts) = &mut state.marts else { return Err(not_started()) };
        match marts.apply(staged, today) {
            Ok(applied) => {
                let (rows, waiting) = (marts.counts(), marts.waiting() as u64);
                self.note(|status| {
                    status.waiting_persons = waiting;
                    count(status, &applied, rows, seq);
                });
                let told = match (&applied.fresh, self.is_heard()) {
                    (Some(fresh), true) => marts.told(fresh).map(Some)?,
                    _ => None,
                };
                let changed = marts.names();
                state.tell(applied.restated, seq, self.clock.now_micros());
                drop(state);
                if let Some((events, skipped)) = told {
                    let received_at = first_received_at;
                    self.tell(Round { events, skipped, seq, received_at, changed });
                }
                Ok(())
            }
            Err(error) => Err(self.give_up(&mut state, error)),
        }
    }

    /// Rows could not be made ready for the tables.
    pub(super) fn stand_still(&self, error: PipelineError) -> PipelineError {
        self.give_up(&mut self.state(), error)
    }

    /// Half a change must not be shown; a restart begins from the stored tables.
    fn give_up(&self, state: &mut State, error: PipelineError) -> PipelineError {
        state.marts = None;
        self.note(|status| {
            status.ready = false;
            status.failed = Some(error.problem());
        });
        error
    }

    /// Computes the persons who wait because they have very many events (`LiveStatus::waiting_persons`).
    ///
    /// # Errors
    /// As [`Live::apply`].
    pub fn catch_up(&self) -> Result<()> {
        let now = self.clock.now_micros();
        let today = self.day_of(now);
        let mut state = self.state();
        let Some(marts) = &mut state.marts else { return Ok(()) };
        match marts.catch_up(today) {
            Ok(restated) => {
                let (rows, changed) = (marts.counts(), marts.names());
                let mut seq = 0;
                self.note(|status| {
                    (status.rows, status.waiting_persons) = (rows, 0);
                    seq = status.applied_seq;
                });
                state.tell(restated, seq, now);
                drop(state);
                self.tell(Round { seq, received_at: now, changed, ..Round::default() });
                Ok(())
            }
            Err(error) => Err(self.give_up(&mut state, error)),
        }
    }

    fn is_heard(&self) -> bool {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn tell(&self, round: Round) {
        if let Some(listener) = &*self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            listener(round);
        }
    }

    /// Notes that frames without events (dead letters) are taken care of.
    pub fn skip_to(&self, seq: u64) {
        self.note(|status| status.applied_seq = status.applied_seq.max(seq));
    }

    /// Waits until the tables hold the frame `seq`; false when the time is over first.
    pub fn wait_for(&self, seq: u64, timeout: Duration) -> bool {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |status: &mut LiveStatus| status.applied_seq < seq && status.failed.is_none();
        let (status, _) = self
            .moved
            .wait_timeout_while(status, timeout, behind)
            .unwrap_or_else(PoisonError::into_inner);
        status.applied_seq >= seq
    }

    /// Runs a read-only query over the live tables, all at one frame.
    ///
    /// # Errors
    /// SQL faults; tables that are not live, with the reason; tables that stopped following.
    pub fn query(&self, sql: &str) -> Result<LiveRows> {
        let (seq, views, untold) = {
            let state = self.state();
            let status = self.status();
            let Some(marts) = &state.marts else {
                return Err(match status.failed {
                    Some(problem) => PipelineError::Located(Box::new(problem)),
                    None => not_started(),
                });
            };
            if let Some((name, why)) = marts.off().iter().find(|(name, _)| names(sql, name)) {
                return Err(PipelineError::Setting {
                    message: format!("`{name}` is not live: {why}"),
                    hint: Some("`clicktrail query` reads it as the last build left it".into()),
                });
            }
            let views = marts.views(|name| names(sql, name));
            (status.applied_seq, views, state.untold.clone())
        };
        let session = self.engine.session()?;
        for (name, view) in views {
            view.show(&session, &name)?;
        }
        self.add_fixed(&session, sql, &untold)?;
        let (schema, batches) = session.query(sql).map_err(crate::problem::of_query)?;
        Ok(LiveRows { seq, result: QueryResult { schema, batches } })
    }

    /// Seeds, which no event changes, and the ledger with what is still to come into its table.
    fn add_fixed(&self, session: &Session, sql: &str, untold: &[Entry]) -> Result<()> {
        let warehouse = &self.workspace.warehouse;
        for node in self.workspace.project.manifest.nodes.values() {
            if node.resource_type == ResourceType::Seed
                && names(sql, &node.alias)
                && let Some(table) = warehouse.snapshot(&node.alias)?
            {
                session.add_table(&node.alias, &table)?;
            }
        }
        if names(sql, restated::TABLE) {
            restated::add_ledger(warehouse, session, untold)?;
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
        self.note(|status| status.mismatches += mismatches);
        Ok(mismatches)
    }

    fn day_of(&self, micros: i64) -> i32 {
        day_of(micros, self.time_zone)
    }
}

/// The reporting day of an instant, as days since 1970.
pub(crate) fn day_of(micros: i64, time_zone: chrono_tz::Tz) -> i32 {
    let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    Date32Type::from_naive_date(instant.with_timezone(&time_zone).date_naive())
}

fn count(status: &mut LiveStatus, applied: &Applied, rows: BTreeMap<String, u64>, seq: u64) {
    status.rows = rows;
    status.applied_seq = status.applied_seq.max(seq);
    status.events += applied.events;
    status.duplicates += applied.duplicates;
    status.superseded += applied.superseded;
    status.late += applied.late;
}

fn not_started() -> PipelineError {
    PipelineError::Setting {
        message: "the live tables are still being built".into(),
        hint: Some("wait: `clicktrail status --wait`".into()),
    }
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
        .map(Date32Type::from_naive_date)
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
