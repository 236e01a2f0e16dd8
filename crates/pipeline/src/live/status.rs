//! How the live tables stand.

use std::collections::BTreeMap;

use super::marts::Applied;
use crate::report::Problem;

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

impl LiveStatus {
    /// Counts a round of frames up to `seq`; `rows` are those of each table after it.
    pub(super) fn count(&mut self, applied: &Applied, rows: BTreeMap<String, u64>, seq: u64) {
        self.rows = rows;
        self.applied_seq = self.applied_seq.max(seq);
        self.events += applied.events;
        self.duplicates += applied.duplicates;
        self.superseded += applied.superseded;
        self.late += applied.late;
    }
}
