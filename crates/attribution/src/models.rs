//! The attribution models: how a journey divides a conversion among its touches.
//!
//! | model | gives |
//! |---|---|
//! | `first_touch`, `last_touch` | all to the first, last touch; Direct counts `[2.6]` |
//! | `first_click`, `last_click` | all to the first, last touch that is not Direct, else as above `[2.6]` |
//! | `last_paid` | all to the last touch of a paid channel, else as `last_click` |
//! | `linear` | the same to each touch |
//! | `time_decay` | half as much to a touch for each half-life that it is older `[2.28]` |
//! | `position_based` | parts to the first, the last, and the middle touches together `[2.27]` |
//! | `w_shaped` | the same with a part for the last touch before a milestone |
//!
//! All of them in whole numbers: the formulas stand in `docs/attribution.md`.

use crate::credit::{MICROS, split_by_weights, split_equal};

/// What the attribution models look at in a touch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// The absence of evidence `[2.6]`.
    pub is_direct: bool,
    /// Is its channel one of [`Rules::paid_channels`]?
    pub is_paid: bool,
    /// Does it stand at or before the first milestone of the window?
    pub is_before_milestone: bool,
    /// Whole seconds to the conversion.
    pub seconds_before: i64,
}

/// The project variables that the attribution models read; the default is the demo project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Which models are asked for.
    pub attribution_models: Vec<AttributionModel>,
    /// Channels that cost money.
    pub paid_channels: Vec<String>,
    /// Events at whose touch `w_shaped` looks.
    pub milestone_events: Vec<String>,
    /// After so many seconds a touch weighs half.
    pub half_life_seconds: i64,
    /// Parts of `position_based`: first, middle, last.
    pub position_weights: [u64; 3],
    /// Parts of `w_shaped`: first, milestone, last, other.
    pub w_weights: [u64; 4],
}

impl Default for Rules {
    fn default() -> Self {
        let paid =
            "Cross-network,Paid Shopping,Paid Search,Paid Social,Paid Video,Display,Paid Other";
        Self {
            attribution_models: AttributionModel::ALL.into(),
            paid_channels: paid.split(',').map(str::to_owned).collect(),
            milestone_events: ["sign_up", "generate_lead"].map(str::to_owned).into(),
            half_life_seconds: 7 * 86_400,
            position_weights: [40, 20, 40],
            w_weights: [30, 30, 30, 10],
        }
    }
}

/// An attribution model that divides by the touches of one journey alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributionModel {
    /// The first non-direct touch; when all are Direct, the first touch.
    FirstClick,
    /// The first touch; Direct counts.
    FirstTouch,
    /// The last non-direct touch; when all are Direct, the last touch.
    LastClick,
    /// The last touch of a paid channel, else as `LastClick`.
    LastPaid,
    /// The last touch; Direct counts.
    LastTouch,
    /// All touches alike.
    Linear,
    /// First, middle and last have parts of their own.
    PositionBased,
    /// Younger touches weigh more.
    TimeDecay,
    /// First, milestone, last and others have parts of their own.
    WShaped,
}

impl AttributionModel {
    /// All models, in the order of their names.
    pub const ALL: [Self; 9] = [
        Self::FirstClick,
        Self::FirstTouch,
        Self::LastClick,
        Self::LastPaid,
        Self::LastTouch,
        Self::Linear,
        Self::PositionBased,
        Self::TimeDecay,
        Self::WShaped,
    ];

