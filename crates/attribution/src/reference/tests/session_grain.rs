//! Touches and journeys of grain `session` (section 3).

use super::*;

fn by_session() -> Settings<'static> {
    Settings { touch_grain: TouchGrain::Session, ..settings() }
}

fn params(event: Event, triple: &str) -> Event {
    Event { params: fields(triple), ..event }
}

/// The session source of one session's events, as `source/medium/campaign`.
fn source_of(events: &[Event]) -> String {
    let answer = fold(events, &by_session());
    let [session] = answer.sessions.as_slice() else { panic!("one session") };
    [&session.source, &session.medium, &session.campaign].map(|value| &**value).join("/")
}

/// Section 3 (1): GA4's own last click wins, all fields from the first record that has one.
#[test]
fn the_last_click_record_wins() {
    let record = |event: Event, triple| Event { last_click: fields(triple), ..event };
    let events = [
        params(view("a", 0), "news/email/spring"),
        record(view("b", 1), "google/-/-"),
        record(view("c", 2), "bing/cpc/x"),
    ];
    assert_eq!(source_of(&events), "google/(not set)/(not set)");
}

/// Section 3 (2): the first page view, else the first record before it, never one after.
#[test]
fn params_of_the_first_page_view_or_before() {
    let early = [event("a", "session_start", 0), params(event("b", "scroll", 1), "b/x/y")];
    let mut events = early.to_vec();
    events.push(params(view("c", 2), "c/x/y"));
    assert_eq!(source_of(&events), "c/x/y");
    events[2].params = SourceFields::default();
    assert_eq!(source_of(&events), "b/x/y");
    events[1].params = SourceFields::default();
    events.push(params(view("d", 3), "d/x/y"));
    assert_eq!(source_of(&events), "(not set)/(not set)/(not set)");
}

/// [2.7] Placeholders are nothing, field by field; a record of nothing else lets the next one speak.
#[test]
fn placeholders_name_no_session() {
    assert_eq!(
        source_of(&[params(view("a", 0), " News /undefined/NULL")]),
        "News/(not set)/(not set)"
    );
    let first_user = |event: Event| Event {
        session_number: Some(1),
        first_user: fields("fu/null/-"),
        last_click: fields("(not set)/-/-"),
        ..event
    };
    let nothing = params(view("a", 0), "null/Undefined/(data not available)");
    assert_eq!(source_of(&[first_user(nothing)]), "fu/(not set)/(not set)");
    let named = params(view("a", 0), "news/email/-");
    assert_eq!(source_of(&[first_user(named)]), "news/email/(not set)");
}

/// Section 3 (2): without a page view, the first record there is.
#[test]
fn params_of_a_session_without_page_views() {
    let events = [event("a", "scroll", 0), params(event("b", "click", 1), "b/x/-")];
    assert_eq!(source_of(&events), "b/x/(not set)");
}

/// Section 3 (3, 4): `traffic_source` speaks for first sessions only; else unknown, not Direct.
#[test]
fn the_first_user_source_is_for_first_sessions() {
    let first_user = |number| {
        view("a", 0).change(|event: &mut Event| {
            event.session_number = number;
            event.first_user = fields("google/organic/(organic)");
        })
    };
    assert_eq!(source_of(&[first_user(Some(1))]), "google/organic/(organic)");
    assert_eq!(source_of(&[first_user(Some(2))]), "(not set)/(not set)/(not set)");
    let answer = fold(&[first_user(None)], &by_session());
    assert!(!answer.touches[0].is_direct);
    assert_eq!(&*answer.touches[0].channel, "Unassigned");
}

/// [2.6] Direct by name, in any case, or by a record with neither a source nor a medium.
#[test]
fn a_session_named_direct_is_direct() {
    for triple in ["(Direct)/(none)/-", "-/(none)/-", "-/-/summer", "null/(None)/x"] {
        let answer = fold(&[params(view("a", 0), triple)], &by_session());
        assert!(answer.touches[0].is_direct, "{triple}");
        assert_eq!(&*answer.touches[0].campaign, "(direct)");
    }
    for triple in ["-/-/-", "news/(none)/-", "-/email/-"] {
        let answer = fold(&[params(view("a", 0), triple)], &by_session());
        assert!(!answer.touches[0].is_direct, "{triple}");
    }
}

/// [2.4] What a session shows after an order cannot earn it; by then it was unknown, or what came before said.
#[test]
fn sources_after_the_order_earn_nothing() {
    let late = |params_before: &str, number| {
        let mut events = [
            params(event("a", "scroll", 0), params_before),
            purchase("p", SECOND),
            params(view("b", MINUTE), "news/email/-"),
            purchase("q", 2 * MINUTE),
        ];
        for event in &mut events {
            event.session_number = Some(number);
            event.first_user = fields("fu/organic/-");
        }
        let answer = fold(&events, &by_session());
        assert_eq!(touched(&answer, MINUTE), ["news@0"]);
        assert_eq!(credited(&answer, "q"), ["news"; 4]);
        credited(&answer, "p")
    };
    assert_eq!(late("-/-/-", 2), [NOT_SET; 4]);
    assert_eq!(late("-/-/-", 1), ["fu"; 4]);
    assert_eq!(late("(direct)/(none)/-", 1), ["(direct)"; 4]);
    assert_eq!(late("early/email/-", 1), ["early"; 4]);
}

/// Section 3: one touch per session, whatever changes inside; the own session is last.
#[test]
fn the_own_session_is_the_last_touch() {
    let events = [
        params(view("a", 0), "news/email/-"),
        params(view("b", DAY), "google/cpc/-").session(2),
        params(view("c", DAY + MINUTE), "later/referral/-").session(3),
        purchase("p", DAY + 2 * MINUTE).session(2),
        view("d", DAY + 3 * MINUTE).session(2).found(3, "news/email"),
    ];
    let answer = fold(&events, &by_session());
    assert_eq!(touched(&answer, MINUTE), ["news@0", "google@1440", "later@1441"]);
    assert_eq!(journey(&answer, "p"), ["news", "google"]);
}

/// Section 3: both ends inclusive; a session of the same start comes before the own one.
#[test]
fn the_session_window_is_closed() {
    let events = [
        params(view("a", 0), "edge/email/-"),
        params(view("b", 90 * DAY), "own/cpc/-").session(2),
        params(view("c", 90 * DAY), "peer/cpc/-").session(3),
        purchase("p", 90 * DAY).session(2),
    ];
    let answer = fold(&events, &by_session());
    assert_eq!(journey(&answer, "p"), ["edge", "peer", "own"]);
}

/// Section 3: sessions are compared by their starts, both ends included.
#[test]
fn a_session_of_the_same_microsecond_counts() {
    let events =
        [params(purchase("p", 0), "own/cpc/-"), params(view("q", 0), "peer/cpc/-").session(2)];
    assert_eq!(journey(&fold(&events, &by_session()), "p"), ["peer", "own"]);
}

/// Section 3: the own session counts even when it began before the window.
#[test]
fn a_long_session_still_counts() {
    let mut settings = by_session();
    settings.key_events[0].lookback_days = 0;
    let events = [params(view("a", 0), "own/email/-"), purchase("p", MINUTE)];
    assert_eq!(journey(&fold(&events, &settings), "p"), ["own"]);
    let events = [params(view("a", 0), "own/email/-"), without_user(purchase("p", MINUTE))];
    assert_eq!(journey(&fold(&events, &settings), "p"), [""; 0]);
}
