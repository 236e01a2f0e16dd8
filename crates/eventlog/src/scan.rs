//! Walking through the frames of a segment, and finding frames behind damage.

use crate::format::{View, next_magic};

/// Where the next frame is expected, and what it must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) log_id: u64,
    /// Sequence number of the next frame.
    pub(crate) seq: u64,
    /// Checksum of the header of the frame before.
    pub(crate) chain: u32,
    /// Where it begins.
    pub(crate) offset: usize,
}

/// What was found where a frame was expected.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// The frame.
    Frame(View<'a>),
    /// The file ends here, as it should.
    End,
    /// Something else.
    Bad(Bad),
}

/// Bytes that are not the expected frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) reason: &'static str,
    /// The bytes are a whole frame with right checksums, only not one that fits here. A write that
    /// was cut short does not leave that behind.
    pub(crate) whole: bool,
}

impl Place {
    /// The frame expected here; goes on to the next place when it is there.
    pub(crate) fn step<'a>(&mut self, bytes: &'a [u8]) -> Step<'a> {
        if self.offset == bytes.len() {
            return Step::End;
        }
        let view = match View::at(bytes, self.offset) {
            Ok(view) => view,
            Err(reason) => return Step::Bad(Bad { reason, whole: false }),
        };
        match self.misfit(&view) {
            Some(reason) => Step::Bad(Bad { reason, whole: true }),
            None => {
                self.pass(&view);
                Step::Frame(view)
            }
        }
    }

    /// Goes on to the place after a frame.
    pub(crate) fn pass(&mut self, view: &View<'_>) {
        self.seq = view.header.seq.saturating_add(1);
        self.chain = view.crc;
        self.offset = view.end;
    }

    fn misfit(&self, view: &View<'_>) -> Option<&'static str> {
        let header = &view.header;
        if header.log_id != self.log_id {
            Some("a frame belongs to another log")
        } else if header.seq != self.seq {
            Some("a frame is out of order")
        } else if header.previous != self.chain {
            Some("a frame does not continue the one before it")
        } else if view.kind().is_none() {
            Some("a frame is of an unknown kind")
        } else {
            None
        }
    }
}

/// Where a walk through a segment ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    /// The place after the last good frame.
    pub(crate) place: Place,
    /// Highest sequence number that a good frame says was synced.
    pub(crate) synced: u64,
    /// Good frames.
    pub(crate) frames: u64,
    /// What stands at `place`, when it is not the end of the file.
    pub(crate) bad: Option<Bad>,
}

/// Walks from a place to the end of the segment or to the first bytes that are not the expected
/// frame.
pub(crate) fn walk(bytes: &[u8], mut place: Place) -> Walk {
    let mut synced = 0;
    let mut frames = 0;
    let bad = loop {
        match place.step(bytes) {
            Step::Frame(view) => {
                synced = synced.max(view.header.synced);
                frames += 1;
            }
            Step::End => break None,
            Step::Bad(bad) => break Some(bad),
        }
    };
    Walk { place, synced, frames, bad }
}

/// The first whole frame of the log at or after `from` whose sequence number is at least `seq`,
/// with its offset. Every offset is tried: after damage nothing says where the next frame begins.
pub(crate) fn find(
    bytes: &[u8],
    from: usize,
    log_id: Option<u64>,
    seq: u64,
) -> Option<(usize, View<'_>)> {
    let mut from = from;
    loop {
        let at = next_magic(bytes, from)?;
        match View::at(bytes, at) {
            Ok(view)
                if log_id.is_none_or(|id| id == view.header.log_id) && view.header.seq >= seq =>
            {
                return Some((at, view));
            }
            _ => from = at + 1,
        }
    }
}

/// Whole frames behind damage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behind {
    /// How many there are.
    pub(crate) frames: u64,
    /// Sequence number of the first one.
    pub(crate) first_seq: Option<u64>,
    /// Highest sequence number that one of them says was synced.
    pub(crate) synced: u64,
}

/// All whole frames behind damage at `place`.
pub(crate) fn behind(bytes: &[u8], place: &Place) -> Behind {
    let mut found = Behind::default();
    let mut from = place.offset + 1;
    while let Some((_, view)) = find(bytes, from, Some(place.log_id), place.seq) {
        found.frames += 1;
        found.first_seq = found.first_seq.or(Some(view.header.seq));
        found.synced = found.synced.max(view.header.synced);
        from = view.end;
    }
    found
}
