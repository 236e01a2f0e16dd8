//! Refunds → what they take back, from which order and from whose credit `[2.21]`.

use std::collections::{BTreeMap, HashMap};

use super::{Attribution, Conversion, Credit, Event, OrderDedupeScope, Settings, Text, key_of};
use crate::credit::split_revenue;
use crate::models::AttributionModel;

/// One row of `int_refunds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Hash of event key and order.
    pub refund_id: Text,
    /// The visitor of the order; that of the refund where it found none.
    pub person_key: Text,
    /// Key of the event.
    pub event_key: Text,
    /// Microseconds since 1970, UTC.
    pub refunded_at: i64,
    /// Local date, days since 1970.
    pub refund_date: i32,
    /// The order that takes it; null without one.
    pub conversion_id: Option<Text>,
    /// Key event of the order.
    pub event_name: Option<Text>,
    /// Why nothing was taken back.
    pub unmatched_reason: Option<&'static str>,
    /// What the event says, in millionths.
    pub requested_micros: Option<i64>,
    /// Of the order, else of the event.
    pub currency: Option<Text>,
    /// What was taken from the order before, in millionths.
    pub refunded_from: i64,
    /// What was taken with this one.
    pub refunded_to: i64,
}

/// One row of `fct_refunds`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundShare {
    /// The refund.
    pub refund_id: Text,
    /// Local date of the refund, days since 1970.
    pub refund_date: i32,
    /// Whose credit shrinks, and where it lies.
    pub credit: Credit,
    /// By how much, in millionths.
    pub refunded_micros: i64,
}

/// Adds refunds to an answer that holds all conversions and credits; `events` are distinct.
pub(super) fn add(events: &[&Event], settings: &Settings<'_>, answer: &mut Attribution) {
    let mut refunds: Vec<&Event> =
        events.iter().copied().filter(|event| &*event.event_name == "refund").collect();
    refunds.sort_unstable_by(|a, b| a.order(b));
    let mut by_id: HashMap<&Text, Vec<&Conversion>> = HashMap::new();
    for order in answer.conversions.iter().filter(|order| order.is_counted) {
        if let Some(id) = &order.transaction_id {
            by_id.entry(id).or_default().push(order);
        }
    }
    let mut taken: HashMap<&Text, i64> = HashMap::new();
    for event in refunds {
        let named =
            event.transaction_id.as_ref().and_then(|id| by_id.get(id)).into_iter().flatten();
        let orders: Vec<&Conversion> = named
            .copied()
            .filter(|order| is_of(event, order, settings.order_dedupe_scope))
            .collect();
        if orders.is_empty() {
            let why =
                event.transaction_id.as_ref().map_or("no_transaction_id", |_| "no_such_order");
            answer.refunds.push(row(event, None, Err(why), settings));
        }
        for order in orders {
            let so_far = taken.entry(&order.conversion_id).or_default();
            let bounds = wanted(event, order).map(|micros| {
                let from = *so_far;
                let whole = order.revenue_micros.unwrap_or(0);
                *so_far = from.saturating_add(micros).min(whole);
                (from, *so_far)
            });
            answer.refunds.push(row(event, Some(order), bounds, settings));
        }
    }
    share(answer);
}

/// Is an order of that id before the refund, and where it is looked for?
fn is_of(event: &Event, order: &Conversion, scope: OrderDedupeScope) -> bool {
    order.position <= event.position()
        && (scope == OrderDedupeScope::Property || order.person_key == event.person_key)
}

/// What a refund asks of its order, or why it gets nothing.
fn wanted(event: &Event, order: &Conversion) -> Result<i64, &'static str> {
    let names_other = event.revenue_micros.is_some() && event.currency != order.currency;
    match order.revenue_micros.filter(|value| *value > 0) {
        _ if names_other => Err("other_currency"),
        None => Err("order_without_value"),
        // Without an amount it is all of it.
        Some(whole) => Ok(event.revenue_micros.map_or(whole, i64::abs)),
    }
}

fn row(
    event: &Event,
    order: Option<&Conversion>,
    bounds: Result<(i64, i64), &'static str>,
    settings: &Settings<'_>,
) -> Refund {
    let found = order.filter(|_| bounds.is_ok());
    let (refunded_from, refunded_to) = bounds.unwrap_or_default();
    let id = order.map(|order| &*order.conversion_id);
    let is_spent = || (refunded_from == refunded_to).then_some("nothing_left");
    Refund {
        refund_id: key_of(&[Some(&event.event_key), id]),
        person_key: order.map_or(&event.person_key, |order| &order.person_key).clone(),
        event_key: event.event_key.clone(),
        refunded_at: event.event_timestamp,
        refund_date: (settings.local_date)(event.event_timestamp),
        conversion_id: found.map(|order| order.conversion_id.clone()),
        event_name: found.map(|order| order.event_name.clone()),
        unmatched_reason: bounds.err().or_else(is_spent),
        requested_micros: event.revenue_micros,
        currency: found.and_then(|order| order.currency.clone()).or_else(|| event.currency.clone()),
        refunded_from,
        refunded_to,
    }
}

/// Divides each refund as its order was: what was taken up to it less what was taken before it.
fn share(answer: &mut Attribution) {
    let mut groups: BTreeMap<(Text, AttributionModel), Vec<usize>> = BTreeMap::new();
    for (place, credit) in answer.credits.iter().enumerate() {
        let group = (credit.conversion_id.clone(), credit.attribution_model);
        groups.entry(group).or_default().push(place);
    }
    let mut of_order: HashMap<Text, Vec<Refund>> = HashMap::new();
    for refund in &answer.refunds {
        if let Some(id) = &refund.conversion_id {
            of_order.entry(id.clone()).or_default().push(refund.clone());
        }
    }
    for ((conversion_id, _), places) in groups {
        let shares: Vec<i64> =
            places.iter().map(|place| answer.credits[*place].credit_micros).collect();
        let split = |micros: i64| split_revenue(micros, &shares).unwrap_or_default();
        for refund in of_order.get(&conversion_id).into_iter().flatten() {
            let bounds = split(refund.refunded_from).into_iter().zip(split(refund.refunded_to));
            for (place, (from, to)) in places.iter().zip(bounds) {
                answer.credits[*place].refunded_micros += to - from;
                if to != from {
                    answer.refund_shares.push(RefundShare {
                        refund_id: refund.refund_id.clone(),
                        refund_date: refund.refund_date,
                        credit: answer.credits[*place].clone(),
                        refunded_micros: to - from,
                    });
                }
            }
        }
    }
}
