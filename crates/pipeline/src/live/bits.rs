//! One bit for each of many numbers, shared with readers and copied when it changes under them.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;

/// Bits that are off unless they were set.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits {
    words: Arc<Vec<u64>>,
    count: usize,
}

impl Bits {
    pub(super) fn get(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// How many are set.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many of some are set.
    pub(super) fn count_in(&self, numbers: std::ops::Range<usize>) -> usize {
        if self.count == 0 {
            return 0;
        }
        let (mut at, mut count) = (numbers.start, 0);
        while at < numbers.end {
            let Some(word) = self.words.get(at / 64) else { break };
            let bits = (numbers.end - at).min(64 - at % 64);
            let mask = u64::MAX >> (64 - bits) << (at % 64);
            count += (word & mask).count_ones() as usize;
            at += bits;
        }
        count
    }

    /// Sets a bit; false when it was set already.
    pub(super) fn set(&mut self, number: usize) -> bool {
        if self.get(number) {
            return false;
        }
        let words = Arc::make_mut(&mut self.words);
        if number / 64 >= words.len() {
            words.resize((number / 64 + 1).next_power_of_two(), 0);
        }
        words[number / 64] |= 1 << (number % 64);
        self.count += 1;
        true
    }

    pub(super) fn clear(&mut self, number: usize) {
        if self.get(number) {
            Arc::make_mut(&mut self.words)[number / 64] &= !(1 << (number % 64));
            self.count -= 1;
        }
    }

    /// The numbers below `length` that are not set, as a filter.
    pub(super) fn off(&self, from: usize, length: usize) -> BooleanArray {
        BooleanArray::new(BooleanBuffer::collect_bool(length, |row| !self.get(from + row)), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_set() {
        let mut bits = Bits::default();
        for number in [0, 63, 64, 65, 200] {
            assert!(bits.set(number));
            assert!(!bits.set(number));
        }
        bits.clear(65);
        bits.clear(1_000);
        assert_eq!(bits.count(), 4);
        for (from, to) in [(0, 0), (0, 1), (1, 63), (63, 65), (0, 201), (64, 500), (201, 900)] {
            let expected = (from..to).filter(|number| bits.get(*number)).count();
            assert_eq!(bits.count_in(from..to), expected, "{from}..{to}");
            assert_eq!(bits.off(from, to - from).false_count(), expected, "{from}..{to}");
        }
    }
}
