//! What a repair will do, worked out before anything is changed.
//!
//! First all segments are read and each byte is either part of a kept frame or lost. Then the kept
//! frames are cut into segments: a segment stays as it is, or becomes one piece for each run of
//! frames that follow each other.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Loss, ack};
use crate::disk::Disk;
use crate::error::LogError;
use crate::format::{Ack, SEGMENT_HEADER_BYTES, SegmentHeader, Unusable, VERSION, View};
use crate::recovery::{read_segment, unfinished};
use crate::scan::find;
use crate::shelf::list_segments;

/// A segment to be written.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) header: SegmentHeader,
    /// Where its frames are now; nothing for a segment without frames.
    pub(super) source: Option<(PathBuf, Range<usize>)>,
}

/// What a repair will do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) losses: Vec<Loss>,
    /// Segments to be written, in order.
    pub(super) pieces: Vec<Piece>,
    /// Segments of which nothing stays under their own name, in order.
    pub(super) emptied: Vec<PathBuf>,
}

/// A frame that stays.
#[derive(Debug, Clone, Copy)]
struct Kept {
    seq: u64,
    previous: u32,
    crc: u32,
    start: usize,
    end: usize,
}

/// A segment as it was found.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    first_seq: u64,
    /// Nothing when it is damaged.
    header: Option<SegmentHeader>,
    bytes: usize,
    kept: Vec<Kept>,
}

/// Reads all segments and works out what to keep.
pub(super) fn plan(disk: &dyn Disk, dir: &Path) -> Result<Plan, LogError> {
    let ack = ack::read(disk, dir)?;
    let mut segments = list_segments(disk, dir)?;
    let mut reader = Reader { proven: ack.map_or(0, |ack| ack.seq), ..Reader::default() };
    if let Some((first_seq, path)) = unfinished(disk, &segments, ack)? {
        reader.proven = reader.proven.max(first_seq - 1);
        reader.plan.emptied.push(path);
        segments.pop();
    }
    reader.log_id = log_id(disk, dir, &segments, ack)?;
    let start = segments.first().map_or(1, |(seq, _)| *seq);
    reader.expected = start;
    let mut found = Vec::new();
    for (index, (first_seq, path)) in segments.iter().enumerate() {
        let limit = segments.get(index + 1).map_or(u64::MAX, |(seq, _)| *seq);
        let bytes = read_segment(disk, path)?;
        found.push(reader.segment(path, *first_seq, limit, &bytes)?);
    }
    let end = reader.expected.max(reader.proven.saturating_add(1));
    if end > reader.expected {
        let last = found.last().map_or((dir, 0), |found| (&*found.path, found.bytes));
        reader.lose_frames(last.0, last.1, end);
    }
    Ok(cut(reader, found, start, end))
}

/// The log's number: from a header, the ack file, or a frame, whichever says it first.
fn log_id(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[(u64, PathBuf)],
    ack: Option<Ack>,
) -> Result<u64, LogError> {
    let mut from_frame = None;
    for (_, path) in segments {
        let bytes = read_segment(disk, path)?;
        if let Ok(header) = SegmentHeader::decode(&bytes) {
            return Ok(header.log_id);
        }
        let frame = || find(&bytes, 0, None, 0).map(|(_, view)| view.header.log_id);
        from_frame = from_frame.or_else(frame);
    }
    match ack.map(|ack| ack.log_id).or(from_frame) {
        Some(id) => Ok(id),
        None => disk.nonce().map_err(|error| LogError::read(dir, error)),
    }
}

/// The walk through all segments.
#[derive(Default)]
struct Reader {
    log_id: u64,
    /// Lowest sequence number that may come next.
    expected: u64,
    /// Highest sequence number that something proves was synced.
    proven: u64,
    /// A loss of bytes was noted since the last kept frame, so missing frames were in there.
    in_damage: bool,
    plan: Plan,
}

