//! Shapley values: what a channel adds to a coalition of channels, on average over all orders in
//! which the coalition can come together.
//!
//! Two worths of a coalition are offered. [`Worth::Journeys`], the usual one: conversions of
//! journeys whose touches all lie in the coalition. As a sum over journeys it has a closed form,
//! each conversion in equal parts to the distinct channels of its journey, which is exact for any
//! number of channels. [`Worth::Chain`]: conversions that the first-order chain still has when all
//! other channels are removed, so that lost journeys count. That one is enumerated over all
//! coalitions up to [`EXACT_MAX`] channels, and sampled beyond `[2.31]`.
//!
//! Sources: Shapley, "A value for n-person games", 1953; Zhao, Mahboobi, Bagheri, "Shapley value
//! methods for attribution modeling", 2018 (closed form); Castro, Gómez, Tejada, 2009 (sampling).

use crate::AttributionError;

use super::markov::{Chain, Drawn, Walks};
use super::random::Random;
use super::{FitSettings, PathCounts, shares};

/// Channels up to which all coalitions are enumerated.
pub const EXACT_MAX: usize = 15;
/// Channels that a coalition can hold.
pub const PLAYERS_MAX: usize = 64;
/// Sampled permutations when nobody says.
pub const PERMUTATIONS_DEFAULT: usize = 2_000;
/// Permutations of each resampled fit: its noise adds to the interval, which is wide anyway.
const RESAMPLED_PERMUTATIONS: usize = 50;
/// Stream of random numbers for permutations; resampling uses those from 0 on.
const STREAM: u64 = u64::MAX;

/// What a coalition of channels is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Conversions of the journeys that need no other channel.
    Journeys,
    /// Conversions of the chain without all other channels.
    Chain,
}

/// A Shapley value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    /// Conversions.
    pub value: f64,
    /// Standard error of a sampled value; 0 for an exact one.
    pub standard_error: f64,
}

/// Exact values by all coalitions; a coalition is a set of bits.
///
/// # Errors
/// [`AttributionError::TooManyChannels`] above [`EXACT_MAX`]; what `worth` says.
pub fn exact(
    players: usize,
    mut worth: impl FnMut(u64) -> Result<f64, AttributionError>,
) -> Result<Vec<f64>, AttributionError> {
    if players > EXACT_MAX {
        let what = "exact Shapley values";
        return Err(AttributionError::TooManyChannels { channels: players, most: EXACT_MAX, what });
    }
    let worths = (0..1_u64 << players).map(&mut worth).collect::<Result<Vec<_>, _>>()?;
    // |S|! (n − |S| − 1)! / n!, for a coalition of |S| that a player joins.
    let mut chance = vec![0.0; players];
    for (size, chance) in chance.iter_mut().enumerate() {
        let mut orders = players as f64;
        for k in 1..=size {
            orders *= (players - k) as f64 / k as f64;
        }
        *chance = 1.0 / orders;
    }
    let mut values = vec![0.0; players];
    for (coalition, before) in worths.iter().enumerate() {
        for (player, value) in values.iter_mut().enumerate() {
            if coalition >> player & 1 == 0 {
                let joined = worths[coalition | 1 << player];
                *value += chance[coalition.count_ones() as usize] * (joined - before);
            }
        }
    }
    Ok(values)
}

/// Values by random permutations, each with its standard error. They sum to the worth of all.
///
/// # Errors
/// [`AttributionError::TooManyChannels`] above [`PLAYERS_MAX`]; what `worth` says.
pub fn sampled(
    players: usize,
    permutations: usize,
    seed: u64,
    mut worth: impl FnMut(u64) -> Result<f64, AttributionError>,
) -> Result<Vec<Value>, AttributionError> {
    if players > PLAYERS_MAX {
        let what = "a coalition";
        return Err(AttributionError::TooManyChannels {
            channels: players,
            most: PLAYERS_MAX,
            what,
        });
    }
    let permutations = permutations.max(2);
    let mut random = Random::new(seed, STREAM);
    let mut order: Vec<usize> = (0..players).collect();
    let (mut sums, mut squares) = (vec![0.0; players], vec![0.0; players]);
    let nobody = worth(0)?;
    for _ in 0..permutations {
        for at in (1..players).rev() {
            order.swap(at, random.below(at as u64 + 1) as usize);
        }
        let (mut coalition, mut before) = (0_u64, nobody);
        for &player in &order {
            coalition |= 1 << player;
            let joined = worth(coalition)?;
            sums[player] += joined - before;
            squares[player] += (joined - before).powi(2);
            before = joined;
        }
    }
    let count = permutations as f64;
    let value = |player: usize| {
        let mean = sums[player] / count;
        let variance = (squares[player] / count - mean * mean).max(0.0) * count / (count - 1.0);
        Value { value: mean, standard_error: (variance / count).sqrt() }
    };
    Ok((0..players).map(value).collect())
}

