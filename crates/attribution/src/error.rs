//! Why credits could not be computed.

/// A call that has no exact answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttributionError {
    /// Nothing to divide among. The caller should count the conversion as `(no touch)`.
    #[error("no shares to divide among")]
    NoShares,
    /// All weights are zero, so no share is larger than another.
    #[error("weights sum to zero")]
    ZeroWeights,
    /// A weight that is negative, infinite or not a number.
    #[error("weight {position} is `{weight}`\nhint: weights are finite and not negative")]
    BadWeight {
        /// Index of the weight, from 0.
        position: usize,
        /// The weight as text.
        weight: String,
    },
    /// The weights do not fit into 64 bits when summed, so products could overflow.
    #[error("weights sum to more than 64 bits hold")]
    WeightsTooLarge,
    /// A fit needs journeys, and there are none with a touch.
    #[error("no paths with a touch")]
    NoPaths,
    /// A fit needs conversions: without one, no channel's removal changes anything.
    #[error("none of {journeys} journeys converted")]
    NoConversions {
        /// Journeys with a touch.
        journeys: u64,
    },
    /// A Markov chain remembers one, two or three touches.
    #[error("order {order} is not 1, 2 or 3")]
    BadOrder {
        /// The order asked for.
        order: usize,
    },
    /// More channels than the attribution model can tell apart.
    #[error("{channels} channels are more than the {most} that {what} can hold")]
    TooManyChannels {
        /// Channels of the paths.
        channels: usize,
        /// The most there can be.
        most: usize,
        /// What can't hold them.
        what: &'static str,
    },
    /// Journeys or values that do not fit into 64 bits when summed.
    #[error("{what} sum to more than 64 bits hold")]
    CountsTooLarge {
        /// What was summed.
        what: &'static str,
    },
    /// The chain's equations were not solved to the promised accuracy: journeys of thousands of
    /// touches that almost never end.
    #[error("the chain was solved to {gap:e} only, after {sweeps} sweeps")]
    NotSolved {
        /// Width of the interval that holds the true probability.
        gap: f64,
        /// Sweeps over all equations.
        sweeps: usize,
    },
}
