//! Bounds of the log.

use std::time::Duration;

use crate::error::LogError;
use crate::format::PAYLOAD_BYTES_MAX;

/// A segment is one file; released segments are deleted whole. 64 MiB is about a second of 100,000
/// events per second, so that a release leaves little behind and a folder stays short.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What waits in memory. At 60 MB/s this is one second: a disk that stalls longer is better
/// answered with "try again" than with more memory.
const QUEUE_BYTES: usize = 64 << 20;

/// One group is written and synced at once. A write of 4 MiB takes a few milliseconds.
const GROUP_BYTES: usize = 4 << 20;

/// Twice the 8 MB of the largest request, since rows grow when they become columns.
const ENTRY_BYTES: usize = 16 << 20;

/// Below this share of free space the log is full, so that reads, checkpoints and repairs still
/// work.
const FREE_PERCENT: u8 = 5;

/// Longest wait for company that may be set: more would be felt by every client.
const GROUP_WAIT_MAX: Duration = Duration::from_millis(2);

/// Bounds of the log; [`Settings::default`] suits one server with a local disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bytes after which a new segment is begun. A group is never split, so that a segment that
    /// holds one large group may be longer.
    pub segment_bytes: u64,
    /// Bytes that may wait or be under way before [`crate::Appender::submit`] says busy.
    pub max_queue_bytes: usize,
    /// Largest payload of one entry.
    pub max_entry_bytes: usize,
    /// Bytes of one group, that is of one write and one sync. A larger entry is a group of its own.
    pub group_bytes: usize,
    /// How long a group waits for more entries, at most 2 ms. Zero is right for most: while one
    /// group is synced the next one gathers. An entry that comes while the log is idle never waits.
    pub group_wait: Duration,
    /// The log is full when fewer bytes than this are free on its disk.
    pub min_free_bytes: u64,
    /// The log is full when less than this share of its disk is free, in percent.
    pub min_free_percent: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            max_queue_bytes: QUEUE_BYTES,
            max_entry_bytes: ENTRY_BYTES,
            group_bytes: GROUP_BYTES,
            group_wait: Duration::ZERO,
            min_free_bytes: 0,
            min_free_percent: FREE_PERCENT,
        }
    }
}

impl Settings {
    /// # Errors
    /// [`LogError::BadSettings`] for bounds that contradict each other.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        let bad = |setting, reason: &str| {
            Err(LogError::BadSettings { setting, reason: reason.to_owned() })
        };
        if self.segment_bytes == 0 {
            return bad("segment_bytes", "is zero");
        }
        if self.max_entry_bytes == 0 || self.max_entry_bytes > PAYLOAD_BYTES_MAX {
            return bad("max_entry_bytes", "must be between 1 byte and 1 GiB");
        }
        if self.max_queue_bytes < self.max_entry_bytes {
            return bad(
                "max_queue_bytes",
                "is smaller than `max_entry_bytes`: such an entry would never fit",
            );
        }
        if self.group_wait > GROUP_WAIT_MAX {
            return bad("group_wait", "is more than 2 ms");
        }
        if self.min_free_percent > 100 {
            return bad("min_free_percent", "is more than 100");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_each_other_are_refused_by_name() {
        assert!(Settings::default().check().is_ok());
        let wrong = [
            ("segment_bytes", Settings { segment_bytes: 0, ..Settings::default() }),
            ("max_entry_bytes", Settings { max_entry_bytes: 0, ..Settings::default() }),
            ("max_queue_bytes", Settings { max_queue_bytes: 100, ..Settings::default() }),
            (
                "group_wait",
                Settings { group_wait: Duration::from_millis(3), ..Settings::default() },
            ),
            ("min_free_percent", Settings { min_free_percent: 101, ..Settings::default() }),
        ];
        for (name, settings) in wrong {
            let error = settings.check().unwrap_err();
            assert!(matches!(&error, LogError::BadSettings { setting, .. } if *setting == name));
            assert_eq!(error.code(), "E5013");
        }
    }
}
