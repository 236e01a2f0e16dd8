//! Attribution models that are fitted to many journeys at once, and the heuristics beside them.
//!
//! In: [`PathCounts`], how often each path of channels converted and was lost. Out: what each
//! channel gets of all conversions. Equal paths give equal bits, in whatever order they came.
//!
//! | room | what it does |
//! |---|---|
//! | [`builder`] | journeys → distinct paths with their counts |
//! | [`paths`] | those, to read |
//! | [`heuristics`] | first, last, linear, position, time decay: each journey divides by itself |
//! | [`markov`] | removal effects of an absorbing chain of order 1 to 3, solved exactly `[2.31]` |
//! | [`shapley`] | average marginal worth of a channel, exact or sampled with its error |
//! | [`bootstrap`] | the same fit on resampled journeys → intervals |

pub mod bootstrap;
pub mod builder;
mod hash;
pub mod heuristics;
pub mod markov;
pub mod paths;
mod random;
mod recent;
pub mod shapley;
mod solve;
#[cfg(test)]
mod tests;

pub use builder::{PathCountsBuilder, Portion};
pub use paths::PathCounts;

use crate::AttributionError;
use crate::credit::{MICROS, bad_weight, split_to_nearest};

/// Order of the Markov chain when nobody says.
pub const ORDER_DEFAULT: usize = 1;
/// Resampled fits behind an interval when nobody says.
pub const REPLICATES_DEFAULT: usize = 200;
/// A channel in fewer converted journeys than this is marked: its share is mostly chance.
pub const LOW_VOLUME_DEFAULT: u64 = 30;
/// Seed of resampling and of permutations when nobody says.
pub const SEED_DEFAULT: u64 = 1;

/// What is fitted, and how carefully.
#[derive(Debug, Clone, PartialEq)]
pub struct FitSettings {
    /// Touches that the Markov chain remembers.
    pub order: usize,
    /// What a coalition of channels is worth.
    pub worth: shapley::Worth,
    /// Permutations of sampled Shapley values.
    pub permutations: usize,
    /// Resampled fits behind the intervals; 0: no intervals.
    pub replicates: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Converted journeys below which a channel is marked.
    pub low_volume: u64,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self {
            order: ORDER_DEFAULT,
            worth: shapley::Worth::Journeys,
            permutations: shapley::PERMUTATIONS_DEFAULT,
            replicates: REPLICATES_DEFAULT,
            seed: SEED_DEFAULT,
            low_volume: LOW_VOLUME_DEFAULT,
        }
    }
}

/// A fitted attribution model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FittedModel {
    /// Removal effects of an absorbing Markov chain.
    Markov,
    /// Shapley values.
    Shapley,
}

impl FittedModel {
    /// All, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Markov, Self::Shapley];

    /// The value of column `attribution_model`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Markov => "markov",
            Self::Shapley => "shapley",
        }
    }
}

/// What one channel gets.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelFit {
    /// The channel.
    pub channel: String,
    /// Markov: share of conversions that would be lost without the channel, in `0..=1`. Shapley:
    /// conversions that the channel adds on average. Not additive in the first case.
    pub weight: f64,
    /// Share of all conversions; sums to 1.
    pub share: f64,
    /// Lower end of the interval of `share`; `share` itself without resampling.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Standard error of `share` from sampled permutations; 0 where the value is exact.
    pub standard_error: f64,
    /// Conversions in millionths; sums to all conversions.
    pub conversion_micros: i64,
    /// Value in millionths; sums to the value of all conversions.
    pub value_micros: i64,
    /// Journeys with a touch of the channel.
    pub journeys: u64,
    /// Those of them that converted.
    pub converted: u64,
    /// Fewer converted journeys than [`FitSettings::low_volume`].
    pub is_low_volume: bool,
}

/// A fit of one attribution model.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Which.
    pub model: FittedModel,
    /// Order of the chain; `None` where there is no chain.
    pub order: Option<usize>,
    /// By name.
    pub channels: Vec<ChannelFit>,
    /// Share of journeys with a touch that convert: what the whole chain absorbs as converted.
    pub conversion_probability: f64,
    /// Resampled fits that the intervals rest on.
    pub replicates: usize,
}

