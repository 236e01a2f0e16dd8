//! Seeded chance: SplitMix64 in independent streams, so that a fit can be repeated bit by bit.

/// The increment of SplitMix64: 2⁶⁴ divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Counts above this are resampled as a rounded normal deviate: the relative difference to a Poisson
/// count is then below the resampling's own noise.
const POISSON_EXACT: u64 = 64;

/// One stream of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The stream that `seed` and `number` name.
    pub(super) fn new(seed: u64, number: u64) -> Self {
        Self(mix(mix(seed).wrapping_add(number).wrapping_add(GOLDEN)))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number in `0..limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number above 0 and up to 1.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// How often `count` journeys come up when as many journeys are drawn with replacement: a
    /// Poisson count, which the multinomial one tends to.
    pub(super) fn resampled(&mut self, count: u64) -> u64 {
        if count > POISSON_EXACT {
            let (radius, angle) = (self.unit().ln() * -2.0, self.unit() * std::f64::consts::TAU);
            let mean = count as f64;
            return (mean + mean.sqrt() * radius.sqrt() * angle.cos()).round().max(0.0) as u64;
        }
        // Arrivals in a time of `count`: the sum of exponential waits, as a product.
        let limit = (-(count as f64)).exp();
        let (mut arrivals, mut product) = (0, self.unit());
        while product > limit {
            arrivals += 1;
            product *= self.unit();
        }
        arrivals
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
    fn resampled_counts_have_the_mean_and_variance_of_poisson() {
        for count in [1_u64, 7, 64, 65, 4000] {
            let mut random = Random::new(3, count);
            let draws: Vec<f64> = (0..20_000).map(|_| random.resampled(count) as f64).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let spread = draws.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected = count as f64;
            // Five standard errors of the mean, and of the variance.
            assert!(
                (mean - expected).abs() < 5.0 * (expected / 20_000.0).sqrt(),
                "{count}: {mean}"
            );
            assert!((spread / expected - 1.0).abs() < 0.08, "{count}: {spread}");
        }
        assert_eq!(Random::new(1, 1).resampled(0), 0);
    }
}
