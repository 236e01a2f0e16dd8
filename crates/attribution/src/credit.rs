//! Integer splitting: shares of a whole that sum to exactly the whole.
//!
//! Each share is the difference of two neighbouring cumulative bounds, and the last bound is the
//! total, so nothing is lost or invented (invariant of `[2.11]`). Bounds are cut towards zero, as
//! integer division does in SQL; hence the split of `-x` is the mirror image of the split of `x`,
//! and a full refund cancels its order touch by touch `[2.21]`.

use crate::AttributionError;

/// Micro-credits of one conversion: the credits of every attribution model sum to this.
pub const MICROS: i64 = 1_000_000;

/// Divides `total` into `count` equal shares.
///
/// Share `k` (from 1) is `total·k/count − total·(k−1)/count`, both cut towards zero, so it is
/// within 1 of the exact share.
///
/// # Errors
/// [`AttributionError::NoShares`] when `count` is zero.
pub fn split_equal(total: i64, count: usize) -> Result<Vec<i64>, AttributionError> {
    if count == 0 {
        return Err(AttributionError::NoShares);
    }
    let bound = |k: usize| i128::from(total) * k as i128 / count as i128;
    Ok((1..=count).map(|k| narrow(bound(k) - bound(k - 1))).collect())
}

/// Divides `total` in proportion to whole-number `weights`, in their order.
///
/// The bound after share `k` is `total · (sum of the first k weights) / (sum of all)`, cut towards
/// zero, so each share is within 1 of the exact share and a zero weight receives zero.
///
/// # Errors
/// [`AttributionError::NoShares`], [`AttributionError::ZeroWeights`] or
/// [`AttributionError::WeightsTooLarge`].
pub fn split_by_weights(total: i64, weights: &[u64]) -> Result<Vec<i64>, AttributionError> {
    if weights.is_empty() {
        return Err(AttributionError::NoShares);
    }
    let whole = weights.iter().try_fold(0_u64, |sum, &weight| sum.checked_add(weight));
    let whole = whole.ok_or(AttributionError::WeightsTooLarge)?;
    if whole == 0 {
        return Err(AttributionError::ZeroWeights);
    }
    let mut reached = 0_u64;
    let mut before = 0_i128;
    let share = |&weight: &u64| {
        reached += weight;
        // Below 2^63 times below 2^64 stays inside 127 bits.
        let bound = i128::from(total) * i128::from(reached) / i128::from(whole);
        let share = narrow(bound - before);
        before = bound;
        share
    };
    Ok(weights.iter().map(share).collect())
}

/// The same with bounds rounded to the nearest whole, halves away from zero: for weights that are rounded
/// themselves, where cutting would turn a half into one less.
///
/// # Errors
/// As [`split_by_weights`]; the weights may sum to 2⁶² at most.
pub fn split_to_nearest(total: i64, weights: &[u64]) -> Result<Vec<i64>, AttributionError> {
    if weights.is_empty() {
        return Err(AttributionError::NoShares);
    }
    let whole = weights.iter().try_fold(0_u64, |sum, &weight| sum.checked_add(weight));
    let whole = whole.filter(|whole| *whole <= 1 << 62).ok_or(AttributionError::WeightsTooLarge)?;
    if whole == 0 {
        return Err(AttributionError::ZeroWeights);
    }
    let whole = i128::from(whole);
    let (mut reached, mut before) = (0_i128, 0_i128);
    let share = |&weight: &u64| {
        reached += i128::from(weight);
        // Below 2 · 2^63 · 2^62 in size, which leaves room for half a share.
        let bound =
            (2 * i128::from(total) * reached + whole * i128::from(total.signum())) / (2 * whole);
        let share = narrow(bound - before);
        before = bound;
        share
    };
    Ok(weights.iter().map(share).collect())
}

/// Divides a revenue in micro-units among touches that hold `credits` micro-credits.
///
/// A negative revenue (a refund) is divided like its positive twin. The shares sum to
/// `revenue_micros`.
///
/// # Errors
/// As [`split_by_weights`], and [`AttributionError::BadWeight`] for a negative credit.
pub fn split_revenue(revenue_micros: i64, credits: &[i64]) -> Result<Vec<i64>, AttributionError> {
    let weigh = |(position, &credit): (usize, &i64)| {
        u64::try_from(credit).map_err(|_| bad_weight(position, credit))
    };
    let weights = credits.iter().enumerate().map(weigh).collect::<Result<Vec<_>, _>>()?;
    split_by_weights(revenue_micros, &weights)
}

/// Turns fractional weights (not necessarily of sum 1) into micro-credits, in their order.
///
/// Cumulative sums are rounded to the nearest micro-credit and the last is exactly [`MICROS`].
/// Rounding, unlike cutting, does not lose a micro-credit where `0.3` is stored as `0.2999…`.
///
/// # Errors
/// [`AttributionError::NoShares`], [`AttributionError::ZeroWeights`] or
/// [`AttributionError::BadWeight`].
pub fn credits_by_fractions(weights: &[f64]) -> Result<Vec<i64>, AttributionError> {
    if weights.is_empty() {
        return Err(AttributionError::NoShares);
    }
    let mut largest = 0.0_f64;
    for (position, &weight) in weights.iter().enumerate() {
        if !weight.is_finite() || weight < 0.0 {
            return Err(bad_weight(position, weight));
        }
        largest = largest.max(weight);
    }
    if largest == 0.0 {
        return Err(AttributionError::ZeroWeights);
    }
    // Relative to the largest, so that neither huge nor tiny weights leave the range of f64.
    let whole: f64 = weights.iter().map(|weight| weight / largest).sum();
    let mut reached = 0.0_f64;
    let mut before = 0_i64;
    let share = |weight: &f64| {
        reached += weight / largest;
        // The last sum repeats `whole` addition by addition, so its quotient is exactly 1.
        let bound = (MICROS as f64 * (reached / whole)).round() as i64;
        let share = bound - before;
        before = bound;
        share
    };
    Ok(weights.iter().map(share).collect())
}

pub(crate) fn bad_weight(position: usize, weight: impl ToString) -> AttributionError {
    AttributionError::BadWeight { position, weight: weight.to_string() }
}

/// A share lies between zero and the total, which is an `i64`.
fn narrow(share: i128) -> i64 {
    debug_assert!(i64::try_from(share).is_ok());
    share as i64
}

#[cfg(test)]
mod tests;