/// Fits one attribution model.
///
/// # Errors
/// [`AttributionError::NoPaths`], [`AttributionError::NoConversions`], and those of
/// [`markov::Chain`] and [`shapley`].
pub fn fit(
    paths: &PathCounts,
    model: FittedModel,
    settings: &FitSettings,
) -> Result<Fit, AttributionError> {
    paths.check()?;
    match model {
        FittedModel::Markov => fit_markov(paths, settings),
        FittedModel::Shapley => fit_shapley(paths, settings),
    }
}

fn fit_markov(paths: &PathCounts, settings: &FitSettings) -> Result<Fit, AttributionError> {
    let chain = markov::Chain::new(paths, settings.order)?;
    let effects = chain.removal_effects(chain.counts())?;
    let found = shares(&effects.effects);
    let intervals = if settings.replicates == 0 {
        bootstrap::Intervals::none(&found)
    } else {
        let walks = chain.walks(paths);
        bootstrap::intervals(paths, settings, &found, |drawn| {
            match chain.removal_effects(&walks.count(drawn)) {
                Ok(effects) => Ok(Some(shares(&effects.effects))),
                Err(AttributionError::NoConversions { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })?
    };
    let zeros = vec![0.0; effects.effects.len()];
    let channels = channels(paths, settings, &effects.effects, &zeros, &intervals)?;
    Ok(Fit {
        model: FittedModel::Markov,
        order: Some(settings.order),
        channels,
        conversion_probability: effects.conversion_probability,
        replicates: intervals.replicates,
    })
}

fn fit_shapley(paths: &PathCounts, settings: &FitSettings) -> Result<Fit, AttributionError> {
    let values = shapley::values(paths, settings)?;
    let weights: Vec<f64> = values.iter().map(|value| value.value).collect();
    let found = shares(&weights);
    let intervals = if settings.replicates == 0 {
        bootstrap::Intervals::none(&found)
    } else {
        let resampled = shapley::Resampled::new(paths, settings)?;
        bootstrap::intervals(paths, settings, &found, |drawn| resampled.shares(drawn))?
    };
    let whole: f64 = weights.iter().sum();
    let errors: Vec<f64> = values.iter().map(|value| value.standard_error / whole).collect();
    let channels = channels(paths, settings, &weights, &errors, &intervals)?;
    let order = (settings.worth == shapley::Worth::Chain).then_some(1);
    Ok(Fit {
        model: FittedModel::Shapley,
        order,
        channels,
        conversion_probability: paths.conversion_probability(),
        replicates: intervals.replicates,
    })
}

/// Weights as parts of 1.
fn shares(weights: &[f64]) -> Vec<f64> {
    let whole: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / whole).collect()
}

fn channels(
    paths: &PathCounts,
    settings: &FitSettings,
    weights: &[f64],
    errors: &[f64],
    intervals: &bootstrap::Intervals,
) -> Result<Vec<ChannelFit>, AttributionError> {
    let whole = whole_weights(weights)?;
    let shares = shares(weights);
    let conversions = split_to_nearest(micros(paths.conversions(), "conversions")?, &whole)?;
    let values = split_to_nearest(paths.value_micros(), &whole)?;
    let reach = paths.reach();
    let row = |(at, channel): (usize, &String)| ChannelFit {
        channel: channel.clone(),
        weight: weights[at],
        share: shares[at],
        lower: intervals.lower[at],
        upper: intervals.upper[at],
        standard_error: errors[at],
        conversion_micros: conversions[at],
        value_micros: values[at],
        journeys: reach[at].journeys,
        converted: reach[at].converted,
        is_low_volume: reach[at].converted < settings.low_volume,
    };
    Ok(paths.channels().iter().enumerate().map(row).collect())
}

/// Fractional weights as whole ones of the same proportions, to 48 bits of the largest.
///
/// # Errors
/// [`AttributionError::BadWeight`], [`AttributionError::ZeroWeights`].
pub fn whole_weights(weights: &[f64]) -> Result<Vec<u64>, AttributionError> {
    let wrong =
        weights.iter().enumerate().find(|(_, weight)| !weight.is_finite() || **weight < 0.0);
    if let Some((position, weight)) = wrong {
        return Err(bad_weight(position, weight));
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Err(AttributionError::ZeroWeights);
    }
    let scale = (1_u64 << 48) as f64;
    Ok(weights.iter().map(|weight| (weight / largest * scale).round() as u64).collect())
}

/// A count in millionths.
fn micros(count: u64, what: &'static str) -> Result<i64, AttributionError> {
    let count = i64::try_from(count).ok();
    count.and_then(|n| n.checked_mul(MICROS)).ok_or(AttributionError::CountsTooLarge { what })
}
