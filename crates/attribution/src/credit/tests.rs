use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn thirds_put_the_remainder_last() {
    assert_eq!(split_equal(MICROS, 3), Ok(vec![333_333, 333_333, 333_334]));
    assert_eq!(split_equal(0, 2), Ok(vec![0, 0]));
    assert_eq!(split_equal(MICROS, 0), Err(AttributionError::NoShares));
}

#[test]
fn a_zero_weight_receives_zero() {
    assert_eq!(split_by_weights(10, &[0, 1, 0, 2, 0]), Ok(vec![0, 3, 0, 7, 0]));
}

#[test]
fn a_half_goes_up_where_bounds_are_rounded() {
    assert_eq!(split_to_nearest(10, &[13, 7]), Ok(vec![7, 3]));
    assert_eq!(split_to_nearest(-10, &[13, 7]), Ok(vec![-7, -3]));
    assert_eq!(split_to_nearest(1, &[1 << 62, 1]), Err(AttributionError::WeightsTooLarge));
    assert_eq!(split_to_nearest(i64::MIN, &[1 << 61, 0]), Ok(vec![i64::MIN, 0]));
    assert_eq!(split_to_nearest(1, &[0]), Err(AttributionError::ZeroWeights));
    assert_eq!(split_to_nearest(1, &[]), Err(AttributionError::NoShares));
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    let shares = split_by_weights(i64::MIN, &[u64::MAX - 1, 1]).unwrap();
    assert_eq!(shares.iter().sum::<i64>(), i64::MIN);
    assert_eq!(split_by_weights(1, &[u64::MAX, 1]), Err(AttributionError::WeightsTooLarge));
}

#[test]
fn fractions_do_not_lose_to_binary_rounding() {
    assert_eq!(credits_by_fractions(&[0.1; 10]), Ok(vec![100_000; 10]));
    assert_eq!(credits_by_fractions(&[f64::MAX, f64::MAX]), Ok(vec![500_000, 500_000]));
    assert_eq!(credits_by_fractions(&[5e-324, 0.0]), Ok(vec![MICROS, 0]));
}

#[test]
fn refuses_what_it_cannot_divide() {
    assert_eq!(split_by_weights(1, &[]), Err(AttributionError::NoShares));
    assert_eq!(split_by_weights(1, &[0, 0]), Err(AttributionError::ZeroWeights));
    assert_eq!(credits_by_fractions(&[]), Err(AttributionError::NoShares));
    assert_eq!(credits_by_fractions(&[0.0]), Err(AttributionError::ZeroWeights));
    let refused = credits_by_fractions(&[1.0, f64::NAN]).unwrap_err();
    assert_eq!(refused, AttributionError::BadWeight { position: 1, weight: "NaN".to_owned() });
    let refused = split_revenue(5, &[MICROS, -1]).unwrap_err();
    assert_eq!(refused, AttributionError::BadWeight { position: 1, weight: "-1".to_owned() });
}

/// Is `share` within 1 of `total · weight / whole`, compared without rounding?
fn within_one(share: i64, total: i64, weight: u64, whole: u64) -> bool {
    let difference = i128::from(share) * i128::from(whole) - i128::from(total) * i128::from(weight);
    difference.abs() < i128::from(whole)
}

proptest! {
    #[test]
    fn equal_shares_sum_exactly(total in any::<i64>(), count in 1_usize..500) {
        let shares = split_equal(total, count).unwrap();
        prop_assert_eq!(shares.len(), count);
        prop_assert_eq!(shares.iter().map(|&s| i128::from(s)).sum::<i128>(), i128::from(total));
        prop_assert!(shares.iter().all(|&share| within_one(share, total, 1, count as u64)));
        prop_assert_eq!(&shares, &split_by_weights(total, &vec![1; count]).unwrap());
    }

    #[test]
    fn weighted_shares_sum_exactly(total in any::<i64>(), weights in vec(0_u64..1 << 48, 1..40)) {
        let whole: u64 = weights.iter().sum();
        prop_assume!(whole > 0);
        let shares = split_by_weights(total, &weights).unwrap();
        prop_assert_eq!(shares.iter().map(|&s| i128::from(s)).sum::<i128>(), i128::from(total));
        for (&share, &weight) in shares.iter().zip(&weights) {
            prop_assert!(within_one(share, total, weight, whole));
        }
    }

    #[test]
    fn shares_to_the_nearest_sum_exactly(total in any::<i64>(), weights in vec(0_u64..1 << 48, 1..40)) {
        let whole: u64 = weights.iter().sum();
        prop_assume!(whole > 0);
        let shares = split_to_nearest(total, &weights).unwrap();
        prop_assert_eq!(shares.iter().map(|&s| i128::from(s)).sum::<i128>(), i128::from(total));
        for (&share, &weight) in shares.iter().zip(&weights) {
            let exact = i128::from(total) * i128::from(weight);
            prop_assert!((i128::from(share) * i128::from(whole) - exact).abs() <= i128::from(whole));
        }
    }

    /// [2.21] A refund of the whole order takes back each touch's share, no more and no less.
    #[test]
    fn a_refund_mirrors_its_order(revenue in 0_i64..i64::MAX, weights in vec(0.0_f64..9.0, 1..20)) {
        prop_assume!(weights.iter().any(|&weight| weight > 0.0));
        let credits = credits_by_fractions(&weights).unwrap();
        let order = split_revenue(revenue, &credits).unwrap();
        let refund = split_revenue(-revenue, &credits).unwrap();
        prop_assert!(order.iter().zip(&refund).all(|(paid, back)| paid + back == 0));
    }

    #[test]
    fn fractional_credits_sum_to_one_conversion(weights in vec(0.0_f64..1e12, 1..200)) {
        let whole: f64 = weights.iter().sum();
        prop_assume!(whole > 0.0);
        let credits = credits_by_fractions(&weights).unwrap();
        prop_assert_eq!(credits.iter().sum::<i64>(), MICROS);
        for (&credit, &weight) in credits.iter().zip(&weights) {
            prop_assert!((credit as f64 - weight / whole * 1e6).abs() < 1.0 + 1e-6);
        }
    }
}
