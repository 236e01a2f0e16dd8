//! What the server asks of the durable log, and how the log of this workspace gives it.

use clicktrail_eventlog::{Appender, Busy, Counters, Done, Entry, Kind};
use clicktrail_ingest::collect::Envelope;

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

/// The log of a server that takes no events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl Log for NoLog {
    /// The routes that bring batches are closed; one that came here would be refused.
    fn append(&self, _batch: Batch, _done: Done) -> Result<(), Busy> {
        Err(Busy { queued_bytes: 0, limit_bytes: 0 })
    }

    fn figures(&self) -> LogFigures {
        LogFigures::default()
    }
}

/// A batch is one frame, so its events, its dead letters and the mark of its sender become durable together.
impl Log for Appender {
    fn append(&self, batch: Batch, done: Done) -> Result<(), Busy> {
        let Batch { received_at, events, dead_letters, producer } = batch;
        let kind = if events.rows > 0 { Kind::Events } else { Kind::DeadLetters };
        let envelope = Envelope {
            events: events.rows,
            event_lines: events.payload,
            dead_letters: dead_letters.rows,
            dead_letter_lines: dead_letters.payload,
            producer: producer.map(|mark| mark.to_json()),
        };
        let payload = envelope.encode();
        self.submit(Entry { kind, rows: events.rows, received_at, payload }, done)
    }

    fn figures(&self) -> LogFigures {
        LogFigures {
            queued_bytes: self.queued_bytes(),
            durable_seq: self.durable_seq(),
            counters: self.counters(),
        }
    }
}