impl Reader {
    fn segment(
        &mut self,
        path: &Path,
        first_seq: u64,
        limit: u64,
        bytes: &[u8],
    ) -> Result<Found, LogError> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => Some(header),
            Err(Unusable::Bad) => None,
            Err(Unusable::Version(found)) => {
                return Err(LogError::NewerVersion {
                    path: path.to_owned(),
                    found,
                    known: VERSION,
                });
            }
        };
        if let Some(header) = header
            && (header.log_id != self.log_id || header.first_seq != first_seq)
        {
            return Err(LogError::Foreign { path: path.to_owned() });
        }
        // All before a segment was synced before the segment was begun.
        self.proven = self.proven.max(first_seq.saturating_sub(1));
        if header.is_some_and(|header| header.lost_from == self.expected) {
            // An earlier repair has reported these.
            self.expected = self.expected.max(first_seq);
        }
        self.lose_frames(path, 0, first_seq);
        let mut at = bytes.len().min(SEGMENT_HEADER_BYTES);
        if header.is_none() {
            self.lose_bytes(path, 0..at, "the header of the segment is damaged");
        }
        let mut kept = Vec::new();
        while at < bytes.len() {
            match View::at(bytes, at) {
                Ok(view) if self.fits(&view, limit) => {
                    self.lose_frames(path, at, view.header.seq);
                    kept.push(self.keep(&view, at));
                    at = view.end;
                }
                other => {
                    let reason = other.err().unwrap_or("a whole frame stands in the wrong place");
                    let end = self.next_frame(bytes, at + 1, limit);
                    self.lose_bytes(path, at..end, reason);
                    at = end;
                }
            }
        }
        Ok(Found { path: path.to_owned(), first_seq, header, bytes: bytes.len(), kept })
    }

    fn fits(&self, view: &View<'_>, limit: u64) -> bool {
        let header = &view.header;
        header.log_id == self.log_id
            && (self.expected..limit).contains(&header.seq)
            && view.kind().is_some()
    }

    /// Offset of the next frame that fits, or the end.
    fn next_frame(&self, bytes: &[u8], mut from: usize, limit: u64) -> usize {
        while let Some((at, view)) = find(bytes, from, Some(self.log_id), self.expected) {
            if self.fits(&view, limit) {
                return at;
            }
            from = at + 1;
        }
        bytes.len()
    }

    fn keep(&mut self, view: &View<'_>, start: usize) -> Kept {
        let header = &view.header;
        self.expected = header.seq.saturating_add(1);
        self.proven = self.proven.max(header.synced);
        self.in_damage = false;
        Kept { seq: header.seq, previous: header.previous, crc: view.crc, start, end: view.end }
    }

    fn lose_bytes(&mut self, file: &Path, range: Range<usize>, reason: &'static str) {
        self.in_damage = true;
        self.plan.losses.push(Loss {
            file: file.to_owned(),
            offset: range.start as u64,
            bytes: range.len() as u64,
            reason,
            lost: None,
            quarantined: None,
        });
    }

    /// Notes that the frames from the expected one up to `next` (exclusive) are lost.
    fn lose_frames(&mut self, file: &Path, offset: usize, next: u64) {
        if self.expected >= next {
            return;
        }
        let lost = self.expected..=next - 1;
        self.expected = next;
        if !std::mem::replace(&mut self.in_damage, true) {
            self.lose_bytes(file, offset..offset, "frames are missing");
        }
        if let Some(loss) = self.plan.losses.last_mut() {
            let start = loss.lost.as_ref().map_or(*lost.start(), |earlier| *earlier.start());
            loss.lost = Some(start..=*lost.end());
        }
    }
}

/// Cuts what was kept into segments. `start` is the first sequence number of the log, `end` the one
/// that the next frame is to get.
fn cut(reader: Reader, found: Vec<Found>, start: u64, end: u64) -> Plan {
    let Reader { log_id, plan, .. } = reader;
    let mut cutter = Cutter { log_id, next: start, chain: None, plan };
    let mut unfinished = std::mem::take(&mut cutter.plan.emptied);
    let last = found.len().saturating_sub(1);
    for (index, found) in found.iter().enumerate() {
        cutter.segment(found, index == last && found.first_seq == end);
    }
    let has_end = cutter.plan.pieces.last().is_some_and(|piece| piece.header.first_seq == end);
    let stays = found.last().is_some_and(|found| found.first_seq == end);
    if (cutter.next < end && !has_end && !stays) || found.is_empty() {
        let header = cutter.header(end, None);
        cutter.plan.pieces.push(Piece { header, source: None });
    }
    cutter.plan.emptied.append(&mut unfinished);
    cutter.plan
}

struct Cutter {
    log_id: u64,
    /// Sequence number after the last kept frame.
    next: u64,
    /// Checksum of the last kept frame's header; nothing at the start of the log.
    chain: Option<u32>,
    plan: Plan,
}

impl Cutter {
    /// Header of a segment that follows what was cut up to now. `previous` is what its first frame
    /// says about the frame before it; nothing when it has no frame yet.
    fn header(&self, first_seq: u64, previous: Option<u32>) -> SegmentHeader {
        let follows = previous.is_none() || self.chain.is_none_or(|chain| Some(chain) == previous);
        let seam = self.next < first_seq || !follows;
        SegmentHeader {
            log_id: self.log_id,
            first_seq,
            previous: previous.or(self.chain).unwrap_or(0),
            lost_from: if seam { self.next } else { 0 },
        }
    }

    /// `is_end` tells that the segment is the newest one and gets the next frame as its first.
    fn segment(&mut self, found: &Found, is_end: bool) {
        let mut pieces = Vec::new();
        for run in runs(&found.kept) {
            let [first, .., last] = run else {
                let [only] = run else { continue };
                pieces.push(self.piece(found, only, only));
                continue;
            };
            pieces.push(self.piece(found, first, last));
        }
        if pieces.is_empty() && is_end {
            pieces.push(Piece { header: self.header(found.first_seq, None), source: None });
        }
        let whole = match &pieces[..] {
            [Piece { header, source }] => {
                let range = source
                    .as_ref()
                    .map_or(SEGMENT_HEADER_BYTES..SEGMENT_HEADER_BYTES, |at| at.1.clone());
                let same = found.header.is_some_and(|old| {
                    let seam_known = header.lost_from == 0 || header.lost_from == old.lost_from;
                    old.previous == header.previous && seam_known
                });
                same && header.first_seq == found.first_seq
                    && range == (SEGMENT_HEADER_BYTES..found.bytes)
            }
            _ => false,
        };
        if whole {
            return;
        }
        if !pieces.iter().any(|piece| piece.header.first_seq == found.first_seq) {
            self.plan.emptied.push(found.path.clone());
        }
        self.plan.pieces.append(&mut pieces);
    }

    fn piece(&mut self, found: &Found, first: &Kept, last: &Kept) -> Piece {
        let header = self.header(first.seq, Some(first.previous));
        self.next = last.seq + 1;
        self.chain = Some(last.crc);
        Piece { header, source: Some((found.path.clone(), first.start..last.end)) }
    }
}

/// Frames that follow each other in number, in chain and in place.
fn runs(kept: &[Kept]) -> impl Iterator<Item = &[Kept]> {
    kept.chunk_by(|one, next| {
        one.seq + 1 == next.seq && one.crc == next.previous && one.end == next.start
    })
}
