//! Threads that take frames from the log to the live tables and, later, into the warehouse.
//!
//! The thread `stage` takes all frames that wait and makes staged rows of them, while the thread `apply` brings the
//! round before into the tables. The thread `store` moves frames that were applied into the table `events_stream`;
//! only then may the log drop them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clicktrail_eventlog::Frame;
use clicktrail_ingest::collect::{self, EnvelopeParts};

use super::rounds::{Rounds, StagedRound, Turn};
use super::rows::arrow_fault;
use super::service::Live;
use super::staging::Staged;
use super::store::{AppliedRound, Unstored, portions, take_apart};
use crate::clock::Clock;
use crate::error::Result;
use crate::report::Silent;

/// How frames are followed.
#[derive(Debug, Clone)]
pub struct FollowSettings {
    /// Most events of one round; more would make those that wait wait longer.
    pub round_events: u64,
    /// Bytes of frames that may wait. When the tables are further behind, senders are held back.
    pub waiting_bytes: usize,
    /// Events that may be in memory and in the log only; then they are stored.
    pub unstored_events: u64,
    /// They are stored at the latest after this time.
    pub store_every: Duration,
    /// How often the warehouse's tables are built from what is stored, so that other programs see it.
    pub publish_every: Duration,
    /// How often some persons are computed anew and compared.
    pub audit_every: Duration,
    /// How many persons an audit looks at.
    pub audit_persons: usize,
}

impl Default for FollowSettings {
    fn default() -> Self {
        Self {
            round_events: 100_000,
            waiting_bytes: 512 << 20,
            unstored_events: 200_000,
            store_every: Duration::from_secs(60),
            publish_every: Duration::from_secs(600),
            audit_every: Duration::from_secs(60),
            audit_persons: 50,
        }
    }
}

/// Called with the last frame that the log need not keep.
pub type Release = Box<dyn Fn(u64) + Send>;

struct Shared {
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    settings: FollowSettings,
    rounds: Rounds,
    /// Held during a round, and while the tables are loaded anew.
    turn: Mutex<()>,
    /// Raw rows of rounds that were applied and that the thread `store`, which may be building tables, has not taken yet.
    rows_to_store: AtomicU64,
}

/// Frames on their way into the tables.
#[derive(Clone)]
pub struct Inlet {
    shared: Arc<Shared>,
}

impl Inlet {
    /// Where frames wait until the tables are ready.
    pub fn new(live: Arc<Live>, clock: Arc<dyn Clock>, settings: FollowSettings) -> Self {
        let rounds = Rounds::new(settings.round_events, settings.waiting_bytes);
        let (turn, rows_to_store) = (Mutex::default(), AtomicU64::default());
        Self { shared: Arc::new(Shared { live, clock, settings, rounds, turn, rows_to_store }) }
    }

    /// Takes frames in, in order; waits while too many wait.
    pub fn push(&self, frames: Vec<Frame>) {
        self.shared.rounds.push(frames);
    }

    /// Seconds since the oldest event came that the tables lack.
    pub fn lag_seconds(&self) -> f64 {
        let oldest = self.shared.rounds.oldest();
        let now = self.shared.clock.now_micros();
        oldest.map_or(0.0, |oldest| (now - oldest).max(0) as f64 / 1e6)
    }

    /// Begins to bring the tables, which must be loaded, up to date.
    pub fn start(&self, release: Release) -> Follower {
        let (sender, receiver) = mpsc::channel();
        let staging = Work(Arc::clone(&self.shared), Rounds::staging_ends);
        let applying = Work(Arc::clone(&self.shared), Rounds::applying_ends);
        let storing = Arc::clone(&self.shared);
        let threads = [
            named("stage", move || staging.0.stage()),
            named("apply", move || applying.0.apply(&sender)),
            named("store", move || storing.store(&receiver, &release)),
        ];
        Follower { shared: Arc::clone(&self.shared), threads }
    }
}

/// The threads at work.
pub struct Follower {
    shared: Arc<Shared>,
    threads: [Option<JoinHandle<()>>; 3],
}

