//! What stands in a folder: told apart into good frames, a torn tail and damage.
//!
//! A write that was under way when the process or the power went leaves bad bytes at the end of the
//! newest segment. They may be cut off, since nobody was told that they are stored. Bad bytes
//! anywhere else, or bad bytes of which something proves that they were synced, are damage, and the
//! log does not open. Proof is any of: the ack file, a later frame that says so, a later segment.

use std::path::{Path, PathBuf};

use crate::ack;
use crate::disk::{Disk, read_up_to};
use crate::error::LogError;
use crate::format::{Ack, SEGMENT_HEADER_BYTES, SegmentHeader, Unusable, VERSION};
use crate::scan::{Place, Step, Walk, behind, find, walk};
use crate::shelf::{Closed, list_segments};

/// What was found when a log was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Lowest sequence number in the log; equal to `next_seq` when it holds nothing.
    pub first_seq: u64,
    /// Sequence number of the next frame.
    pub next_seq: u64,
    /// What was cut off the end, when a write had not come to its end.
    pub truncated_tail: Option<TornTail>,
}

/// Bytes that were cut off the newest segment. Nobody was told that they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the cut was made.
    pub offset: u64,
    /// Bytes that were cut off.
    pub bytes: u64,
    /// Whole frames among them: written in the same group as the torn one, but behind it.
    pub whole_frames: u64,
}

/// The newest segment.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
    /// Lowest number that may be asked for, as in a closed segment.
    pub(crate) begins: u64,
    /// Its bytes, up to the end of the last good frame.
    pub(crate) bytes: Vec<u8>,
    /// Where bytes begin that nothing proves to be on disk.
    pub(crate) unproven_from: usize,
}

/// A folder's contents, without having changed anything.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) closed: Vec<Closed>,
    pub(crate) newest: Option<Newest>,
    /// The log's number, when anything says it.
    pub(crate) log_id: Option<u64>,
    /// Sequence number of the next frame.
    pub(crate) next_seq: u64,
    /// Checksum of the last frame's header.
    pub(crate) chain: u32,
    /// Good frames.
    pub(crate) frames: u64,
    pub(crate) torn: Option<TornTail>,
    /// A segment that was being created; it never held a frame.
    pub(crate) unfinished: Option<PathBuf>,
}

/// Reads a folder and judges it.
///
/// # Errors
/// [`LogError::Damaged`] and [`LogError::Missing`] when frames are lost that were stored for good,
/// [`LogError::Foreign`], [`LogError::NewerVersion`], [`LogError::Read`].
pub(crate) fn survey(disk: &dyn Disk, dir: &Path) -> Result<Survey, LogError> {
    let ack = ack::read(disk, dir)?;
    let mut segments = list_segments(disk, dir)?;
    let mut survey = Survey { log_id: ack.map(|ack| ack.log_id), next_seq: 1, ..Survey::default() };
    let mut proven = ack.map_or(0, |ack| ack.seq);
    if let Some((first_seq, path)) = unfinished(disk, &segments, ack)? {
        // All before it was synced before it was created.
        proven = proven.max(first_seq - 1);
        survey.unfinished = Some(path);
        segments.pop();
    }
    let mut before: Option<Place> = None;
    for (index, (first_seq, path)) in segments.iter().enumerate() {
        let next = segments.get(index + 1).map(|(seq, _)| *seq);
        let segment = Segment { dir, path, first_seq: *first_seq, next, proven };
        let bytes = read_segment(disk, path)?;
        let (start, begins) = segment.start(&bytes, survey.log_id, before)?;
        survey.log_id = Some(start.log_id);
        let walked = walk(&bytes, start);
        survey.frames += walked.frames;
        if next.is_some() {
            survey.closed.push(segment.closed(&bytes, &walked, begins)?);
        } else {
            survey.torn = segment.torn(&bytes, &walked)?;
            survey.newest = Some(segment.newest(bytes, start, &walked, begins));
        }
        before = Some(walked.place);
    }
    if let Some(place) = before {
        survey.next_seq = place.seq;
        survey.chain = place.chain;
    }
    if proven >= survey.next_seq {
        let first_seq = survey.next_seq;
        return Err(LogError::Missing { dir: dir.to_owned(), first_seq, last_seq: proven });
    }
    Ok(survey)
}

