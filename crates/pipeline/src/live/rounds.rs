//! Frames on their way to the tables: some wait, some are staged, one round of them is applied.
//!
//! A round is all that is staged, so the slower rounds are, the more events share one. What comes while a round is applied is staged
//! meanwhile where it is much, so that the next round has it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clicktrail_eventlog::Frame;

use super::staging::Staged;
use crate::error::Result;

/// Events that are worth being staged by themselves while others, staged before, wait for their turn.
const WORTH_STAGING: u64 = 1_000;

/// Frames that were staged together.
pub(super) struct StagedRound {
    pub(super) frames: Vec<Arc<Frame>>,
    /// `None` when there is no event among them.
    pub(super) rows: Result<Option<Staged>>,
}

impl StagedRound {
    fn events(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.rows)).sum()
    }

    /// Takes in the round after this one; gives it back where the two can't be applied together.
    fn join(&mut self, next: Self) -> Option<Self> {
        match (&mut self.rows, next) {
            (Ok(Some(rows)), Self { frames, rows: Ok(Some(more)) }) => match rows.join(more) {
                None => self.frames.extend(frames),
                Some(more) => return Some(Self { frames, rows: Ok(Some(more)) }),
            },
            (Ok(_), Self { frames, rows: Ok(None) }) => self.frames.extend(frames),
            (Ok(none), Self { frames, rows: Ok(Some(more)) }) => {
                *none = Some(more);
                self.frames.extend(frames);
            }
            (_, next) => return Some(next),
        }
        None
    }
}

/// What whoever applies rounds does next.
pub(super) enum Turn {
    /// This round, then [`Rounds::applied`].
    Round(StagedRound),
    /// The time that was asked for has come.
    Due,
    /// Nothing will come any more.
    End,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    /// Events of `frames`.
    events: u64,
    /// When the first event came of the round that is staged now.
    staging: Option<i64>,
    staged: VecDeque<StagedRound>,
    /// Events of `staged`.
    staged_events: u64,
    /// The same of the round that is applied now.
    applying: Option<i64>,
    ends: bool,
    /// Nothing will be staged any more.
    is_staged: bool,
    /// Nothing will be applied any more.
    is_applied: bool,
}

impl Waiting {
    /// Whether something is to be staged now, or nothing ever.
    fn has_work(&self, events_max: u64) -> bool {
        if self.staged.is_empty() {
            return !self.frames.is_empty() || self.ends;
        }
        self.events >= WORTH_STAGING && self.staged_events < events_max
    }

    /// When the first event came that is not in the tables.
    fn oldest(&self) -> Option<i64> {
        let staged = self.staged.front().and_then(|round| round.frames.first());
        self.applying
            .or(staged.map(|frame| frame.received_at))
            .or(self.staging)
            .or(self.frames.front().map(|frame| frame.received_at))
    }
}

/// See the module's text.
pub(super) struct Rounds {
    waiting: Mutex<Waiting>,
    moved: Condvar,
    events_max: u64,
    bytes_max: usize,
}

