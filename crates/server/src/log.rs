//! What the server asks of the durable log, and how the log of this workspace gives it.

use std::sync::{Arc, Mutex, PoisonError};

use clicktrail_eventlog::{AppendError, Appender, Busy, Counters, Done, Entry, Kind};

use crate::producer::ProducerMark;

/// A durable log as the server sees it.
pub trait Log: Send + Sync {
    /// Queues a batch and returns at once. `done` is told the batch's sequence number when all of
    /// it is synced to disk, or why it is not.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full; `done` is then dropped uncalled.
    fn append(&self, batch: Batch, done: Done) -> Result<(), Busy>;

    /// Figures for `/metrics`.
    fn figures(&self) -> LogFigures;
}

/// What one request brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// When the request came, microseconds since 1970 in UTC.
    pub received_at: i64,
    /// Good events, one JSON line each.
    pub events: Lines,
    /// Refused events, one JSON line each.
    pub dead_letters: Lines,
    /// How far the sender's own numbering is with this batch.
    pub producer: Option<ProducerMark>,
}

/// Newline-terminated lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many.
    pub rows: u32,
    /// Their bytes.
    pub payload: Vec<u8>,
}

/// Figures of the log since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Bytes that wait or are being written.
    pub queued_bytes: usize,
    /// Highest sequence number that is on disk.
    pub durable_seq: u64,
    /// What was written and synced.
    pub counters: Counters,
}

/// A batch becomes up to three frames: dead letters, events, mark of the producer, in this order.
///
/// A log loses nothing but its end in a crash. So events are never found without the dead letters
/// of their request, nor a mark without its events; and as the sender is told only when all are
/// synced, what was cut off is sent again, and recognised.
impl Log for Appender {
    fn append(&self, batch: Batch, done: Done) -> Result<(), Busy> {
        let received_at = batch.received_at;
        let mark = batch.producer.map(|mark| Lines { rows: 1, payload: mark.to_line() });
        let parts = [
            (Kind::DeadLetters, batch.dead_letters),
            (Kind::Events, batch.events),
            (Kind::Control, mark.unwrap_or_default()),
        ];
        let entries: Vec<Entry> = parts
            .into_iter()
            .filter(|(_, lines)| lines.rows > 0)
            .map(|(kind, Lines { rows, payload })| Entry { kind, rows, received_at, payload })
            .collect();
        let all =
            Arc::new(Mutex::new(Waiting { left: entries.len(), highest: Ok(0), done: Some(done) }));
        for entry in entries {
            let all = Arc::clone(&all);
            self.submit(entry, Box::new(move |result| tell(&all, result)))?;
        }
        Ok(())
    }

    fn figures(&self) -> LogFigures {
        LogFigures {
            queued_bytes: self.queued_bytes(),
            durable_seq: self.durable_seq(),
            counters: self.counters(),
        }
    }
}

/// The frames of a batch that are not synced yet.
struct Waiting {
    left: usize,
    highest: Result<u64, AppendError>,
    done: Option<Done>,
}

fn tell(all: &Mutex<Waiting>, result: Result<u64, AppendError>) {
    let mut waiting = all.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.left -= 1;
    waiting.highest = match (std::mem::replace(&mut waiting.highest, Ok(0)), result) {
        (Ok(one), Ok(other)) => Ok(one.max(other)),
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    if waiting.left == 0
        && let Some(done) = waiting.done.take()
    {
        let highest = std::mem::replace(&mut waiting.highest, Ok(0));
        drop(waiting);
        done(highest);
    }
}
