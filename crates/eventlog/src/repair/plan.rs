//! What a repair will do, worked out before anything is changed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{Loss, ack};
use crate::disk::Disk;
use crate::error::LogError;
use crate::format::{Ack, SEGMENT_HEADER_BYTES, SegmentHeader, Unusable, VERSION, View};
use crate::recovery::{read_segment, unfinished};
use crate::scan::find;
use crate::shelf::{list_segments, segment_path};

/// Frames of a segment that follow each other, to become a segment of their own.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) header: SegmentHeader,
    /// Where the frames are now; nothing for a segment without frames.
    pub(super) source: Option<PathBuf>,
    /// Their bytes there.
    pub(super) range: Range<usize>,
}

/// What a repair will do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) losses: Vec<Loss>,
    /// Segments to be written, in order.
    pub(super) pieces: Vec<Piece>,
    /// Segments that keep nothing under their own name.
    pub(super) emptied: Vec<PathBuf>,
}

/// The state of the walk through all segments.
struct Walker {
    log_id: u64,
    /// Lowest sequence number that was not seen yet.
    expected: u64,
    /// Checksum of the last kept frame's header; nothing at the start of the log.
    chain: Option<u32>,
    /// Highest sequence number that something proves was synced.
    proven: u64,
    plan: Plan,
}

/// Reads all segments and works out what to keep.
pub(super) fn plan(disk: &dyn Disk, dir: &Path) -> Result<Plan, LogError> {
    let ack = ack::read(disk, dir)?;
    let mut segments = list_segments(disk, dir)?;
    let mut proven = ack.map_or(0, |ack| ack.seq);
    let mut emptied = Vec::new();
    if let Some((first_seq, path)) = unfinished(disk, &segments, ack)? {
        proven = proven.max(first_seq - 1);
        emptied.push(path);
        segments.pop();
    }
    let mut walker = Walker {
        log_id: log_id(disk, &segments, ack)?,
        expected: segments.first().map_or(1, |(seq, _)| *seq),
        chain: None,
        proven,
        plan: Plan { emptied, ..Plan::default() },
    };
    for (index, (first_seq, path)) in segments.iter().enumerate() {
        let limit = segments.get(index + 1).map_or(u64::MAX, |(seq, _)| *seq);
        let bytes = read_segment(disk, path)?;
        walker.segment(path, *first_seq, limit, &bytes)?;
    }
    walker.finish(dir);
    Ok(walker.plan)
}

/// The log's number: from a header, the ack file, or a frame, whichever is there first.
fn log_id(disk: &dyn Disk, segments: &[(u64, PathBuf)], ack: Option<Ack>) -> Result<u64, LogError> {
    let mut from_frame = None;
    for (_, path) in segments {
        let bytes = read_segment(disk, path)?;
        if let Ok(header) = SegmentHeader::decode(&bytes) {
            return Ok(header.log_id);
        }
        from_frame = from_frame.or_else(|| find(&bytes, 0, None, 0).map(|(_, view)| view.header.log_id));
    }
    match ack.map(|ack| ack.log_id).or(from_frame) {
        Some(id) => Ok(id),
        None => disk.nonce().map_err(|error| LogError::read(Path::new("nonce"), error)),
    }
}

impl Walker {
    fn segment(&mut self, path: &Path, first_seq: u64, limit: u64, bytes: &[u8]) -> Result<(), LogError> {
        let header = match SegmentHeader::decode(bytes) {
            Ok(header) => Some(header),
            Err(Unusable::Bad) => None,
            Err(Unusable::Version(found)) => {
                return Err(LogError::NewerVersion { path: path.to_owned(), found, known: VERSION });
            }
        };
        if let Some(header) = &header
            && (header.log_id != self.log_id || header.first_seq != first_seq)
        {
            return Err(LogError::Foreign { path: path.to_owned() });
        }
        // All before a segment was synced before the segment was begun.
        self.proven = self.proven.max(first_seq - 1);
        let lost_from = self.expected;
        if self.expected < first_seq {
            self.lose_frames(path, first_seq);
        }
        let fits = header.is_some_and(|header| {
            header.lost_from == lost_from
                || (lost_from == first_seq && self.chain.is_none_or(|chain| chain == header.previous))
                || self.chain.is_none()
        });
        let (pieces, damaged) = self.pieces(path, lost_from, limit, bytes, header.as_ref());
        if fits && !damaged {
            return Ok(());
        }
        if !pieces.iter().any(|piece| piece.header.first_seq == first_seq) {
            self.plan.emptied.push(path.to_owned());
        }
        self.plan.pieces.extend(pieces);
        Ok(())
    }

    /// Runs of whole frames in a segment; true when anything else is in it.
    fn pieces(
        &mut self,
        path: &Path,
        lost_from: u64,
        limit: u64,
        bytes: &[u8],
        header: Option<&SegmentHeader>,
    ) -> (Vec<Piece>, bool) {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut damaged = false;
        let mut seam = lost_from;
        let mut at = SEGMENT_HEADER_BYTES;
        if let Some(header) = header {
            self.chain = self.chain.filter(|_| header.lost_from == 0).or(Some(header.previous));
        } else {
            damaged = true;
            let bytes_lost = bytes.len().min(SEGMENT_HEADER_BYTES);
            self.lose_bytes(path, 0..bytes_lost, "the header of the segment is damaged");
            at = bytes_lost;
        }
        // A segment without frames stays, when its header is whole: it says which number is next.
        while at < bytes.len() {
            let view = match View::at(bytes, at) {
                Ok(view) if self.fits(&view, limit) => view,
                other => {
                    damaged = true;
                    let end = self.next_frame(bytes, at + 1, limit).unwrap_or(bytes.len());
                    let reason = other.err().unwrap_or("a whole frame stands in the wrong place");
                    self.lose_bytes(path, at..end, reason);
                    at = end;
                    continue;
                }
            };
            let frame = view.header;
            seam = seam.min(self.expected);
            if frame.seq > self.expected {
                seam = self.expected;
                self.lose_frames(path, frame.seq);
            }
            let follows = self.chain.is_none_or(|chain| chain == frame.previous);
            match pieces.last_mut() {
                Some(piece) if piece.range.end == at && follows && seam_closed(seam, frame.seq) => {
                    piece.range.end = view.end;
                }
                _ => {
                    damaged |= !pieces.is_empty() || !follows;
                    let lost_from = if follows && seam == frame.seq { 0 } else { seam };
                    let header = SegmentHeader {
                        log_id: self.log_id,
                        first_seq: frame.seq,
                        previous: frame.previous,
                        lost_from,
                    };
                    pieces.push(Piece { header, source: Some(path.to_owned()), range: at..view.end });
                }
            }
            self.proven = self.proven.max(frame.synced);
            self.expected = frame.seq + 1;
            seam = self.expected;
            self.chain = Some(view.crc);
            at = view.end;
        }
        (pieces, damaged)
    }
}
