//! What the server asks of the durable log.

use crate::producer::ProducerMark;

/// Called once, after the batch's group is synced to disk, with its sequence number.
pub type Done = Box<dyn FnOnce(Result<u64, AppendError>) + Send>;

/// A durable log as the server sees it.
pub trait Log: Send + Sync {
    /// Queues a batch and returns at once. The batch is on disk when `done` is told so.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full; `done` is then dropped uncalled.
    fn append(&self, batch: Batch, done: Done) -> Result<(), Busy>;

    /// Why new events would be refused now, if they would: less than 5 % of the disk is free.
    fn refuses(&self) -> Option<AppendError> {
        None
    }

    /// Counters for `/metrics`.
    fn figures(&self) -> LogFigures {
        LogFigures::default()
    }
}

/// What one request brings. All of it becomes durable together, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// When the request came, microseconds since 1970 in UTC.
    pub received_at: i64,
    /// Good events, one JSON line each.
    pub events: Lines,
    /// Rejected events, one JSON line each.
    pub dead_letters: Lines,
    /// How far the sender's own numbering is with this batch.
    pub producer: Option<ProducerMark>,
}

impl Batch {
    /// Bytes of both payloads.
    pub fn bytes(&self) -> usize {
        self.events.payload.len() + self.dead_letters.payload.len()
    }
}

/// Newline-terminated lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    /// How many.
    pub rows: u32,
    /// Their bytes.
    pub payload: Vec<u8>,
}

/// The queue is full: try again soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// Why a batch is not on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// The disk is full; it may have room later.
    Full,
    /// Writing or syncing failed; the process is about to stop.
    Failed,
    /// The log has been closed.
    Stopped,
}

/// Counters of the log since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LogFigures {
    /// Groups that were synced.
    pub syncs: u64,
    /// Seconds spent in syncing.
    pub sync_seconds: f64,
}
