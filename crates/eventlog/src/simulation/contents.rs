//! The bytes of a simulated file: as readers see them, and as the platters have them.

use super::Rng;

/// A change that was not synced.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }

    /// The change in parts that reach the disk on their own.
    fn sectors(self, sector: usize, parts: &mut Vec<Self>) {
        let Self::Write(mut offset, written) = self else {
            parts.push(self);
            return;
        };
        let mut rest = &written[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(sector - offset % sector));
            parts.push(Self::Write(offset, now.to_vec()));
            offset += now.len();
            rest = later;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

impl Contents {
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { seen: bytes.clone(), durable: bytes, changes: Vec::new() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        if !bytes.is_empty() {
            self.change(Change::Write(offset, bytes.to_vec()));
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.change(Change::SetLen(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that failed: some changes are on the disk, and the others are no longer tried
    /// although readers still see them.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.chance(50) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// Of the changes that were not synced, `kept` percent reach the disk, in any order.
    pub(super) fn lose_power(&mut self, rng: &mut Rng, sector: usize, kept: u64) {
        let mut parts = Vec::new();
        for change in self.changes.drain(..) {
            change.sectors(sector, &mut parts);
        }
        if rng.chance(50) {
            for last in (1..parts.len()).rev() {
                let other = usize::try_from(rng.below(last as u64 + 1)).unwrap_or(0);
                parts.swap(last, other);
            }
        }
        for part in parts {
            if rng.chance(kept) {
                part.apply(&mut self.durable);
            }
        }
        self.seen = self.durable.clone();
    }
}