impl Follower {
    /// Applies and stores what waits, and ends.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.rounds.end();
        for thread in self.threads.iter_mut().filter_map(Option::take) {
            if thread.join().is_err() {
                tracing::error!("a thread of live refresh stopped by a fault of Clicktrail");
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.end();
    }
}

/// A thread that tools show under its name; `None` when the system gives no more threads.
fn named(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    match std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::error!(name, %error, "no thread for live refresh: events are taken, tables stand still");
            None
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events that are staged together.
const STAGED_EVENTS: u32 = 4_096;

/// Of the time that persons with very many events take, so much passes between two times.
const HEAVY_PAUSE: f64 = 99.0;

/// What a thread works with. When it ends, however it does, and when there is no such thread, the rounds are told, so that
/// nobody waits for it.
struct Work(Arc<Shared>, fn(&Rounds));

impl Drop for Work {
    fn drop(&mut self) {
        self.1(&self.0.rounds);
    }
}

impl Shared {
    fn stage(&self) {
        while let Some(frames) = self.rounds.take() {
            let rows = self.stage_round(&frames);
            self.rounds.give(StagedRound { frames, rows });
        }
    }

    /// The staged rows of some frames; `None` when there is no event among them.
    fn stage_round(&self, frames: &[Arc<Frame>]) -> Result<Option<Staged>> {
        let parts: Vec<EnvelopeParts<'_>> =
            frames.iter().map(|frame| take_apart(frame)).collect::<Result<_>>()?;
        if parts.iter().all(|part| part.events == 0) {
            return Ok(None);
        }
        let staging = self.live.staging()?;
        let mut staged = Staged::none(Arc::clone(&staging));
        for portion in portions(&parts, STAGED_EVENTS, |part| part.events) {
            let lines = portion.iter().map(|part| part.event_lines);
            let rows = collect::decode(lines, None)?;
            staged.add(self.live.erased.without(rows).map_err(arrow_fault)?)?;
        }
        Ok(Some(staged))
    }

    fn apply(&self, stored: &Sender<AppliedRound>) {
        let (mut audited, mut due) = (self.clock.seconds(), 0.0);
        loop {
            let left = || {
                let somebody_waits = self.live.status().waiting_persons > 0;
                somebody_waits.then(|| due - self.clock.seconds())
            };
            let round = match self.rounds.next(left) {
                Turn::Round(round) => round,
                Turn::Due => {
                    due = self.catch_up();
                    continue;
                }
                Turn::End => return,
            };
            let turn = lock(&self.turn);
            let StagedRound { frames, mut rows } = round;
            let mut applied = AppliedRound::of(frames, &mut rows);
            if let Err(error) = self.apply_round(&applied.frames, rows) {
                tracing::error!(code = error.code(), %error, "the live tables stand still");
            }
            self.rounds.applied();
            if self.rows_to_store.load(Ordering::Relaxed) > self.settings.unstored_events {
                applied.forget_rows();
            }
            self.rows_to_store.fetch_add(applied.raw_rows(), Ordering::Relaxed);
            // Events stay durable and are stored even when the tables can't follow.
            if stored.send(applied).is_err() {
                return;
            }
            drop(turn);
            let now = self.clock.seconds();
            if now - audited > self.settings.audit_every.as_secs_f64() {
                audited = now;
                self.audit();
            }
        }
    }

    /// Computes the persons who wait; gives when they may have their turn again.
    fn catch_up(&self) -> f64 {
        let _turn = lock(&self.turn);
        let start = self.clock.seconds();
        if let Err(error) = self.live.catch_up() {
            tracing::error!(code = error.code(), %error, "the live tables stand still");
        }
        let end = self.clock.seconds();
        end + HEAVY_PAUSE * (end - start)
    }

    fn audit(&self) {
        let seed = self.clock.now_micros().unsigned_abs();
        match self.live.audit(seed, self.settings.audit_persons) {
            Ok(0) => {}
            Ok(mismatches) => {
                tracing::error!(mismatches, "live tables differ from a build: please report this");
            }
            Err(error) => tracing::warn!(code = error.code(), %error, "the audit could not run"),
        }
    }

    fn apply_round(&self, frames: &[Arc<Frame>], rows: Result<Option<Staged>>) -> Result<()> {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return Ok(()) };
        let Some(mut rows) = rows.map_err(|error| self.live.stand_still(error))? else {
            self.live.skip_to(last.seq);
            return Ok(());
        };
        if !rows.is_by(&self.live.staging()?) {
            // The tables were loaded anew since.
            let again = self.stage_round(frames).map_err(|error| self.live.stand_still(error))?;
            let Some(again) = again else { return Ok(()) };
            rows = again;
        }
        self.live.apply_staged(rows, last.seq, last.received_at, first.received_at)
    }

    fn store(&self, applied: &Receiver<AppliedRound>, release: &Release) {
        let mut unstored = Unstored::default();
        let (mut stored, mut published) = (self.clock.seconds(), self.clock.seconds());
        loop {
            let every = self.settings.store_every.as_secs_f64();
            let left = (stored + every - self.clock.seconds()).clamp(0.01, every);
            let ends = match applied.recv_timeout(Duration::from_secs_f64(left)) {
                Ok(round) => {
                    self.take(&mut unstored, round);
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            let is_time = self.clock.seconds() - stored >= every;
            if is_time || ends || unstored.events >= self.settings.unstored_events {
                unstored.store(&self.live, release);
            }
            if ends {
                return;
            }
            if is_time {
                stored = self.clock.seconds();
                if self.live.exports_changed() {
                    self.load_anew(applied, &mut unstored, release);
                    published = self.clock.seconds();
                } else if stored - published >= self.settings.publish_every.as_secs_f64() {
                    self.publish();
                    published = self.clock.seconds();
                }
            }
        }
    }

    fn take(&self, unstored: &mut Unstored, round: AppliedRound) {
        self.rows_to_store.fetch_sub(round.raw_rows(), Ordering::Relaxed);
        unstored.take(&self.live, round);
    }

    /// Builds the warehouse's tables, beside the live ones.
    fn publish(&self) {
        if let Err(error) = self.live.build(&Silent) {
            tracing::error!(code = error.code(), %error, "the tables could not be built");
        }
    }

    /// A day was exported, or exported again: rounds wait while the tables are built and loaded with it [2.25].
    fn load_anew(
        &self,
        applied: &Receiver<AppliedRound>,
        unstored: &mut Unstored,
        release: &Release,
    ) {
        let _turn = lock(&self.turn);
        while let Ok(round) = applied.try_recv() {
            self.take(unstored, round);
        }
        unstored.store(&self.live, release);
        if !unstored.frames.is_empty() {
            // Not stored, so not in a build either: try again next time.
            return;
        }
        tracing::info!("the export has changed: the tables are built and loaded anew");
        if let Err(error) = self.live.start(&Silent) {
            tracing::error!(code = error.code(), %error, "the changed export could not be built");
        }
    }
}
