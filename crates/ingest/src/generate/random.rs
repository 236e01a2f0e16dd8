//! The generator's only source of chance: SplitMix64, in independent streams.
//!
//! Written here, not taken from a crate, because equal seeds must give equal files for ever: crates
//! keep the right to change their algorithms. Only integers and exact float steps are used, so that
//! platforms agree.

/// The increment of SplitMix64: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream that `seed` and `path` name, unrelated to any other.
    pub fn new(seed: u64, path: [u64; 2]) -> Self {
        let step = |state: u64, part: u64| mix(state.wrapping_add(part).wrapping_add(GOLDEN));
        Self(path.into_iter().fold(mix(seed), step))
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `0..limit`, 0 when `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The high half of the product: unbiased to one part in 2⁶⁴ ÷ limit.
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number in `least..most`.
    pub(super) fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below(most.abs_diff(least)) as i64
    }

    /// True in `per_mille` of 1000 cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// An index, in proportion to the weights.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let total: u64 = weights.clone().map(u64::from).sum();
        let mut left = self.below(total);
        for (index, weight) in weights.enumerate() {
            if left < u64::from(weight) {
                return index;
            }
            left -= u64::from(weight);
        }
        0
    }
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_stable_and_apart() {
        let first = |seed, path| Random::new(seed, path).bits();
        assert_eq!(first(1, [2, 3]), first(1, [2, 3]));
        assert_ne!(first(1, [2, 3]), first(1, [3, 2]));
        assert_ne!(first(1, [2, 3]), first(2, [2, 3]));
        // Reference value of SplitMix64 with state 0.
        assert_eq!(Random(0).bits(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_stay_in_range() {
        let mut random = Random::new(7, [0, 0]);
        assert!((0..1000).all(|_| (3..9).contains(&random.between(3, 9))));
        assert!((0..1000).all(|_| random.weighted([0, 5, 0].into_iter()) == 1));
        assert_eq!(random.below(0), 0);
    }
}
