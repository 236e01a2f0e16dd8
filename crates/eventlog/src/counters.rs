//! What the log counts, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the classes of sync durations; one more class holds all longer ones.
pub const SYNC_BOUNDS: [Duration; 14] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
];

/// What an open log did up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Groups written; each was one write.
    pub groups: u64,
    /// Frames written.
    pub frames: u64,
    /// Rows in these frames.
    pub rows: u64,
    /// Bytes of these frames, headers included.
    pub bytes: u64,
    /// Syncs of frames.
    pub syncs: u64,
    /// Groups refused because there was no space.
    pub full: u64,
    /// Entries refused because the queue was full.
    pub busy: u64,
    /// Duration of the last sync; zero as long as no clock is set.
    pub sync_last: Duration,
    /// Duration of all syncs.
    pub sync_total: Duration,
    /// Syncs by duration: one class for each of [`SYNC_BOUNDS`] (not cumulative), then the longer
    /// ones.
    pub sync_classes: [u64; SYNC_BOUNDS.len() + 1],
}

/// The same, written by the log and read by others.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    groups: AtomicU64,
    frames: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    full: AtomicU64,
    busy: AtomicU64,
    sync_last_ns: AtomicU64,
    sync_total_ns: AtomicU64,
    sync_classes: [AtomicU64; SYNC_BOUNDS.len() + 1],
}

impl Tally {
    pub(crate) fn group(&self, frames: usize, rows: u64, bytes: usize) {
        self.groups.fetch_add(1, Relaxed);
        self.frames.fetch_add(frames as u64, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn synced(&self, took: Option<Duration>) {
        self.syncs.fetch_add(1, Relaxed);
        if let Some(took) = took {
            let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.sync_last_ns.store(nanos, Relaxed);
            self.sync_total_ns.fetch_add(nanos, Relaxed);
            let class = SYNC_BOUNDS.partition_point(|bound| *bound < took);
            self.sync_classes[class].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn full(&self) {
        self.full.fetch_add(1, Relaxed);
    }

    pub(crate) fn busy(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        Counters {
            groups: self.groups.load(Relaxed),
            frames: self.frames.load(Relaxed),
            rows: self.rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            full: self.full.load(Relaxed),
            busy: self.busy.load(Relaxed),
            sync_last: Duration::from_nanos(self.sync_last_ns.load(Relaxed)),
            sync_total: Duration::from_nanos(self.sync_total_ns.load(Relaxed)),
            sync_classes: self.sync_classes.each_ref().map(|class| class.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_belongs_to_the_first_bound_that_is_not_below_it() {
        let tally = Tally::default();
        for micros in [1, 100, 101, 3_000_000] {
            tally.synced(Some(Duration::from_micros(micros)));
        }
        let counted = tally.read();
        assert_eq!((counted.sync_classes[0], counted.sync_classes[1]), (2, 1));
        assert_eq!((counted.sync_classes[SYNC_BOUNDS.len()], counted.syncs), (1, 4));
        assert_eq!(counted.sync_last, Duration::from_secs(3));
    }
}
