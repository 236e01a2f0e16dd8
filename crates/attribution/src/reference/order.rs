//! Orders (section 4): transaction id, revenue and currency of one row.

use super::evidence::{RawEvent, usable};

/// The amounts of a row that may be its revenue.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amounts {
    /// `ecommerce.purchase_revenue_in_usd`.
    pub purchase_revenue_in_usd: Option<f64>,
    /// `ecommerce.purchase_revenue`.
    pub purchase_revenue: Option<f64>,
    /// `ecommerce.refund_value_in_usd`.
    pub refund_value_in_usd: Option<f64>,
    /// `ecommerce.refund_value`.
    pub refund_value: Option<f64>,
    /// `event_value_in_usd`.
    pub event_value_in_usd: Option<f64>,
}

/// First usable of `ecommerce.transaction_id` and param `transaction_id`.
#[must_use]
pub fn transaction_id(ecommerce_id: Option<&str>, event: &RawEvent) -> Option<String> {
    let in_param = || {
        let value = event.text_param("transaction_id")?;
        usable(&value).map(str::to_owned)
    };
    ecommerce_id.and_then(usable).map(str::to_owned).or_else(in_param)
}

/// Revenue in millionths and its currency, by the name of the event.
#[must_use]
pub fn revenue(event: &RawEvent, amounts: &Amounts) -> (Option<i64>, Option<String>) {
    let (in_usd, other) = match event.event_name.as_deref() {
        Some("purchase") => (amounts.purchase_revenue_in_usd, amounts.purchase_revenue),
        Some("refund") => (amounts.refund_value_in_usd, amounts.refund_value),
        _ => (amounts.event_value_in_usd, value_param(event)),
    };
    let in_usd = in_usd.and_then(micros);
    let other = other.and_then(micros);
    let currency = if in_usd.is_some() {
        Some("USD".to_owned())
    } else {
        let own = event.text_param("currency").as_deref().and_then(usable).map(str::to_uppercase);
        own.filter(|_| other.is_some())
    };
    (in_usd.or(other), currency)
}

/// Param `value` as a number, whichever column GA4 filled.
fn value_param(event: &RawEvent) -> Option<f64> {
    let value = event.param("value")?;
    let number = value.double_value.or(value.float_value);
    let number = number.or_else(|| value.int_value.map(|int| int as f64));
    number.or_else(|| value.string_value.as_deref()?.trim().parse().ok())
}

/// An amount as DECIMAL(18,6) in millionths: its shortest decimal, rounded half away from zero.
///
/// `None` for NaN, infinities and amounts that 18 digits do not hold.
#[must_use]
pub fn micros(amount: f64) -> Option<i64> {
    const LIMIT: i128 = 1_000_000_000_000_000_000;
    if amount.abs() >= 1e13 || amount.is_nan() {
        return None;
    }
    // Display writes the shortest decimal that reads back as the same number, never an exponent.
    let text = amount.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let tenths_of_micros = format!("{whole}{digits}").parse::<i128>().ok()?;
    let micros = (tenths_of_micros + 5) / 10;
    let signed = if amount.is_sign_negative() { -micros } else { micros };
    (micros < LIMIT).then_some(signed as i64)
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Param;
    use super::*;

    fn row(event_name: &str, params: Vec<Param>) -> RawEvent {
        RawEvent { event_name: Some(event_name.to_owned()), params, ..RawEvent::default() }
    }

    /// Section 4: 433 purchases of the sample say `(not set)` and carry the id in the param.
    #[test]
    fn the_param_helps_where_ecommerce_says_not_set() {
        let with = |param: Param| row("purchase", vec![param]);
        let text = with(Param::text("transaction_id", " T1 "));
        assert_eq!(transaction_id(Some("(not set)"), &text).as_deref(), Some("T1"));
        assert_eq!(transaction_id(Some("E1"), &text).as_deref(), Some("E1"));
        let int = with(Param::int("transaction_id", 77));
        assert_eq!(transaction_id(None, &int).as_deref(), Some("77"));
        let none = with(Param::text("transaction_id", ""));
        assert_eq!(transaction_id(Some(""), &none), None);
    }

    #[test]
    fn dollars_come_first_and_name_the_currency() {
        let params = vec![Param::text("currency", "eur"), Param::int("value", 3)];
        let both = Amounts {
            purchase_revenue_in_usd: Some(1.5),
            purchase_revenue: Some(1.2),
            ..Amounts::default()
        };
        let usd = Some("USD".to_owned());
        let eur = Some("EUR".to_owned());
        let purchase = row("purchase", params.clone());
        assert_eq!(revenue(&purchase, &both), (Some(1_500_000), usd));
        let local = Amounts { purchase_revenue_in_usd: None, ..both };
        assert_eq!(revenue(&purchase, &local), (Some(1_200_000), eur.clone()));
        assert_eq!(revenue(&purchase, &Amounts::default()), (None, None));
        let lead = row("generate_lead", params);
        assert_eq!(revenue(&lead, &both), (Some(3_000_000), eur));
    }

    #[test]
    fn the_shortest_decimal_is_rounded_half_away_from_zero() {
        // As a product of doubles this would be 1.0049999…e6.
        assert_eq!(micros(1.005), Some(1_005_000));
        assert_eq!(micros(0.0000005), Some(1));
        assert_eq!(micros(-2.0000015), Some(-2_000_002));
        assert_eq!(micros(0.1 + 0.2), Some(300_000));
        assert_eq!(micros(999_999_999_999.0), Some(999_999_999_999_000_000));
        assert_eq!(micros(1e12), None);
        assert_eq!(micros(f64::NAN), None);
        assert_eq!(micros(f64::INFINITY), None);
    }
}
