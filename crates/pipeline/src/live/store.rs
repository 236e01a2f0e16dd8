//! Frames that were applied, on their way into the warehouse.
//!
//! Their rows go into files at once, while they are at hand as columns; the frames are kept until the files are part of the table, as
//! rows can be read from them again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use clicktrail_engine::datafusion::Embedded;
use clicktrail_eventlog::{Frame, LogError};
use clicktrail_ingest::collect::{self, EnvelopeParts};

use super::dead_letters;
use super::follow::Release;
use super::rows::arrow_fault;
use super::service::Live;
use super::staging::Staged;
use super::stream_table::Draft;
use crate::clock::Clock;
use crate::error::Result;
use crate::warehouse::Warehouse;

/// A round that was applied.
pub(super) struct AppliedRound {
    pub(super) frames: Vec<Arc<Frame>>,
    /// Its raw rows, whole; `None` when they could not be staged, or too many wait.
    raw: Option<Vec<RecordBatch>>,
}

impl AppliedRound {
    pub(super) fn of(frames: Vec<Arc<Frame>>, rows: &mut Result<Option<Staged>>) -> Self {
        let raw = match rows {
            Ok(Some(staged)) => Some(std::mem::take(&mut staged.raw)),
            Ok(None) => Some(Vec::new()),
            Err(_) => None,
        };
        Self { frames, raw }
    }

    /// Raw rows at hand.
    pub(super) fn raw_rows(&self) -> u64 {
        self.raw.iter().flatten().map(|rows| rows.num_rows() as u64).sum()
    }

    /// As columns, rows take more memory than the frames that they can be read from again.
    pub(super) fn forget_rows(&mut self) {
        self.raw = None;
    }
}

/// Frames that are in the live tables and in the log only.
#[derive(Default)]
pub(super) struct Unstored {
    pub(super) frames: Vec<Arc<Frame>>,
    pub(super) events: u64,
    /// Their events in files that only have to become part of the table: rows are at hand as long as a round is.
    draft: Option<Draft>,
    /// Some are missing in it.
    is_draft_torn: bool,
}

impl Unstored {
    pub(super) fn take(&mut self, live: &Live, round: AppliedRound) {
        self.events += round.frames.iter().map(|frame| u64::from(frame.rows)).sum::<u64>();
        self.frames.extend(round.frames);
        self.is_draft_torn |= match round.raw {
            Some(rows) if !self.is_draft_torn => self.write(live, &rows).is_err(),
            _ => true,
        };
        if self.is_draft_torn {
            self.draft = None;
        }
    }

    /// A fault is no loss: the frames are here, and what is wrong is said when they are stored.
    fn write(&mut self, live: &Live, rows: &[RecordBatch]) -> Result<()> {
        for rows in rows {
            let draft = match &mut self.draft {
                Some(draft) => draft,
                None => self.draft.insert(live.draft()?),
            };
            draft.write(rows)?;
        }
        Ok(())
    }

    pub(super) fn store(&mut self, live: &Live, release: &Release) {
        let Some(last) = self.frames.last() else { return };
        let seq = last.seq;
        match live.store_frames(&self.frames, self.draft.take()) {
            Ok(()) => {
                release(seq);
                *self = Self::default();
            }
            // The log keeps them; the next try, or the next start, stores them.
            Err(error) => {
                self.is_draft_torn = true;
                tracing::error!(code = error.code(), %error, "events were not stored");
            }
        }
    }
}

/// Moves the frames that a log still has into the table `events_stream`.
pub(super) fn recover_into(
    warehouse: &Warehouse,
    engine: &Embedded,
    clock: &dyn Clock,
    frames: impl Iterator<Item = Result<Frame, LogError>>,
) -> Result<()> {
    /// Events that are decoded together.
    const PART_EVENTS: u64 = 200_000;
    let (mut part, mut events) = (Vec::new(), 0);
    for frame in frames {
        let frame = frame?;
        events += u64::from(frame.rows);
        part.push(Arc::new(frame));
        if events >= PART_EVENTS {
            store_frames(warehouse, engine, clock, &part, None)?;
            (part, events) = (Vec::new(), 0);
        }
    }
    store_frames(warehouse, engine, clock, &part, None)?;
    Ok(())
}

/// What a frame holds.
pub(super) fn take_apart(frame: &Frame) -> Result<EnvelopeParts<'_>> {
    collect::open_envelope(&frame.payload).ok_or_else(|| {
        clicktrail_engine::EngineError::Internal(format!(
            "frame {} of the log holds something else than events",
            frame.seq
        ))
        .into()
    })
}

/// Events that are decoded together on their way into a table.
const PORTION_EVENTS: u32 = 16_384;

/// Cuts a slice into pieces of at least `least` in all, the last one of what is left.
pub(super) fn portions<'s, T>(
    all: &'s [T],
    least: u32,
    size: impl Fn(&T) -> u32,
) -> impl Iterator<Item = &'s [T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut sum = 0u32;
        let end = rest.iter().position(|one| {
            sum = sum.saturating_add(size(one));
            sum >= least
        });
        let (piece, left) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Moves frames into the tables `events_stream` and `events_dead_letter`; gives the last of them. Their events are read from the
/// frames where there is no draft of them.
pub(super) fn store_frames(
    warehouse: &Warehouse,
    engine: &Embedded,
    clock: &dyn Clock,
    frames: &[Arc<Frame>],
    draft: Option<Draft>,
) -> Result<u64> {
    let Some(last) = frames.last() else { return Ok(0) };
    let parts: Vec<EnvelopeParts<'_>> =
        frames.iter().map(|frame| take_apart(frame)).collect::<Result<_>>()?;
    let (mut letters, mut producers) = (Vec::new(), Vec::new());
    for (part, frame) in parts.iter().zip(frames) {
        match collect::read_dead_letters(part.dead_letter_lines) {
            Ok(read) => letters.extend(read.into_iter().map(|letter| (frame.seq, letter))),
            Err((line, why)) => tracing::error!(line, why, "a dead letter can't be read"),
        }
        producers.extend(part.producer.clone());
    }
    let now = clock.now_micros();
    dead_letters::append(warehouse, &letters, last.seq, now)?;
    let draft = match draft {
        Some(draft) => draft,
        None => drafted(warehouse, &parts)?,
    };
    draft.commit(engine, last.seq, producers, now)?;
    Ok(last.seq)
}

/// The events of some frames.
fn drafted(warehouse: &Warehouse, parts: &[EnvelopeParts<'_>]) -> Result<Draft> {
    let mut draft = Draft::open(warehouse)?;
    let erased = warehouse.erased()?;
    // A part at a time: as columns, two hundred thousand events take half a gigabyte.
    for portion in portions(parts, PORTION_EVENTS, |part| part.events) {
        let rows = collect::decode(portion.iter().map(|part| part.event_lines), None)?;
        draft.write(&erased.without(rows).map_err(arrow_fault)?)?;
    }
    Ok(draft)
}