impl Rounds {
    /// Nothing waits yet. A round has `events_max` events or few more; senders are held back while more than `bytes_max`
    /// bytes wait.
    pub(super) fn new(events_max: u64, bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), moved: Condvar::new(), events_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'w>(&self, waiting: MutexGuard<'w, Waiting>) -> MutexGuard<'w, Waiting> {
        self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes frames in, in order; waits while too many wait.
    pub(super) fn push(&self, frames: Vec<Frame>) {
        let mut waiting = self.lock();
        while waiting.bytes > self.bytes_max && !waiting.ends {
            waiting = self.wait(waiting);
        }
        for frame in frames {
            waiting.bytes += frame.payload.len();
            waiting.events += u64::from(frame.rows);
            waiting.frames.push_back(Arc::new(frame));
        }
        drop(waiting);
        self.moved.notify_all();
    }

    /// When the oldest event came that is not in the tables, microseconds since 1970.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.lock().oldest()
    }

    /// What waits is still worked off, then all ends.
    pub(super) fn end(&self) {
        self.lock().ends = true;
        self.moved.notify_all();
    }

    /// The next frames to stage; `None` at the end. Few of them wait for the round before to be applied.
    pub(super) fn take(&self) -> Option<Vec<Arc<Frame>>> {
        let mut waiting = self.lock();
        while !waiting.has_work(self.events_max) {
            if waiting.is_applied {
                return None;
            }
            waiting = self.wait(waiting);
        }
        let mut left = self.events_max.saturating_sub(waiting.staged_events);
        let mut round = Vec::new();
        while let Some(frame) = waiting.frames.pop_front() {
            let events = u64::from(frame.rows);
            waiting.bytes -= frame.payload.len();
            waiting.events -= events;
            round.push(frame);
            left = left.saturating_sub(events);
            if left == 0 {
                break;
            }
        }
        waiting.staging = round.first().map(|frame| frame.received_at);
        drop(waiting);
        self.moved.notify_all();
        (!round.is_empty()).then_some(round)
    }

    /// The frames taken last are staged.
    pub(super) fn give(&self, round: StagedRound) {
        let mut waiting = self.lock();
        waiting.staging = None;
        waiting.staged_events += round.events();
        waiting.staged.push_back(round);
        drop(waiting);
        self.moved.notify_all();
    }

    /// Nothing will be staged any more.
    pub(super) fn staging_ends(&self) {
        self.lock().is_staged = true;
        self.moved.notify_all();
    }

    /// Nothing will be applied any more.
    pub(super) fn applying_ends(&self) {
        self.lock().is_applied = true;
        self.moved.notify_all();
    }

    /// The next round to apply. `due` says in how many seconds something else is to be done, and that is not done at the
    /// end.
    pub(super) fn next(&self, due: impl Fn() -> Option<f64>) -> Turn {
        let mut waiting = self.lock();
        loop {
            let left = due();
            if !waiting.ends && left.is_some_and(|left| left <= 0.0) {
                return Turn::Due;
            }
            if let Some(mut round) = waiting.staged.pop_front() {
                while let Some(next) = waiting.staged.pop_front() {
                    if let Some(next) = round.join(next) {
                        waiting.staged.push_front(next);
                        break;
                    }
                }
                waiting.staged_events -= round.events();
                waiting.applying = round.frames.first().map(|frame| frame.received_at);
                drop(waiting);
                self.moved.notify_all();
                return Turn::Round(round);
            }
            if waiting.is_staged {
                return Turn::End;
            }
            waiting = match left {
                Some(left) if !waiting.ends => {
                    let woken = self.moved.wait_timeout(waiting, Duration::from_secs_f64(left));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                _ => self.wait(waiting),
            };
        }
    }

    /// The round given last is in the tables.
    pub(super) fn applied(&self) {
        self.lock().applying = None;
    }
}

#[cfg(test)]
mod tests {
    use clicktrail_eventlog::Kind;

    use super::*;

    fn frames(seqs: std::ops::Range<u64>) -> Vec<Frame> {
        let frame = |seq| Frame {
            seq,
            kind: Kind::Events,
            rows: 10,
            received_at: seq as i64,
            payload: vec![0; 100],
        };
        seqs.map(frame).collect()
    }

    fn stage(rounds: &Rounds) -> Vec<u64> {
        let frames = rounds.take().unwrap();
        let seqs = frames.iter().map(|frame| frame.seq).collect();
        rounds.give(StagedRound { frames, rows: Ok(None) });
        seqs
    }

    fn next(rounds: &Rounds) -> Vec<u64> {
        match rounds.next(|| None) {
            Turn::Round(round) => round.frames.iter().map(|frame| frame.seq).collect(),
            Turn::Due | Turn::End => Vec::new(),
        }
    }

