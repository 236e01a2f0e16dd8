//! Channels that were asked for lately: a journey of millions asks for the same few names again and again.

/// Names that are kept; more channels than this in use at a time are looked up the longer way.
const SLOTS: usize = 1 << 10;

/// An odd number with bits all over it: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes that tell most names apart at a glance: the length, the first eight, the last eight. Of a name of at most 16 bytes that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Glance {
    length: usize,
    first: u64,
    last: u64,
}

impl Glance {
    #[inline]
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => (bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
        };
        Self { length: bytes.len(), first, last }
    }

    #[inline]
    fn slot(self) -> usize {
        let mixed =
            (self.first ^ self.last.rotate_left(29) ^ self.length as u64).wrapping_mul(GOLDEN);
        (mixed >> (u64::BITS - SLOTS.trailing_zeros())) as usize
    }
}

/// For each slot, the last name that fell into it.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<(Glance, u16)>);

/// What no name looks like.
const EMPTY: (Glance, u16) = (Glance { length: usize::MAX, first: 0, last: 0 }, 0);

impl Recent {
    /// The number of a name, if it was asked for lately.
    #[inline]
    pub(super) fn get(&self, name: &str, names: &[String]) -> Option<u16> {
        let glance = Glance::of(name);
        let &(known, number) = self.0.get(glance.slot())?;
        let same = known == glance && (name.len() <= 16 || names[usize::from(number)] == name);
        same.then_some(number)
    }

    /// Keeps a name's number.
    pub(super) fn set(&mut self, name: &str, number: u16) {
        self.0.resize(SLOTS, EMPTY);
        let glance = Glance::of(name);
        self.0[glance.slot()] = (glance, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let long = |middle: char| format!("begin---{middle}---the end");
        let names = ["", "a", "\0a", "a\0", "Channel 01", "Channel 02", "12345678", "123456789"]
            .map(str::to_owned)
            .into_iter()
            .chain([long('x'), long('y')])
            .collect::<Vec<_>>();
        let mut recent = Recent::default();
        assert_eq!(recent.get("", &names), None);
        for (number, name) in names.iter().enumerate() {
            recent.set(name, number as u16);
            assert_eq!(recent.get(name, &names), Some(number as u16), "{name:?}");
            // Another name may have taken the slot, but none is taken for another.
            for other in &names {
                let found = recent.get(other, &names);
                assert!(found.is_none_or(|found| names[usize::from(found)] == *other), "{other:?}");
            }
        }
    }
}
