//! Key events → conversions `[2.13]`, and which of them are orders (section 4).

use std::collections::HashSet;

use super::settings::DAY_MICROS;
use super::{Conversion, Event, OrderDedupeScope, Settings, Text, key_of};

/// Date and key of purchases whose transaction id an earlier purchase already had `[2.20]`.
pub(super) fn duplicate_orders<'a>(
    events: &[&'a Event],
    scope: OrderDedupeScope,
) -> HashSet<(i32, &'a str)> {
    let with_id = |event: &&&'a Event| is_purchase(event) && event.transaction_id.is_some();
    let mut purchases: Vec<&'a Event> = events.iter().filter(with_id).copied().collect();
    purchases.sort_unstable_by(|a, b| a.order(b).then(a.event_date.cmp(&b.event_date)));
    let mut seen = HashSet::new();
    let mut duplicates = HashSet::new();
    for purchase in purchases {
        let person = match scope {
            OrderDedupeScope::Device => Some(&*purchase.person_key),
            OrderDedupeScope::Property => None,
        };
        if !seen.insert((person, purchase.transaction_id.as_deref())) {
            duplicates.insert((purchase.event_date, &*purchase.event_key));
        }
    }
    duplicates
}

/// The conversion of an event, `None` when its name is no key event.
pub(super) fn row(
    event: &Event,
    session_key: Option<Text>,
    duplicates: &HashSet<(i32, &str)>,
    settings: &Settings<'_>,
) -> Option<Conversion> {
    let lookback_days = settings.lookback_days(&event.event_name)?;
    let is_duplicate = duplicates.contains(&(event.event_date, &*event.event_key));
    let is_zero_value_without_id = is_purchase(event)
        && event.transaction_id.is_none()
        && event.revenue_micros.unwrap_or(0) == 0;
    let window_start = window_start(event.event_timestamp, lookback_days);
    Some(Conversion {
        conversion_id: key_of(&[Some(&event.event_name), Some(&event.event_key)]),
        person_key: event.person_key.clone(),
        user_pseudo_id: event.user_pseudo_id.clone(),
        session_key,
        event_name: event.event_name.clone(),
        position: event.position(),
        conversion_date: (settings.local_date)(event.event_timestamp),
        transaction_id: event.transaction_id.clone(),
        revenue_micros: event.revenue_micros,
        currency: event.currency.clone(),
        evidence: event.evidence.clone(),
        is_duplicate,
        is_zero_value_without_id,
        is_counted: !is_duplicate && !is_zero_value_without_id,
        lookback_days,
        lookback_complete: window_start >= settings.first_loaded_at,
    })
}

/// The first microsecond that still counts for a conversion `[2.14]`.
pub(super) fn window_start(converted_at: i64, lookback_days: u32) -> i64 {
    converted_at.saturating_sub(i64::from(lookback_days).saturating_mul(DAY_MICROS))
}

fn is_purchase(event: &Event) -> bool {
    &*event.event_name == "purchase"
}
