//! Conversions and orders (section 4).

use super::*;

fn flags(answer: &Attribution) -> Vec<(&str, bool, bool, bool)> {
    let row = |c: &Conversion| (c.is_duplicate, c.is_zero_value_without_id, c.is_counted);
    let flags = answer.conversions.iter().map(|c| (&*c.position.event_key, row(c)));
    flags.map(|(key, (duplicate, zero, counted))| (key, duplicate, zero, counted)).collect()
}

/// [2.20] The earliest purchase of an id is the order; null ids never repeat each other.
#[test]
fn an_id_is_ordered_once() {
    let same = |key, at| purchase(key, at).change(|event| event.transaction_id = Some(text("T")));
    let without_id = |key, at| purchase(key, at).change(|event| event.transaction_id = None);
    let events =
        [same("b", DAY), same("a", DAY), without_id("c", 2 * DAY), without_id("d", 2 * DAY)];
    let answer = fold(&events, &settings());
    let expected = [
        ("a", false, false, true),
        ("b", true, false, false),
        ("c", false, false, true),
        ("d", false, false, true),
    ];
    assert_eq!(flags(&answer), expected);
    assert_eq!(answer.credits.len(), 12);
}

/// Section 4: the same id on another device is another order, unless the var says otherwise.
#[test]
fn the_dedupe_scope_is_a_setting() {
    let other = purchase("a", DAY).change(|event| {
        event.event_key = text("other");
        event.person_key = text("v");
        event.user_pseudo_id = Some(text("v"));
    });
    let events = [purchase("a", 0), other];
    let mut settings = settings();
    let duplicates =
        |answer: &Attribution| answer.conversions.iter().filter(|c| c.is_duplicate).count();
    assert_eq!(duplicates(&fold(&events, &settings)), 0);
    settings.order_dedupe_scope = OrderDedupeScope::Property;
    assert_eq!(duplicates(&fold(&events, &settings)), 1);
}

/// Section 4: no id and no money is no order; an id without money is one.
#[test]
fn zero_without_id_is_kept_but_not_counted() {
    let without_id = |key, at, revenue| {
        purchase(key, at).change(|event| {
            (event.transaction_id, event.revenue_micros) = (None, revenue);
        })
    };
    let events = [
        without_id("a", 0, None),
        without_id("b", 1, Some(0)),
        without_id("c", 2, Some(1)),
        purchase("d", 3).change(|event| event.revenue_micros = None),
        event("e", "sign_up", 4),
    ];
    let answer = fold(&events, &settings());
    let expected = [
        ("a", false, true, false),
        ("b", false, true, false),
        ("c", false, false, true),
        ("d", false, false, true),
        ("e", false, false, true),
    ];
    assert_eq!(flags(&answer), expected);
    let journeys =
        answer.journeys.iter().filter(|s| s.conversion_id == answer.conversions[0].conversion_id);
    assert_eq!(journeys.count(), 0);
}

/// [2.13] Each key event has its window; other events are no conversions.
#[test]
fn key_events_come_from_the_settings() {
    let events = [event("a", "scroll", 0), event("b", "sign_up", SECOND), purchase("c", MINUTE)];
    let answer = fold(&events, &settings());
    let windows: Vec<u32> = answer.conversions.iter().map(|c| c.lookback_days).collect();
    assert_eq!(windows, [30, 90]);
    let conversion = &answer.conversions[0];
    assert_eq!(conversion.conversion_id, key_of(&[Some("sign_up"), Some("b")]));
    assert_eq!(conversion.session_key.as_ref(), Some(&answer.sessions[0].session_key));
    assert_eq!(conversion.conversion_date, 20_000);
}

/// [2.15] A window that starts exactly at the first loaded instant is complete.
#[test]
fn a_window_before_the_first_day_is_incomplete() {
    let mut settings = settings();
    settings.first_loaded_at = START;
    let events = [purchase("a", 90 * DAY - 1), purchase("b", 90 * DAY)];
    let answer = fold(&events, &settings);
    let complete: Vec<bool> = answer.conversions.iter().map(|c| c.lookback_complete).collect();
    assert_eq!(complete, [false, true]);
}

/// [2.22] Days add up by model and currency; a refund takes away.
#[test]
fn days_sum_credits_by_currency() {
    let refund = purchase("b", SECOND).change(|event| event.revenue_micros = Some(-4_000_000));
    let dollars = purchase("c", MINUTE).change(|event| event.currency = Some(text("USD")));
    let answer = fold(&[purchase("a", 0), refund, dollars], &settings());
    assert_eq!(answer.daily.len(), 8);
    for (key, totals) in &answer.daily {
        let expected = match key.currency.as_deref() {
            Some("EUR") => (2_000_000, 6_000_000),
            _ => (1_000_000, 10_000_000),
        };
        assert_eq!((totals.credit_micros, totals.revenue_micros), expected);
        assert_eq!(&*key.channel, DIRECT);
    }
}
