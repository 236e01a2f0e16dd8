//! Bytes to durable, sequenced frames: the log that an event is in before its sender is told that
//! it is stored. It knows nothing of GA4, HTTP or SQL.
//!
//! [`Log`] appends, syncs, reads and releases; [`start`] puts it on a thread of its own that
//! gathers entries into groups; [`repair`] mends what was damaged. The README says what is
//! promised, what the bytes are, and how a torn tail is told from damage.

mod ack;
mod active;
mod counters;
mod disk;
mod error;
mod format;
mod frames;
mod log;
mod queue;
mod recovery;
mod repair;
mod scan;
mod settings;
mod shelf;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod writer;

pub use counters::{Counters, SYNC_BOUNDS};
pub use disk::real::RealDisk;
pub use disk::{Disk, DiskFile, DiskLock, Space};
pub use error::{AppendError, Busy, ErrorKind, LogError};
pub use format::{FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, VERSION};
pub use frames::Frames;
pub use log::{Clock, Log};
pub use recovery::{Opened, TornTail};
pub use repair::{Loss, RepairReport, repair};
pub use settings::Settings;
pub use writer::{Appender, Done, OnFatal, OnFrames, Writer, start};

/// What the payload of a frame is for. The log itself treats all kinds alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Accepted events.
    Events = 1,
    /// Refused events, kept for replay.
    DeadLetters = 2,
    /// Statements about the log's contents, such as the erasure of a person.
    Control = 3,
}

impl Kind {
    /// The kind of a stored byte.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Events, Self::DeadLetters, Self::Control]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// Bytes to be stored, before they have a place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the payload is for.
    pub kind: Kind,
    /// Rows in the payload, as the caller counts them.
    pub rows: u32,
    /// When the caller received the bytes, in microseconds since 1970.
    pub received_at: i64,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Place in the log: 1, 2, 3 …, one per frame.
    pub seq: u64,
    /// What the payload is for.
    pub kind: Kind,
    /// Rows in the payload, as the caller counted them.
    pub rows: u32,
    /// When the caller received the bytes, in microseconds since 1970.
    pub received_at: i64,
    /// The bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The entry that got the place `seq`.
    pub(crate) fn new(seq: u64, entry: Entry) -> Self {
        let Entry { kind, rows, received_at, payload } = entry;
        Self { seq, kind, rows, received_at, payload }
    }
}
