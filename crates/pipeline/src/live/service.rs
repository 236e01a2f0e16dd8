//! A project that follows its stream: tables in memory, and the events' own table.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_eventlog::{Frame, LogError};
use clicktrail_project::SelectArgs;

use super::days::{day_of, exported, owned_days, time_zone};
use super::marts::Marts;
use super::pages::Kept;
use super::restated::{self, Entry, Restated};
use super::staging::{Staged, Staging};
use super::status::LiveStatus;
use super::store::{recover_into, store_frames};
use super::stream_table::{self, Draft};
use super::tiers::{LiveMemory, Tiers};
use super::told::{Listener, Round};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::erase::Erased;
use crate::error::{PipelineError, Result};
use crate::feeds::Feeds;
use crate::report::{Reporter, Status};
use crate::warehouse::Lock;
use crate::workspace::{RunRequest, Settings, Verb, Workspace};

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
    pub(super) workspace: Workspace,
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
    pub(super) status: Mutex<LiveStatus>,
    pub(super) moved: Condvar,
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
        let today = day_of(received_at, self.time_zone);
        let mut state = self.state();
        let Some(marts) = &mut state.marts else { return Err(not_started()) };
        match marts.apply(staged, today) {
            Ok(applied) => {
                let (rows, waiting) = (marts.counts(), marts.waiting() as u64);
                self.note(|status| {
                    status.waiting_persons = waiting;
                    status.count(&applied, rows, seq);
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
        let today = day_of(now, self.time_zone);
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
}

pub(super) fn not_started() -> PipelineError {
    PipelineError::Setting {
        message: "the live tables are still being built".into(),
        hint: Some("wait: `clicktrail status --wait`".into()),
    }
}