/// Values of all channels, in their order.
pub(super) fn values(
    paths: &PathCounts,
    settings: &FitSettings,
) -> Result<Vec<Value>, AttributionError> {
    if settings.worth == Worth::Journeys {
        let sorted = paths.sorted();
        let all = sorted.iter().map(|&path| {
            let counts = paths.path(path);
            Drawn { path, converted: counts.converted, lost: counts.lost }
        });
        return Ok(equal_parts(paths, all).into_iter().map(certain).collect());
    }
    let chain = Chain::new(paths, 1)?;
    chain_values(paths, &chain, chain.counts(), settings)
}

fn chain_values(
    paths: &PathCounts,
    chain: &Chain,
    counts: &[u64],
    settings: &FitSettings,
) -> Result<Vec<Value>, AttributionError> {
    let players = paths.channels().len();
    let journeys = paths.journeys() as f64;
    let worth = |coalition: u64| {
        let outside = |channel: usize| coalition >> channel & 1 == 0;
        Ok(chain.conversion_probability(counts, &outside)? * journeys)
    };
    // Removing fewer channels never costs conversions; rounding may leave a hair below zero.
    if players <= EXACT_MAX {
        let values = exact(players, worth)?;
        return Ok(values.into_iter().map(|value| certain(value.max(0.0))).collect());
    }
    let values = sampled(players, settings.permutations, settings.seed, worth)?;
    let sound = |value: Value| Value { value: value.value.max(0.0), ..value };
    Ok(values.into_iter().map(sound).collect())
}

fn certain(value: f64) -> Value {
    Value { value, standard_error: 0.0 }
}

/// Each conversion in equal parts to the distinct channels of its journey.
fn equal_parts(paths: &PathCounts, drawn: impl Iterator<Item = Drawn>) -> Vec<f64> {
    let mut values = vec![0.0; paths.channels().len()];
    let mut distinct: Vec<u16> = Vec::new();
    for draw in drawn.filter(|draw| draw.converted > 0) {
        distinct.clear();
        distinct.extend_from_slice(paths.path(draw.path).steps);
        distinct.sort_unstable();
        distinct.dedup();
        let part = draw.converted as f64 / distinct.len() as f64;
        for &channel in &distinct {
            values[usize::from(channel)] += part;
        }
    }
    values
}

/// Fits again on resampled journeys.
#[derive(Debug)]
pub(super) struct Resampled<'a> {
    paths: &'a PathCounts,
    settings: FitSettings,
    chain: Option<(Chain, Walks)>,
}

impl<'a> Resampled<'a> {
    pub(super) fn new(
        paths: &'a PathCounts,
        settings: &FitSettings,
    ) -> Result<Self, AttributionError> {
        let chain = match settings.worth {
            Worth::Journeys => None,
            Worth::Chain => {
                let chain = Chain::new(paths, 1)?;
                let walks = chain.walks(paths);
                Some((chain, walks))
            }
        };
        let permutations = settings.permutations.min(RESAMPLED_PERMUTATIONS);
        Ok(Self { paths, settings: FitSettings { permutations, ..settings.clone() }, chain })
    }

    /// Shares of the channels; `None` when nothing drawn converts.
    pub(super) fn shares(&self, drawn: &[Drawn]) -> Result<Option<Vec<f64>>, AttributionError> {
        let weights = match &self.chain {
            None => equal_parts(self.paths, drawn.iter().copied()),
            Some((chain, walks)) => {
                let counts = walks.count(drawn);
                let values = chain_values(self.paths, chain, &counts, &self.settings)?;
                values.iter().map(|value| value.value).collect()
            }
        };
        let any = weights.iter().sum::<f64>() > 0.0;
        Ok(any.then(|| shares(&weights)))
    }
}
