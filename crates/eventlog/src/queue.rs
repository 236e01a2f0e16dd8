//! What waits for the log thread: bounded in bytes, handed over in groups.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::Entry;
use crate::error::{AppendError, Busy};
use crate::format::FRAME_HEADER_BYTES;
use crate::settings::Settings;
use crate::writer::Done;

/// Someone who waits for an answer and gets one, whatever happens.
pub(crate) struct Reply(Option<Done>);

impl Reply {
    pub(crate) fn new(done: Done) -> Self {
        Self(Some(done))
    }

    pub(crate) fn answer(mut self, result: Result<u64, AppendError>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(AppendError::Failed("the log thread ended".to_owned())));
        }
    }
}

/// Entries to be written and synced together.
#[derive(Default)]
pub(crate) struct Group {
    pub(crate) entries: Vec<Entry>,
    pub(crate) replies: Vec<Reply>,
    /// What they count for in the queue's bound.
    pub(crate) bytes: usize,
}

/// Why nothing more is taken.
#[derive(Debug, Clone)]
enum End {
    Stopped,
    Failed(String),
}

impl End {
    fn error(&self) -> AppendError {
        match self {
            Self::Stopped => AppendError::Stopped,
            Self::Failed(reason) => AppendError::Failed(reason.clone()),
        }
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Entry, Reply)>,
    waiting_bytes: usize,
    /// Bytes of the group that is being written.
    busy_bytes: usize,
    end: Option<End>,
    /// The log thread sleeps until it is woken.
    asleep: bool,
}

/// The queue between those who submit and the log thread.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    settings: Settings,
}

/// What an entry counts for.
fn cost(entry: &Entry) -> usize {
    entry.payload.len() + FRAME_HEADER_BYTES
}

impl Queue {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new(), settings }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing of ours panics while it holds the lock, and a poisoned queue must still answer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an entry, or says busy. An entry that can never be written is answered at once.
    pub(crate) fn push(&self, entry: Entry, done: Done) -> Result<(), Busy> {
        let (bytes, limit_bytes) = (entry.payload.len(), self.settings.max_entry_bytes);
        if bytes > limit_bytes {
            done(Err(AppendError::TooLarge { bytes, limit_bytes }));
            return Ok(());
        }
        let mut state = self.state();
        if let Some(end) = &state.end {
            let error = end.error();
            drop(state);
            done(Err(error));
            return Ok(());
        }
        let queued_bytes = state.waiting_bytes + state.busy_bytes;
        let limit_bytes = self.settings.max_queue_bytes;
        // An entry of the largest size, with its header, must fit an empty queue.
        if queued_bytes > 0 && queued_bytes + cost(&entry) > limit_bytes {
            return Err(Busy { queued_bytes, limit_bytes });
        }
        state.waiting_bytes += cost(&entry);
        state.waiting.push_back((entry, Reply::new(done)));
        if state.asleep {
            self.arrived.notify_one();
        }
        Ok(())
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        let state = self.state();
        state.waiting_bytes + state.busy_bytes
    }

    /// Waits for the next group; nothing when the queue has ended and is empty.
    ///
    /// `last` is the number of entries in the group before. When it was more than one the log is
    /// busy, and a smaller group waits for company as long as the settings allow.
    pub(crate) fn next(&self, last: usize) -> Option<Group> {
        let mut state = self.state();
        state.asleep = true;
        state = self
            .arrived
            .wait_while(state, |state| state.waiting.is_empty() && state.end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let wait = self.settings.group_wait;
        if !wait.is_zero() && last > 1 {
            let alone = |state: &mut State| {
                state.waiting.len() < last
                    && state.waiting_bytes < self.settings.group_bytes
                    && state.end.is_none()
            };
            (state, _) = self
                .arrived
                .wait_timeout_while(state, wait, alone)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let group = take(&mut state, self.settings.group_bytes);
        (!group.entries.is_empty()).then_some(group)
    }

    /// The group that was handed over last is done with.
    pub(crate) fn finished(&self, bytes: usize) {
        let mut state = self.state();
        state.busy_bytes = state.busy_bytes.saturating_sub(bytes);
    }

    /// Takes nothing more; what waits is still handed over.
    pub(crate) fn stop(&self) {
        let mut state = self.state();
        state.end.get_or_insert(End::Stopped);
        self.arrived.notify_all();
    }

    /// Takes nothing more, and answers all who wait.
    pub(crate) fn fail(&self, reason: &str) {
        let mut state = self.state();
        state.end = Some(End::Failed(reason.to_owned()));
        let waiting = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        drop(state);
        for (_, reply) in waiting {
            reply.answer(Err(AppendError::Failed(reason.to_owned())));
        }
    }
}

/// Moves at least one entry, and as many as fit, from the queue to a group.
fn take(state: &mut State, group_bytes: usize) -> Group {
    let mut group = Group::default();
    while let Some((entry, _)) = state.waiting.front() {
        let cost = cost(entry);
        if !group.entries.is_empty() && group.bytes + cost > group_bytes {
            break;
        }
        let Some((entry, reply)) = state.waiting.pop_front() else { break };
        group.bytes += cost;
        group.entries.push(entry);
        group.replies.push(reply);
    }
    state.waiting_bytes -= group.bytes;
    state.busy_bytes += group.bytes;
    group
}
