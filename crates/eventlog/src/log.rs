//! The open log: append, sync, read, release.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::Entry;
use crate::ack::AckFile;
use crate::active::{Active, create, reopen};
use crate::counters::{Counters, Tally};
use crate::disk::{Disk, DiskLock, is_full, write_all_at};
use crate::error::LogError;
use crate::format::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::frames::{Frames, Span};
use crate::recovery::{Opened, Survey, survey};
use crate::settings::Settings;
use crate::shelf::{Closed, Shelf};

/// Time since some fixed moment; it must not go back.
pub type Clock = Box<dyn Fn() -> Duration + Send>;

/// Name of the lock file in the log's folder.
pub(crate) const LOCK_FILE: &str = "lock";

/// Buffers larger than this are given back after use.
const BUFFER_KEPT: usize = 8 << 20;

/// An open log. It holds the folder's lock until it is dropped.
///
/// Of the methods that write, each error but [`LogError::Full`] and [`LogError::TooLarge`] is
/// final: after it the log refuses to append and to sync, and has to be opened anew.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: Settings,
    shelf: Arc<Shelf>,
    active: Active,
    ack: AckFile,
    log_id: u64,
    next_seq: u64,
    /// All frames up to here are durable.
    synced: u64,
    /// Checksum of the last frame's header.
    chain: u32,
    failed: Option<String>,
    clock: Option<Clock>,
    tally: Arc<Tally>,
    buffer: Vec<u8>,
    // Last, so that it is dropped after the files.
    _lock: Box<dyn DiskLock>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.dir)
            .field("next_seq", &self.next_seq)
            .field("synced", &self.synced)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Takes the lock of a log's folder, which is created when there is none.
pub(crate) fn lock_dir(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, LogError> {
    disk.create_dir(dir).map_err(|error| LogError::write(dir, error))?;
    let path = dir.join(LOCK_FILE);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => LogError::Locked { dir: dir.to_owned() },
        _ => LogError::write(&path, error),
    })
}