    /// The value of column `attribution_model`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstClick => "first_click",
            Self::FirstTouch => "first_touch",
            Self::LastClick => "last_click",
            Self::LastPaid => "last_paid",
            Self::LastTouch => "last_touch",
            Self::Linear => "linear",
            Self::PositionBased => "position_based",
            Self::TimeDecay => "time_decay",
            Self::WShaped => "w_shaped",
        }
    }

    /// Micro-credits of each touch of a journey, in its order; they sum to a million.
    ///
    /// Empty when the journey is empty.
    #[must_use]
    pub fn credits(self, journey: &[Step], rules: &Rules) -> Vec<i64> {
        let weights = self.weights(journey, rules);
        // Weights that are all zero say nothing: every touch the same.
        split_by_weights(MICROS, &weights)
            .or_else(|_| split_equal(MICROS, journey.len()))
            .unwrap_or_default()
    }

    fn weights(self, journey: &[Step], rules: &Rules) -> Vec<u64> {
        let Some(last) = journey.len().checked_sub(1) else { return Vec::new() };
        let only = |credited: usize| (0..=last).map(|place| (place == credited).into()).collect();
        let last_of = |what: fn(&Step) -> bool| journey.iter().rposition(what);
        let last_click = last_of(|step| !step.is_direct).unwrap_or(last);
        match self {
            Self::FirstTouch => only(0),
            Self::LastTouch => only(last),
            Self::FirstClick => only(journey.iter().position(|step| !step.is_direct).unwrap_or(0)),
            Self::LastClick => only(last_click),
            Self::LastPaid => only(last_of(|step| step.is_paid).unwrap_or(last_click)),
            Self::Linear => vec![1; last + 1],
            Self::TimeDecay => {
                let youngest = journey.iter().map(|step| step.seconds_before).min().unwrap_or(0);
                let age = |step: &Step| step.seconds_before - youngest;
                journey.iter().map(|step| decayed(age(step), rules.half_life_seconds)).collect()
            }
            Self::PositionBased => {
                let [first, middle, end] = rules.position_weights;
                in_parts(last + 1, &[(0, first), (last, end)], middle)
            }
            Self::WShaped => {
                let [first, milestone, end, other] = rules.w_weights;
                let mut parts = vec![(0, first), (last, end)];
                parts.extend(last_of(|step| step.is_before_milestone).map(|at| (at, milestone)));
                in_parts(last + 1, &parts, other)
            }
        }
    }
}

/// `2^(-age / half-life)` in ten-millionths, as `docs/attribution.md` spells it in whole numbers.
fn decayed(age: i64, half_life: i64) -> u64 {
    const ONE: i64 = 1_000_000_000;
    const COEFFICIENTS: [i64; 6] =
        [693_147_082, 240_224_599, 55_491_717, 9_580_924, 1_276_185, 109_461];
    let (halvings, rest) = (age / half_life, age % half_life * ONE / half_life);
    let series = COEFFICIENTS.iter().rev().fold(0, |inner, c| c - rest * inner / ONE);
    let within = (ONE - rest * series / ONE) / 100;
    if halvings > 24 { 0 } else { (within >> halvings).unsigned_abs() }
}

/// Weights of `touches` touches: those named in `parts` have what they are given there, all others share
/// `other` equally. All are multiplied by the number of others, which keeps them whole.
pub(crate) fn in_parts(touches: usize, parts: &[(usize, u64)], other: u64) -> Vec<u64> {
    let mut own: Vec<Option<u64>> = vec![None; touches];
    for &(place, weight) in parts {
        *own[place].get_or_insert(0) += weight;
    }
    let others = own.iter().filter(|weight| weight.is_none()).count() as u64;
    own.iter().map(|weight| weight.map_or(other, |weight| weight * others.max(1))).collect()
}

#[cfg(test)]
mod tests {
    use super::AttributionModel::*;
    use super::*;
    use proptest::prelude::*;

    fn clicks(is_direct: &[bool]) -> Vec<Step> {
        is_direct.iter().map(|&is_direct| Step { is_direct, ..Step::default() }).collect()
    }

    fn credited(is_direct: &[bool]) -> [Option<usize>; 4] {
        let journey = clicks(is_direct);
        [FirstTouch, LastTouch, FirstClick, LastClick].map(|model| {
            model.credits(&journey, &Rules::default()).iter().position(|credit| *credit == MICROS)
        })
    }

