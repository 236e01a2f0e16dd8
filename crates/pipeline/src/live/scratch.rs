//! A file for rows that do not fit in memory, without a name: the system takes it back when the process ends.
//!
//! It holds pieces that are written once, read at any place, and given up. The room of a piece that was given up
//! is used again, and the file is cut where nothing follows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::error::ArrowError;

/// Tells the files of one process apart for the moment in which they have a name.
static FILES: AtomicU64 = AtomicU64::new(0);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    /// For messages.
    dir: PathBuf,
    room: Mutex<Room>,
}

impl Scratch {
    /// Makes the file in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(dir: &Path) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(dir)?;
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("live-rows-{}-{number}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Arc::new(Self { file, dir: dir.to_owned(), room: Mutex::default() }))
    }

    /// Bytes that are in use.
    #[cfg(test)]
    fn used(&self) -> u64 {
        let room = self.room();
        room.end - room.free.values().sum::<u64>()
    }

    /// Writes a piece.
    ///
    /// # Errors
    /// What the system says, such as that the disk is full.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> Result<Piece, ArrowError> {
        let length = bytes.len() as u64;
        let at = self.room().take(length);
        // From here on the room is given back when the piece goes, written or not.
        let piece = Piece { scratch: Arc::clone(self), at, length, crc: crc32c::crc32c(bytes) };
        self.file.write_all_at(bytes, at).map_err(|error| self.failed(error))?;
        Ok(piece)
    }

    fn room(&self) -> std::sync::MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: io::Error) -> ArrowError {
        ArrowError::IoError(self.dir.display().to_string(), error)
    }
}

/// Bytes in a [`Scratch`]; gives their room back when it goes.
#[derive(Debug)]
pub(super) struct Piece {
    scratch: Arc<Scratch>,
    at: u64,
    length: u64,
    crc: u32,
}

impl Piece {
    /// The bytes as they were written.
    ///
    /// # Errors
    /// What the system says; bytes that are others now.
    pub(super) fn read(&self) -> Result<Vec<u8>, ArrowError> {
        let mut bytes = vec![0; self.length as usize];
        let scratch = &self.scratch;
        scratch.file.read_exact_at(&mut bytes, self.at).map_err(|error| scratch.failed(error))?;
        if crc32c::crc32c(&bytes) != self.crc {
            let what = "the disk gave other bytes than were written";
            return Err(scratch.failed(io::Error::new(io::ErrorKind::InvalidData, what)));
        }
        Ok(bytes)
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // Cut while nobody can take room at the end.
        let mut room = self.scratch.room();
        if let Some(end) = room.give_back(self.at, self.length) {
            // Room that can't be given back to the system now is used again all the same.
            let _ = self.scratch.file.set_len(end);
        }
    }
}

/// Which bytes of the file are free.
#[derive(Debug, Default)]
struct Room {
    end: u64,
    /// By place: length. No two of them touch.
    free: BTreeMap<u64, u64>,
    /// The same by length.
    by_length: BTreeSet<(u64, u64)>,
}

impl Room {
    /// The smallest free room that is large enough, else at the end.
    fn take(&mut self, length: u64) -> u64 {
        let found = self.by_length.range((length, 0)..).next().copied();
        let Some((free, at)) = found else {
            let at = self.end;
            self.end += length;
            return at;
        };
        self.remove(at, free);
        if free > length {
            self.insert(at + length, free - length);
        }
        at
    }

    /// Gives room back; where the file may end when it ends earlier now.
    fn give_back(&mut self, mut at: u64, mut length: u64) -> Option<u64> {
        if let Some((&before, &free)) = self.free.range(..at).next_back()
            && before + free == at
        {
            self.remove(before, free);
            (at, length) = (before, length + free);
        }
        if let Some(&free) = self.free.get(&(at + length)) {
            self.remove(at + length, free);
            length += free;
        }
        if at + length == self.end {
            self.end = at;
            return Some(at);
        }
        self.insert(at, length);
        None
    }

    fn insert(&mut self, at: u64, length: u64) {
        self.free.insert(at, length);
        self.by_length.insert((length, at));
    }

    fn remove(&mut self, at: u64, length: u64) {
        self.free.remove(&at);
        self.by_length.remove(&(length, at));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is written and given up, each piece keeps its bytes, and no room is lost.
        #[test]
        fn pieces_keep_their_bytes(
            steps in prop::collection::vec((any::<bool>(), 1usize..300, any::<prop::sample::Index>()), 1..80)
        ) {
            let dir = tempfile::tempdir().unwrap();
            let scratch = Scratch::open(dir.path()).unwrap();
            let mut pieces: Vec<(Piece, Vec<u8>)> = Vec::new();
            for (number, (writes, length, which)) in steps.into_iter().enumerate() {
                if writes || pieces.is_empty() {
                    let bytes = vec![number as u8; length];
                    pieces.push((scratch.write(&bytes).unwrap(), bytes));
                } else {
                    pieces.swap_remove(which.index(pieces.len()));
                }
                for (piece, bytes) in &pieces {
                    prop_assert_eq!(&piece.read().unwrap(), bytes);
                }
                let used: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
                prop_assert_eq!(scratch.used(), used as u64);
            }
            pieces.clear();
            prop_assert_eq!(scratch.file.metadata().unwrap().len(), 0);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn other_bytes_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(dir.path()).unwrap();
        let piece = scratch.write(b"some rows").unwrap();
        scratch.file.write_all_at(b"x", 3).unwrap();
        let Err(ArrowError::IoError(place, error)) = piece.read() else {
            panic!("read as if whole")
        };
        assert_eq!(place, dir.path().display().to_string());
        assert_eq!(error.to_string(), "the disk gave other bytes than were written");
    }
}