pub(crate) fn read_segment(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, LogError> {
    let bytes = disk.open(path).and_then(|file| read_up_to(&*file, u64::MAX));
    bytes.map_err(|error| LogError::read(path, error))
}

/// The newest file, when it was being created as the process or the power went: no whole header, no
/// frame, and no proof that there ever was one.
pub(crate) fn unfinished(
    disk: &dyn Disk,
    segments: &[(u64, PathBuf)],
    ack: Option<Ack>,
) -> Result<Option<(u64, PathBuf)>, LogError> {
    let Some((first_seq, path)) = segments.last() else { return Ok(None) };
    let bytes = read_segment(disk, path)?;
    let whole = SegmentHeader::decode(&bytes) != Err(Unusable::Bad);
    let acked = ack.is_some_and(|ack| ack.seq >= *first_seq);
    let follows = segments.len() > 1 || *first_seq == 1;
    if whole || acked || !follows || find(&bytes, 0, None, 0).is_some() {
        return Ok(None);
    }
    Ok(Some((*first_seq, path.clone())))
}

/// One segment among its neighbours.
struct Segment<'a> {
    dir: &'a Path,
    path: &'a Path,
    /// Sequence number in the name.
    first_seq: u64,
    /// Sequence number in the name of the next segment.
    next: Option<u64>,
    /// All frames up to here are known to have been synced.
    proven: u64,
}

impl Segment<'_> {
    fn damaged(
        &self,
        offset: usize,
        first_seq: u64,
        last_seq: u64,
        reason: &'static str,
    ) -> LogError {
        LogError::Damaged {
            path: self.path.to_owned(),
            offset: offset as u64,
            first_seq,
            last_seq: last_seq.max(first_seq),
            reason,
        }
    }

    /// The place of the first frame, and the lowest number that may be asked for.
    ///
    /// # Errors
    /// The header is damaged, or does not fit the segment before.
    fn start(
        &self,
        bytes: &[u8],
        log_id: Option<u64>,
        before: Option<Place>,
    ) -> Result<(Place, u64), LogError> {
        let last = self.next.map_or(self.proven, |next| next - 1);
        let bad = |reason| Err(self.damaged(0, self.first_seq, last, reason));
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => header,
            Err(Unusable::Bad) => return bad("the header of the segment is damaged"),
            Err(Unusable::Version(found)) => {
                let path = self.path.to_owned();
                return Err(LogError::NewerVersion { path, found, known: VERSION });
            }
        };
        if log_id.is_some_and(|id| id != header.log_id) || header.first_seq != self.first_seq {
            return Err(LogError::Foreign { path: self.path.to_owned() });
        }
        // At a seam that a repair left, numbers or the chain may begin anew.
        if let Some(before) = before
            && header.lost_from != before.seq
        {
            if before.seq > self.first_seq {
                return bad("the segment repeats frames of the one before");
            }
            if before.seq < self.first_seq {
                let (first_seq, last_seq) = (before.seq, self.first_seq - 1);
                return Err(LogError::Missing { dir: self.dir.to_owned(), first_seq, last_seq });
            }
            if header.previous != before.chain {
                return bad("the segment does not continue the one before");
            }
        }
        let begins = if header.lost_from == 0 { self.first_seq } else { header.lost_from };
        let place = Place {
            log_id: header.log_id,
            seq: self.first_seq,
            chain: header.previous,
            offset: SEGMENT_HEADER_BYTES,
        };
        Ok((place, begins))
    }

    /// # Errors
    /// Any bad byte: the segment was synced before the next one was begun.
    fn closed(&self, bytes: &[u8], walked: &Walk, begins: u64) -> Result<Closed, LogError> {
        if let Some(bad) = walked.bad {
            let place = &walked.place;
            let next = behind(bytes, place).first_seq.or(self.next).unwrap_or(place.seq);
            return Err(self.damaged(place.offset, place.seq, next.saturating_sub(1), bad.reason));
        }
        let last_seq = walked.place.seq - 1;
        Ok(Closed { path: self.path.to_owned(), first_seq: self.first_seq, begins, last_seq })
    }

    /// What is to be cut off the newest segment.
    ///
    /// # Errors
    /// Something proves that it was synced.
    fn torn(&self, bytes: &[u8], walked: &Walk) -> Result<Option<TornTail>, LogError> {
        let Some(bad) = walked.bad else { return Ok(None) };
        let place = &walked.place;
        let found = behind(bytes, place);
        let proven = self.proven.max(found.synced);
        if bad.whole || proven >= place.seq {
            let last = found.first_seq.map_or(proven, |seq| seq - 1);
            return Err(self.damaged(place.offset, place.seq, last, bad.reason));
        }
        Ok(Some(TornTail {
            file: self.path.to_owned(),
            offset: place.offset as u64,
            bytes: (bytes.len() - place.offset) as u64,
            whole_frames: found.frames,
        }))
    }

    fn newest(&self, mut bytes: Vec<u8>, start: Place, walked: &Walk, begins: u64) -> Newest {
        bytes.truncate(walked.place.offset);
        let proven = self.proven.max(walked.synced);
        let mut place = start;
        // Not even the header is known to be on disk before a frame behind it is.
        let mut unproven_from = 0;
        while proven >= place.seq
            && let Step::Frame(view) = place.step(&bytes)
        {
            unproven_from = view.end;
        }
        Newest {
            path: self.path.to_owned(),
            first_seq: self.first_seq,
            begins,
            bytes,
            unproven_from,
        }
    }
}