    #[test]
    fn frames_are_staged_and_applied_in_order_and_the_oldest_is_known() {
        let rounds = Rounds::new(25, 1_000_000);
        assert_eq!(rounds.oldest(), None);
        rounds.push(frames(1..6));
        assert_eq!(stage(&rounds), [1, 2, 3]);
        assert_eq!(next(&rounds), [1, 2, 3]);
        assert_eq!(stage(&rounds), [4, 5]);
        rounds.push(frames(6..7));
        assert_eq!(rounds.oldest(), Some(1));
        rounds.applied();
        assert_eq!(rounds.oldest(), Some(4));
        assert_eq!(next(&rounds), [4, 5]);
        rounds.applied();
        assert_eq!(rounds.oldest(), Some(6));
        let taken = rounds.take().unwrap();
        assert_eq!(rounds.oldest(), Some(6));
        rounds.give(StagedRound { frames: taken, rows: Ok(None) });
        assert_eq!(next(&rounds), [6]);
        rounds.applied();
        assert_eq!(rounds.oldest(), None);
    }

    #[test]
    fn much_that_comes_while_a_round_waits_shares_its_turn() {
        let rounds = Rounds::new(5_000, 1_000_000);
        rounds.push(frames(1..3));
        assert_eq!(stage(&rounds), [1, 2]);
        rounds.push(frames(3..103));
        assert_eq!(stage(&rounds).len(), 100);
        assert_eq!(rounds.oldest(), Some(1));
        assert_eq!(next(&rounds), (1..103).collect::<Vec<_>>());
        rounds.applied();
        assert_eq!(rounds.oldest(), None);
    }

    #[test]
    fn rounds_do_not_outgrow_their_limit() {
        let rounds = Rounds::new(1_500, 1_000_000);
        rounds.push(frames(1..101));
        assert_eq!(stage(&rounds).len(), 100);
        rounds.push(frames(101..301));
        assert_eq!(stage(&rounds).len(), 50);
        assert_eq!(next(&rounds).len(), 150);
        assert_eq!(stage(&rounds).len(), 150);
    }

    #[test]
    fn what_waits_is_worked_off_before_the_end() {
        let rounds = Rounds::new(25, 1_000_000);
        rounds.push(frames(1..6));
        rounds.end();
        assert_eq!(stage(&rounds), [1, 2, 3]);
        assert!(
            matches!(rounds.next(|| Some(0.0)), Turn::Round(_)),
            "nothing else is due any more"
        );
        assert_eq!(stage(&rounds), [4, 5]);
        rounds.staging_ends();
        assert_eq!(next(&rounds), [4, 5]);
        assert!(matches!(rounds.next(|| None), Turn::End));
    }

    #[test]
    fn nobody_waits_for_a_thread_that_is_gone() {
        let rounds = Rounds::new(25, 1_000_000);
        rounds.push(frames(1..6));
        assert_eq!(stage(&rounds), [1, 2, 3]);
        rounds.applying_ends();
        assert!(rounds.take().is_none());
        rounds.staging_ends();
        assert_eq!(next(&rounds), [1, 2, 3]);
        assert!(matches!(rounds.next(|| None), Turn::End));
    }

    #[test]
    fn something_due_comes_before_rounds_and_while_nothing_comes() {
        let rounds = Rounds::new(25, 1_000_000);
        let clock = std::time::Instant::now();
        let due = || Some(0.01 - clock.elapsed().as_secs_f64());
        assert!(matches!(rounds.next(due), Turn::Due));
        rounds.push(frames(1..2));
        stage(&rounds);
        assert!(matches!(rounds.next(|| Some(0.0)), Turn::Due));
        assert_eq!(next(&rounds), [1]);
    }

    #[test]
    fn senders_wait_while_too_much_waits() {
        let rounds = Rounds::new(25, 250);
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| (1..20).for_each(|seq| rounds.push(frames(seq..seq + 1))));
            let mut applied = Vec::new();
            while applied.len() < 19 {
                stage(&rounds);
                applied.extend(next(&rounds));
                rounds.applied();
                assert!(rounds.lock().bytes <= 350);
            }
            sender.join().unwrap();
            assert_eq!(applied, (1..20).collect::<Vec<_>>());
        });
    }
}
