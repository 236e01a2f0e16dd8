//! Sessions and copies.

use super::*;

fn without_session_id(key: &str, at: i64) -> Event {
    view(key, at).change(|event| event.ga_session_id = None)
}

/// [2.17] Up to 30 minutes, inclusive, an event without id joins the one before it.
#[test]
fn thirty_minutes_of_silence_open_a_derived_session() {
    let events = [
        view("a", 0),
        without_session_id("b", 30 * MINUTE),
        without_session_id("c", 60 * MINUTE + 1),
        without_session_id("d", 61 * MINUTE),
    ];
    let answer = fold(&events, &settings());
    let ids: Vec<&str> = answer.sessions.iter().map(|s| &*s.ga_session_id).collect();
    let derived = format!("derived:{}", START + 60 * MINUTE + 1);
    assert_eq!(ids, ["1", derived.as_str()]);
    assert_eq!(answer.sessions[0].events, 2);
    assert_eq!((answer.sessions[1].events, answer.sessions[1].is_derived), (2, true));
    let parts = ["p1", "u", derived.as_str()];
    let key = key_of(&[Some(parts[0]), None, Some(parts[1]), Some(parts[2])]);
    assert_eq!(answer.sessions[1].session_key, key);
}

/// [2.17] Streams do not lend each other their sessions.
#[test]
fn derived_sessions_stay_in_their_stream() {
    let other = without_session_id("b", MINUTE).change(|e| e.stream_id = Some(text("app")));
    let answer = fold(&[view("a", 0), other], &settings());
    assert_eq!(answer.sessions.len(), 2);
}

/// [2.16] One session over midnight; its date is that of its first event.
#[test]
fn midnight_does_not_split() {
    let answer = fold(&[view("a", DAY - SECOND), view("b", DAY + SECOND)], &settings());
    let [session] = answer.sessions.as_slice() else { panic!("one session") };
    assert_eq!(session.session_date, 20_000);
    assert_eq!((session.events, session.page_views), (2, 2));
    assert_eq!(session.session_ended_at, START + DAY + SECOND);
    assert_eq!(session.landing_page.as_deref(), Some("https://shop.example/a"));
}

/// [2.24] Unknown visitors are never one person and have no session.
#[test]
fn null_users_are_never_grouped() {
    let events = [without_user(purchase("a", 0)), without_user(purchase("b", SECOND))];
    let answer = fold(&events, &settings());
    assert!(answer.sessions.is_empty() && answer.touches.is_empty());
    assert!(answer.first_clicks.is_empty() && answer.last_clicks.is_empty());
    assert_eq!(answer.conversions.len(), 2);
    assert_ne!(answer.conversions[0].person_key, answer.conversions[1].person_key);
}

/// [2.19] Of several copies of one day the one with the least content stays; null is the least.
#[test]
fn copies_are_counted_and_the_least_content_stays() {
    let bare = purchase("a", 0);
    let found = bare.clone().found(1, "news/email");
    let later = bare.clone().found(1, "zine/email");
    let known = found.clone().change(|event| event.user_id = Some(text("member")));
    let few = bare.clone().change(|event| event.revenue_micros = Some(1));
    for events in [[&known, &found, &later], [&later, &found, &known]] {
        let answer = fold(&events.map(Event::clone), &settings());
        assert_eq!(answer.events, 1);
        assert_eq!(answer.copies.get("a"), Some(&3));
        assert_eq!(credited(&answer, "a"), ["news"; 4]);
    }
    let answer = fold(&[bare, found, few], &settings());
    assert_eq!(answer.conversions[0].revenue_micros, Some(1));
}
