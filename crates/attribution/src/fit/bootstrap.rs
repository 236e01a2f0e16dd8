//! Intervals: the same fit on journeys drawn anew, many times.
//!
//! Drawn are whole journeys with replacement, as that is what varies from one month to the next:
//! the count of each path's converted and lost journeys is replaced by a Poisson count of the same
//! mean. Percentiles of the resampled shares are the interval. Seeded, and independent of the order
//! of paths.
//!
//! Source: Efron, Tibshirani, "An introduction to the bootstrap", 1993.

use crate::AttributionError;

use super::markov::Drawn;
use super::random::Random;
use super::{FitSettings, PathCounts};

/// Share of resampled fits inside an interval.
pub const CONFIDENCE: f64 = 0.95;

/// Lower and upper ends of shares, in the order of the channels.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// Lower ends.
    pub lower: Vec<f64>,
    /// Upper ends.
    pub upper: Vec<f64>,
    /// Fits they rest on; draws without any conversion are left out.
    pub replicates: usize,
}

impl Intervals {
    /// Without resampling: the shares themselves.
    pub(super) fn none(shares: &[f64]) -> Self {
        Self { lower: shares.to_vec(), upper: shares.to_vec(), replicates: 0 }
    }
}

/// Intervals around `shares`; `fit` gives those of resampled journeys, or `None` when nothing drawn
/// converts.
pub(super) fn intervals(
    paths: &PathCounts,
    settings: &FitSettings,
    shares: &[f64],
    fit: impl Fn(&[Drawn]) -> Result<Option<Vec<f64>>, AttributionError>,
) -> Result<Intervals, AttributionError> {
    let sorted = paths.sorted();
    let mut fits: Vec<Vec<f64>> = vec![Vec::new(); paths.channels().len()];
    let mut drawn = Vec::with_capacity(sorted.len());
    for replicate in 0..settings.replicates {
        let mut random = Random::new(settings.seed, replicate as u64);
        drawn.clear();
        drawn.extend(sorted.iter().map(|&path| {
            let counts = paths.path(path);
            let converted = random.resampled(counts.converted);
            Drawn { path, converted, lost: random.resampled(counts.lost) }
        }));
        if let Some(again) = fit(&drawn)? {
            fits.iter_mut().zip(again).for_each(|(fits, share)| fits.push(share));
        }
    }
    let replicates = fits.first().map_or(0, Vec::len);
    if replicates == 0 {
        return Ok(Intervals::none(shares));
    }
    let mut ends = (Vec::new(), Vec::new());
    for fits in &mut fits {
        fits.sort_by(f64::total_cmp);
        ends.0.push(percentile(fits, (1.0 - CONFIDENCE) / 2.0));
        ends.1.push(percentile(fits, (1.0 + CONFIDENCE) / 2.0));
    }
    Ok(Intervals { lower: ends.0, upper: ends.1, replicates })
}

/// The value below which a part of the sorted values lies, between neighbours in proportion.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let place = part * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let sorted = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(percentile(&sorted, 0.0), 0.0);
        assert_eq!(percentile(&sorted, 0.5), 1.5);
        assert_eq!(percentile(&sorted, 1.0), 3.0);
        assert_eq!(percentile(&[7.0], 0.3), 7.0);
    }
}
