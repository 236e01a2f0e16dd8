//! Why credits could not be computed.

/// A call that has no exact answer. All of these are faults of the caller, not of the data.
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
}