impl Log {
    /// Opens the log in a folder, or begins one there, and makes all that it holds durable.
    ///
    /// Bytes of a write that had not come to its end are cut off; [`Opened`] says so.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::Damaged`], [`LogError::Missing`], [`LogError::Foreign`],
    /// [`LogError::NewerVersion`], [`LogError::BadSettings`], or what the disk says.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: &Settings,
    ) -> Result<(Self, Opened), LogError> {
        settings.check()?;
        let lock = lock_dir(&*disk, dir)?;
        let survey = survey(&*disk, dir)?;
        let Survey { closed, newest, log_id, next_seq, chain, torn, unfinished, .. } = survey;
        if let Some(path) = unfinished {
            disk.remove(&path).map_err(|error| LogError::write(&path, error))?;
            disk.sync_dir(dir).map_err(|error| LogError::sync(dir, error))?;
        }
        let log_id = match log_id {
            Some(id) => id,
            None => disk.nonce().map_err(|error| LogError::read(dir, error))?,
        };
        let active = match newest {
            Some(newest) => reopen(&*disk, dir, &newest, torn.is_some())?,
            None => {
                let header =
                    SegmentHeader { log_id, first_seq: next_seq, previous: chain, lost_from: 0 };
                create(&*disk, dir, &header)?
            }
        };
        let ack = AckFile::open(&*disk, dir, log_id, next_seq - 1)?;
        let shelf = Arc::new(Shelf::new(disk.clone(), dir.to_owned(), closed));
        let first_seq = shelf.oldest().map_or(active.first_seq, |oldest| oldest.first_seq);
        if let Some(tail) = &torn {
            let file = tail.file.display();
            tracing::info!(%file, tail.offset, tail.bytes, "cut off a torn tail");
        }
        let log = Self {
            disk,
            dir: dir.to_owned(),
            settings: settings.clone(),
            shelf,
            active,
            ack,
            log_id,
            next_seq,
            synced: next_seq - 1,
            chain,
            failed: None,
            clock: None,
            tally: Arc::default(),
            buffer: Vec::new(),
            _lock: lock,
        };
        Ok((log, Opened { first_seq, next_seq, truncated_tail: torn }))
    }

    /// Sets the clock that times the syncs. Without one, [`Counters`] has their number only.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = Some(clock);
    }

    /// Writes entries, all or none, and returns their sequence numbers. They are durable only after
    /// [`Log::sync`]; until then a crash may take them, and their numbers are given again.
    ///
    /// # Errors
    /// [`LogError::TooLarge`] and [`LogError::Full`]: nothing was written, the log goes on. Others
    /// are final.
    pub fn append(&mut self, entries: &[Entry]) -> Result<RangeInclusive<u64>, LogError> {
        self.usable()?;
        let first_seq = self.next_seq;
        let needed = self.size(entries)?;
        if entries.is_empty() {
            return Ok(RangeInclusive::new(first_seq, first_seq - 1));
        }
        let outcome = self.has_space(needed).and_then(|()| self.write(entries, needed));
        match outcome {
            Ok(()) => Ok(first_seq..=self.next_seq - 1),
            Err(error @ LogError::Full { .. }) => {
                self.tally.full();
                Err(error)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// Final: after a failed sync the system may have dropped the bytes and yet report success the
    /// next time, so it is never tried again.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.usable()?;
        if self.synced + 1 == self.next_seq {
            return Ok(());
        }
        let before = self.clock.as_ref().map(|clock| clock());
        if let Err(error) = self.active.file.sync_data() {
            let error = LogError::sync(&self.active.path, error);
            return Err(self.fail(error));
        }
        let took =
            self.clock.as_ref().zip(before).map(|(clock, before)| clock().saturating_sub(before));
        self.tally.synced(took);
        self.synced = self.next_seq - 1;
        self.ack.write(self.synced);
        Ok(())
    }

    /// The frames from a sequence number to the end of what is written now, read from disk and
    /// checked. It stays valid while the log is written on; releasing what it has not yet read
    /// makes it end with an error.
    ///
    /// # Errors
    /// [`LogError::OutOfRange`] when `from_seq` was released already or lies after the next frame:
    /// whoever asks has a checkpoint that does not belong to this log. A frame that a repair has
    /// reported as lost may be asked for; reading begins after it.
    pub fn frames(&self, from_seq: u64) -> Result<Frames, LogError> {
        let first_seq = self.shelf.oldest().map_or(self.active.begins, |oldest| oldest.begins);
        let next_seq = self.next_seq;
        if from_seq < first_seq || from_seq > next_seq {
            return Err(LogError::OutOfRange { asked: from_seq, first_seq, next_seq });
        }
        let closed = self.shelf.closed().into_iter().filter(|segment| segment.last_seq >= from_seq);
        let mut spans: Vec<Span> = closed
            .map(|Closed { path, first_seq, .. }| Span { path, first_seq, end: None })
            .collect();
        let Active { path, first_seq, end, .. } = &self.active;
        spans.push(Span { path: path.clone(), first_seq: *first_seq, end: Some(*end) });
        Ok(Frames::new(self.disk.clone(), self.log_id, spans, from_seq))
    }

    /// Deletes whole segments whose frames are all at most `up_to_seq`, since those are safe
    /// elsewhere; says how many. The newest segment always stays.
    ///
    /// # Errors
    /// What the disk says; the log goes on, and a later call tries again.
    pub fn release(&self, up_to_seq: u64) -> Result<usize, LogError> {
        self.shelf.release(up_to_seq)
    }

    /// Closes the segment that is written to, so that [`Log::release`] can delete the frames in it as well.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn close_segment(&mut self) -> Result<(), LogError> {
        self.usable()?;
        if self.active.end <= SEGMENT_HEADER_BYTES as u64 {
            return Ok(());
        }
        self.roll(SEGMENT_HEADER_BYTES as u64).map_err(|error| match error {
            full @ LogError::Full { .. } => full,
            error => self.fail(error),
        })
    }

    /// Lowest sequence number in the log; equal to [`Log::next_seq`] when it holds nothing.
    pub fn first_seq(&self) -> u64 {
        self.shelf.oldest().map_or(self.active.first_seq, |oldest| oldest.first_seq)
    }

    /// Sequence number of the next frame.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// All frames up to here are durable.
    pub fn durable_seq(&self) -> u64 {
        self.synced
    }

    /// What this log did since it was opened.
    pub fn counters(&self) -> Counters {
        self.tally.read()
    }

    /// Syncs all, the ack file included, as the last act before the log is dropped in good order.
    pub(crate) fn settle(&mut self) -> Result<(), LogError> {
        self.sync()?;
        self.ack.sync();
        Ok(())
    }

    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        self.shelf.clone()
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn usable(&self) -> Result<(), LogError> {
        match &self.failed {
            None => Ok(()),
            Some(reason) => Err(LogError::Failed { reason: reason.clone() }),
        }
    }

    fn fail(&mut self, error: LogError) -> LogError {
        tracing::error!(code = error.code(), %error, "the log stops");
        self.failed = Some(error.to_string());
        error
    }

    /// Bytes that the entries take.
    fn size(&self, entries: &[Entry]) -> Result<u64, LogError> {
        let limit_bytes = self.settings.max_entry_bytes;
        let mut size = 0;
        for entry in entries {
            let bytes = entry.payload.len();
            if bytes > limit_bytes {
                return Err(LogError::TooLarge { bytes, limit_bytes });
            }
            size += (FRAME_HEADER_BYTES + bytes) as u64;
        }
        Ok(size)
    }

    fn full(&self, needed_bytes: u64) -> LogError {
        LogError::Full { dir: self.dir.clone(), needed_bytes }
    }

    fn has_space(&self, needed: u64) -> Result<(), LogError> {
        // A disk that cannot say how full it is will say so when it is written to.
        let Ok(space) = self.disk.space(&self.dir) else { return Ok(()) };
        let share = space.total_bytes / 100 * u64::from(self.settings.min_free_percent);
        let kept = share.max(self.settings.min_free_bytes);
        if space.free_bytes < kept.saturating_add(needed) { Err(self.full(needed)) } else { Ok(()) }
    }

    /// Writes entries of `needed` bytes to one segment.
    fn write(&mut self, entries: &[Entry], needed: u64) -> Result<(), LogError> {
        let has_frames = self.active.end > SEGMENT_HEADER_BYTES as u64;
        if has_frames && self.active.end + needed > self.settings.segment_bytes {
            self.roll(needed)?;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let (seq, chain) = self.encode(entries, &mut buffer);
        let written = write_all_at(&*self.active.file, &buffer, self.active.end);
        if buffer.capacity() <= BUFFER_KEPT {
            self.buffer = buffer;
        }
        match written {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                self.cut_back()?;
                return Err(self.full(needed));
            }
            Err(error) => return Err(LogError::write(&self.active.path, error)),
        }
        let rows = entries.iter().map(|entry| u64::from(entry.rows)).sum();
        self.tally.group(entries.len(), rows, usize::try_from(needed).unwrap_or(usize::MAX));
        self.active.end += needed;
        self.next_seq = seq;
        self.chain = chain;
        Ok(())
    }

    /// Fills the buffer; returns the next sequence number and the checksum to continue with.
    fn encode(&self, entries: &[Entry], buffer: &mut Vec<u8>) -> (u64, u32) {
        let (mut seq, mut chain) = (self.next_seq, self.chain);
        for entry in entries {
            let header = FrameHeader {
                seq,
                log_id: self.log_id,
                synced: self.synced,
                received_at: entry.received_at,
                rows: entry.rows,
                // `size` refused what does not fit.
                len: u32::try_from(entry.payload.len()).unwrap_or(u32::MAX),
                payload_crc: crc32c::crc32c(&entry.payload),
                previous: chain,
                kind: entry.kind as u8,
            };
            chain = header.encode(&entry.payload, buffer);
            seq += 1;
        }
        (seq, chain)
    }

    /// Removes what a write left behind that found no space, for good: frames that were refused
    /// must not come back when power is lost after their numbers were given to others.
    fn cut_back(&mut self) -> Result<(), LogError> {
        let Active { file, path, end, .. } = &self.active;
        file.set_len(*end).map_err(|error| LogError::write(path, error))?;
        file.sync_data().map_err(|error| LogError::sync(path, error))
    }

    /// Closes the active segment and begins the next one.
    fn roll(&mut self, needed: u64) -> Result<(), LogError> {
        self.sync()?;
        let header = SegmentHeader {
            log_id: self.log_id,
            first_seq: self.next_seq,
            previous: self.chain,
            lost_from: 0,
        };
        let next = match create(&*self.disk, &self.dir, &header) {
            Ok(next) => next,
            Err(LogError::Write { path, source }) if is_full(&source) => {
                self.discard(&path)?;
                return Err(self.full(needed));
            }
            Err(error) => return Err(error),
        };
        let Active { path, first_seq, begins, .. } = std::mem::replace(&mut self.active, next);
        self.shelf.push(Closed { path, first_seq, begins, last_seq: self.next_seq - 1 });
        Ok(())
    }

    /// Deletes a segment whose creation found no space.
    fn discard(&self, path: &Path) -> Result<(), LogError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::write(path, error));
            }
            _ => {}
        }
        self.disk.sync_dir(&self.dir).map_err(|error| LogError::sync(&self.dir, error))
    }
}
