//! Attribution models that divide each journey by itself, on path counts.
//!
//! The same rules as the SQL models have, as far as steps alone tell them: a path knows the order
//! of touches and not their times. Credits are whole numbers of 2⁻⁶⁰ conversions, which sum to all
//! conversions exactly and do not depend on the order of paths.

use crate::AttributionError;
use crate::credit::split_by_weights;
use crate::models::in_parts;

use super::PathCounts;

/// Parts of one conversion.
const ONE: i64 = 1 << 60;

/// Steps after which a touch's weight has halved when nobody says.
pub const HALF_LIFE_STEPS_DEFAULT: f64 = 1.0;

/// Weight of first, middle and last touches when nobody says: 40 %, 20 %, 40 %.
pub const POSITION_DEFAULT: [u64; 3] = [40, 20, 40];

/// Lengths of journeys whose parts are computed once and kept.
const KNOWN_MAX: usize = 256;

/// Doublings beyond which a weight is zero: 2⁻⁵³ of a conversion is below a float's digits.
const DECAY_MAX: f64 = 53.0;

/// How a journey divides among its touches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heuristic {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// Equal parts.
    Linear,
    /// Weights of the first, all middle and the last touch; two touches keep first : last `[2.27]`.
    Position {
        /// First, all middle ones together, last.
        weights: [u64; 3],
    },
    /// Half as much for each so many steps before the last touch.
    TimeDecay {
        /// Steps after which a weight has halved; above 0.
        half_life_steps: f64,
    },
}

impl Heuristic {
    /// All, with the weights they have when nobody says.
    pub const ALL: [Self; 5] = [
        Self::First,
        Self::Last,
        Self::Linear,
        Self::Position { weights: POSITION_DEFAULT },
        Self::TimeDecay { half_life_steps: HALF_LIFE_STEPS_DEFAULT },
    ];

    /// The value of column `attribution_model`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first_touch",
            Self::Last => "last_touch",
            Self::Linear => "linear",
            Self::Position { .. } => "position_based",
            Self::TimeDecay { .. } => "time_decay",
        }
    }

    /// Parts of [`ONE`] for each touch of a journey of `length` touches, at least one.
    fn parts(self, length: usize) -> Result<Vec<i64>, AttributionError> {
        let only = |at: usize| (0..length).map(|touch| u64::from(touch == at)).collect();
        let weights: Vec<u64> = match self {
            Self::First => only(0),
            Self::Last => only(length - 1),
            Self::Linear => vec![1; length],
            Self::Position { weights: [first, middle, last] } => match length {
                1 => vec![1],
                _ => in_parts(length, &[(0, first), (length - 1, last)], middle),
            },
            Self::TimeDecay { half_life_steps } => {
                let weight = |touch: usize| {
                    let halvings = (length - 1 - touch) as f64 / half_life_steps;
                    if halvings > DECAY_MAX { 0.0 } else { (-halvings).exp2() }
                };
                return split_by_weights(
                    ONE,
                    &super::whole_weights(&(0..length).map(weight).collect::<Vec<_>>())?,
                );
            }
        };
        split_by_weights(ONE, &weights)
    }
}

/// What the channels get, in the order of [`PathCounts::channels`].
#[derive(Debug, Clone, PartialEq)]
pub struct Credits {
    /// Conversions.
    pub conversions: Vec<f64>,
    /// Value, in units of money.
    pub values: Vec<f64>,
}

/// Divides all journeys.
///
/// # Errors
/// [`AttributionError::ZeroWeights`] for position weights that leave a journey without any.
pub fn credits(paths: &PathCounts, heuristic: Heuristic) -> Result<Credits, AttributionError> {
    let channels = paths.channels().len();
    let mut conversions = vec![0_u128; channels];
    let mut values = vec![0_i128; channels];
    let mut known: Vec<Vec<i64>> = vec![Vec::new(); KNOWN_MAX + 1];
    let mut rare: Vec<i64>;
    for path in paths.iter().filter(|path| path.converted > 0) {
        let single = match heuristic {
            Heuristic::First => path.steps.first(),
            Heuristic::Last => path.steps.last(),
            _ => None,
        };
        if let Some(&step) = single {
            conversions[usize::from(step)] += u128::from(path.converted) << 60;
            values[usize::from(step)] += i128::from(path.value_micros) << 60;
            continue;
        }
        let length = path.steps.len();
        let parts = match known.get_mut(length) {
            Some(parts) if parts.is_empty() => {
                *parts = heuristic.parts(length)?;
                &*parts
            }
            Some(parts) => &*parts,
            None => {
                rare = heuristic.parts(length)?;
                &rare
            }
        };
        for (&step, &part) in path.steps.iter().zip(parts) {
            // Parts are not negative; 2⁶⁴ journeys times 2⁶⁰ stay inside 127 bits.
            conversions[usize::from(step)] += u128::from(path.converted) * part as u128;
            values[usize::from(step)] += i128::from(path.value_micros) * i128::from(part);
        }
    }
    let one = ONE as f64;
    Ok(Credits {
        conversions: conversions.iter().map(|&parts| parts as f64 / one).collect(),
        values: values.iter().map(|&parts| parts as f64 / one / 1e6).collect(),
    })
}