    /// [2.6] Direct counts as a touch but never as a click, unless the whole path is Direct.
    #[test]
    fn clicks_skip_direct() {
        let path = [true, false, false, true];
        assert_eq!(credited(&path), [Some(0), Some(3), Some(1), Some(2)]);
        assert_eq!(credited(&[true, true, true]), [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(credited(&[]), [None; 4]);
    }

    #[test]
    fn names_are_sorted_like_models() {
        assert!(AttributionModel::ALL.is_sorted_by_key(|model| model.name()));
        assert!(AttributionModel::ALL.is_sorted());
    }

    /// [2.27] 30/10/60 tells the conventions apart: two touches share 30 to 60.
    #[test]
    fn positions_renormalise() {
        let rules = Rules { position_weights: [30, 10, 60], ..Rules::default() };
        let credits =
            |touches: usize| PositionBased.credits(&vec![Step::default(); touches], &rules);
        assert_eq!(credits(1), [1_000_000]);
        assert_eq!(credits(2), [333_333, 666_667]);
        assert_eq!(credits(4), [300_000, 50_000, 50_000, 600_000]);
    }

    /// One touch may play several parts; a part that nobody plays is left out.
    #[test]
    fn w_shape_needs_a_milestone() {
        let path = |milestone: usize, touches: usize| -> Vec<i64> {
            let step = |place| Step { is_before_milestone: place < milestone, ..Step::default() };
            WShaped.credits(&(0..touches).map(step).collect::<Vec<_>>(), &Rules::default())
        };
        assert_eq!(path(2, 4), [300_000, 300_000, 100_000, 300_000]);
        assert_eq!(path(1, 2), [666_666, 333_334]);
        assert_eq!(path(0, 4), [428_571, 71_429, 71_428, 428_572]);
        assert_eq!(path(1, 1), [1_000_000]);
    }

    #[test]
    fn the_last_paid_touch_has_all() {
        let [mut paid, organic] = [Step::default(); 2];
        paid.is_paid = true;
        let direct = Step { is_direct: true, ..organic };
        let credits = |path: &[Step]| LastPaid.credits(path, &Rules::default());
        assert_eq!(credits(&[paid, paid, organic, direct]), [0, MICROS, 0, 0]);
        assert_eq!(credits(&[organic, direct]), [MICROS, 0]);
    }

    fn aged(seconds: &[i64]) -> Vec<Step> {
        seconds.iter().map(|&seconds_before| Step { seconds_before, ..Step::default() }).collect()
    }

    /// [2.28] Continuous halving in seven days.
    #[test]
    fn decay_halves_in_seven_days() {
        let day = 86_400;
        let credits = |path: &[i64]| TimeDecay.credits(&aged(path), &Rules::default());
        assert_eq!(credits(&[14 * day, 7 * day, 0]), [142_857, 285_714, 571_429]);
        assert_eq!(credits(&[7 * day / 2, 0]), [414_213, 585_787]);
        assert_eq!(credits(&[43 * day + day / 2, 40 * day]), [414_213, 585_787]);
        assert_eq!(credits(&[420 * day, 0]), [0, MICROS]);
    }

    proptest! {
        /// Whole numbers are within a micro-credit or two of what floats say.
        #[test]
        fn decay_is_two_to_the_minus_x(
            ages in prop::collection::vec(0_i64..90 * 86_400, 1..20),
            half_life in 3_600_i64..60 * 86_400,
        ) {
            let rules = Rules { half_life_seconds: half_life, ..Rules::default() };
            let youngest = *ages.iter().min().unwrap();
            let weight = |age: &i64| (-((age - youngest) as f64) / half_life as f64).exp2();
            let exact: Vec<f64> = ages.iter().map(weight).collect();
            let whole: f64 = exact.iter().sum();
            let credits = TimeDecay.credits(&aged(&ages), &rules);
            prop_assert_eq!(credits.iter().sum::<i64>(), MICROS);
            for (credit, exact) in credits.iter().zip(exact) {
                prop_assert!((*credit as f64 - exact / whole * MICROS as f64).abs() < 4.0);
            }
        }
    }
}
