//! Numbers for the keys of persons, in order of appearance.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, StringViewArray};
use hashbrown::HashMap;

/// A key is known by 128 bits of it under two secret hashes, 24 bytes a person with its number. That two of a
/// hundred million keys are taken for one has odds of 1 in 10^22, and nobody can choose keys for it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    numbers: HashMap<[u32; 4], u32>,
    hashers: [RandomState; 2],
}

impl Numbers {
    /// The number of a key, if it has one.
    pub(super) fn get(&self, key: &str) -> Option<u32> {
        self.numbers.get(&self.hash(key)).copied()
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }

    /// The number of each key; a new key gets the next one.
    pub(super) fn all(&mut self, keys: &StringViewArray) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(keys.len());
        // Rows of a person often follow each other.
        let mut last = None;
        for key in keys {
            let key = key.unwrap_or_default();
            let number = match last {
                Some((known, number)) if known == key => number,
                _ => self.of(key),
            };
            last = Some((key, number));
            numbers.push(number);
        }
        numbers
    }

    fn of(&mut self, key: &str) -> u32 {
        let next = self.len();
        *self.numbers.entry(self.hash(key)).or_insert(next)
    }

    fn hash(&self, key: &str) -> [u32; 4] {
        let [one, other] = self.hashers.each_ref().map(|hasher| hasher.hash_one(key));
        [one as u32, (one >> 32) as u32, other as u32, (other >> 32) as u32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_keeps_its_number() {
        let mut numbers = Numbers::default();
        let keys = StringViewArray::from(vec![Some("a"), None, Some("b"), Some("a"), Some("")]);
        assert_eq!(numbers.all(&keys), [0, 1, 2, 0, 1]);
        assert_eq!(numbers.all(&keys), [0, 1, 2, 0, 1]);
        assert_eq!((numbers.get("b"), numbers.get("c"), numbers.len()), (Some(2), None, 3));
    }
}
