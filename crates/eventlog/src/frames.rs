//! Reading frames back, for replay.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Frame;
use crate::disk::{Disk, read_up_to};
use crate::error::LogError;
use crate::format::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::scan::{Place, Step};

/// A segment to be read.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
    /// Where it ended when reading began; nothing for a closed segment.
    pub(crate) end: Option<u64>,
}

/// The frames of a log in order, each checked. After an error there are no more.
///
/// One segment at a time is held in memory.
#[derive(Debug)]
pub struct Frames {
    disk: Arc<dyn Disk>,
    log_id: u64,
    spans: VecDeque<Span>,
    from_seq: u64,
    current: Option<Current>,
}

/// The segment being read.
#[derive(Debug)]
struct Current {
    path: PathBuf,
    bytes: Vec<u8>,
    place: Place,
}

impl Frames {
    pub(crate) fn new(disk: Arc<dyn Disk>, log_id: u64, spans: Vec<Span>, from_seq: u64) -> Self {
        Self { disk, log_id, spans: spans.into(), from_seq, current: None }
    }

    fn load(&self, span: Span) -> Result<Current, LogError> {
        let Span { path, first_seq, end } = span;
        let bytes = self
            .disk
            .open(&path)
            .and_then(|file| read_up_to(&*file, end.unwrap_or(u64::MAX)))
            .map_err(|error| LogError::read(&path, error))?;
        let damaged = |path, reason| LogError::Damaged {
            path,
            offset: 0,
            first_seq,
            last_seq: first_seq,
            reason,
        };
        let Ok(header) = SegmentHeader::decode(&bytes) else {
            return Err(damaged(path, "the header of the segment is damaged"));
        };
        if header.log_id != self.log_id || header.first_seq != first_seq {
            return Err(damaged(path, "the file was exchanged for another one"));
        }
        if end.is_some_and(|end| end > bytes.len() as u64) {
            return Err(damaged(path, "the file was cut off"));
        }
        let place = Place {
            log_id: self.log_id,
            seq: first_seq,
            chain: header.previous,
            offset: SEGMENT_HEADER_BYTES,
        };
        Ok(Current { path, bytes, place })
    }

    /// The next frame, or nothing at the end.
    fn advance(&mut self) -> Result<Option<Frame>, LogError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(span) = self.spans.pop_front() else { return Ok(None) };
                self.current = Some(self.load(span)?);
                continue;
            };
            match current.place.step(&current.bytes) {
                Step::Frame(view) if view.header.seq < self.from_seq => {}
                Step::Frame(view) => {
                    // `step` refuses unknown kinds.
                    let Some(kind) = view.kind() else { continue };
                    let header = view.header;
                    return Ok(Some(Frame {
                        seq: header.seq,
                        kind,
                        rows: header.rows,
                        received_at: header.received_at,
                        payload: view.payload.to_vec(),
                    }));
                }
                Step::End => self.current = None,
                Step::Bad(bad) => {
                    return Err(LogError::Damaged {
                        path: current.path.clone(),
                        offset: current.place.offset as u64,
                        first_seq: current.place.seq,
                        last_seq: current.place.seq,
                        reason: bad.reason,
                    });
                }
            }
        }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.spans.clear();
            self.current = None;
        }
        next.transpose()
    }
}
