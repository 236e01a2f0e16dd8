//! Closed segments: their names, and how they are let go.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;
use crate::error::LogError;

/// A segment that gets no more frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
    /// Lowest number that may be asked for: below `first_seq` when a repair has said that the
    /// frames in between are lost.
    pub(crate) begins: u64,
    pub(crate) last_seq: u64,
}

/// The path of the segment whose first frame is `first_seq`.
pub(crate) fn segment_path(dir: &Path, first_seq: u64) -> PathBuf {
    dir.join(format!("{first_seq:020}.log"))
}

/// The sequence number in a segment's name.
fn named_seq(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let right = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if right { digits.parse().ok() } else { None }
}

/// The segments in a folder, in order. Other files are none of ours.
pub(crate) fn list_segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let names = disk.list(dir).map_err(|error| LogError::read(dir, error))?;
    let mut found: Vec<_> =
        names.iter().filter_map(|name| Some((named_seq(name)?, dir.join(name)))).collect();
    found.sort_unstable();
    Ok(found)
}

/// The closed segments of an open log, shared by the log and whoever releases, so that deleting
/// files never delays an acknowledgement.
#[derive(Debug)]
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    closed: Mutex<VecDeque<Closed>>,
    /// Held while files are deleted: oldest first, whoever asks.
    releasing: Mutex<()>,
}

impl Shelf {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, closed: Vec<Closed>) -> Self {
        Self { disk, dir, closed: Mutex::new(closed.into()), releasing: Mutex::new(()) }
    }

    /// Adds the newest closed segment.
    pub(crate) fn push(&self, segment: Closed) {
        lock(&self.closed).push_back(segment);
    }

    /// The segments there are now.
    pub(crate) fn closed(&self) -> Vec<Closed> {
        lock(&self.closed).iter().cloned().collect()
    }

    /// The oldest closed segment.
    pub(crate) fn oldest(&self) -> Option<Closed> {
        lock(&self.closed).front().cloned()
    }

    /// Deletes the segments whose frames are all at most `up_to_seq`; says how many.
    ///
    /// Each deletion is made durable before the next one: else a loss of power could keep an older
    /// segment and lose a later one, which would look like damage.
    pub(crate) fn release(&self, up_to_seq: u64) -> Result<usize, LogError> {
        let _order = lock(&self.releasing);
        let mut released = 0;
        while let Some(oldest) = self.oldest() {
            if oldest.last_seq > up_to_seq {
                break;
            }
            match self.disk.remove(&oldest.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LogError::write(&oldest.path, error));
                }
                _ => {}
            }
            self.disk.sync_dir(&self.dir).map_err(|error| LogError::sync(&self.dir, error))?;
            lock(&self.closed).pop_front();
            released += 1;
        }
        Ok(released)
    }
}

/// A panic elsewhere leaves these lists whole, so it is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
