//! Touches and journeys of grain `click`.

use super::*;

/// [2.3] A change of source inside a session is a touch; the same tuple again is not.
#[test]
fn a_source_change_inside_a_session_is_a_touch() {
    let events = [
        view("a", 0).found(3, "news/email"),
        view("b", SECOND).found(3, "News/Email"),
        view("c", 2 * SECOND).found(3, "google/cpc"),
        view("d", 3 * SECOND),
        view("e", 4 * SECOND).found(3, "news/email"),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["news@0", "google@2", "news@4"]);
    let numbers: Vec<u32> = answer.touches.iter().map(|touch| touch.touch_number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

/// [2.3] The click id is part of the tuple, a new session always a new touch.
#[test]
fn a_new_click_id_or_session_is_a_touch() {
    let with_click = |key, at, id: &str| {
        view(key, at).found(1, "google/cpc").change(|event| {
            event.evidence.as_mut().unwrap().click_id = Some(text(id));
        })
    };
    let events = [
        with_click("a", 0, "G1"),
        with_click("b", SECOND, "G2"),
        with_click("c", 2 * SECOND, "g2"),
        with_click("d", DAY, "G2").session(2),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["google@0", "google@1", "google@86400"]);
}

/// [2.2] Reloads and later batches that still show the UTM are no new clicks.
#[test]
fn a_url_counts_once_and_only_in_the_first_batch() {
    let shows = |event: Event| event.change(|e| e.page_location = Some(text("/?utm_source=news")));
    let late_batch = view("c", 2 * SECOND).found(3, "zine/email").change(|event| {
        event.batch_ordering_id = 2;
    });
    let events = [
        shows(view("a", 0)).found(3, "news/email"),
        view("b", SECOND).found(1, "google/cpc"),
        late_batch,
        shows(view("d", 3 * SECOND)).found(3, "news/email"),
        view("e", 4 * SECOND).found(2, "blog/referral").change(|e| e.batch_ordering_id = 9),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["news@0", "google@1", "blog@4"]);
}

/// [2.2] Within a page the best class speaks, at the place of the page's first event.
#[test]
fn a_page_has_one_voice() {
    let on_page = |event: Event, page| event.change(|e: &mut Event| e.batch_page_id = page);
    let events = [
        on_page(event("a", "session_start", 0), 5),
        on_page(view("b", SECOND), 5).found(5, "t.example/referral"),
        on_page(event("c", "scroll", 2 * SECOND), 5).found(1, "news/email"),
        on_page(event("d", "click", 3 * SECOND), 5).found(1, "zine/email"),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["news@0"]);
    let touch = &answer.touches[0];
    assert_eq!(&*touch.position.event_key, "a");
    assert_eq!(touch.evidence_class, Some(1));
    assert_eq!(touch.touch_id, key_of(&[Some(&touch.session_key), Some("a")]));
}

/// [2.2, 2.5] Pages whose events interleave stand in the order of their first events.
#[test]
fn interleaved_pages_stand_where_they_begin() {
    let on_page = |event: Event, page| event.change(|e: &mut Event| e.batch_page_id = page);
    let events = [
        on_page(view("a", 0), 5),
        on_page(view("b", SECOND), 6).found(1, "google/cpc"),
        on_page(event("c", "scroll", 2 * SECOND), 5).found(1, "news/email"),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["news@0", "google@1"]);
}

/// [2.6] A session that begins without evidence begins with Direct.
#[test]
fn a_bare_landing_is_direct() {
    let events = [view("a", 0), view("b", SECOND).found(5, "news.example/referral")];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, SECOND), ["(direct)@0", "news.example@1"]);
    let direct = &answer.touches[0];
    assert_eq!(
        (&*direct.medium, &*direct.campaign, &*direct.channel),
        ("(none)", "(direct)", DIRECT)
    );
    assert!(direct.is_direct && direct.evidence_class.is_none());
}

/// [2.7] A real click that no rule knows is Unassigned, not Direct.
#[test]
fn unknown_is_not_direct() {
    let events = [view("a", 0).found(1, "(data deleted)/-"), purchase("p", DAY).session(2)];
    let answer = fold(&events, &settings());
    let unknown = &answer.touches[0];
    assert_eq!((&*unknown.channel, &*unknown.medium), ("Unassigned", NOT_SET));
    assert_eq!(
        credited(&answer, "p"),
        ["(data deleted)", "(data deleted)", "(data deleted)", "(direct)"]
    );
}

/// [2.6] Clicks skip Direct on both sides; touches do not.
#[test]
fn direct_is_skipped_by_clicks_only() {
    let events = [
        view("a", 0),
        view("b", DAY).session(2).found(3, "news/email"),
        view("c", 2 * DAY).session(3).found(3, "google/cpc"),
        purchase("p", 3 * DAY).session(4),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(credited(&answer, "p"), ["news", "(direct)", "google", "(direct)"]);
    assert_eq!(&*answer.first_clicks[0].touch.source, "news");
    assert_eq!(&*answer.last_clicks[0].touch.source, "google");
}

/// [2.6] An all-direct path: first_click takes the first Direct touch, last_click the last.
#[test]
fn an_all_direct_path_is_direct() {
    let events = [view("a", 0), purchase("p", DAY).session(2)];
    let answer = fold(&events, &settings());
    assert_eq!(credited(&answer, "p"), ["(direct)"; 4]);
    let touch_ids: Vec<_> = answer.credits.iter().map(|c| c.touch_id.clone().unwrap()).collect();
    let [first, last] = [0, 1].map(|n: usize| answer.touches[n].touch_id.clone());
    assert_eq!(touch_ids, [first.clone(), first, last.clone(), last]);
    assert_eq!(answer.first_clicks[0].touch, answer.touches[0]);
    assert_eq!(answer.last_clicks[0].touch, answer.touches[1]);
}

/// [2.5] A landing page that is the purchase is touched just before it.
#[test]
fn a_landing_page_may_be_the_conversion() {
    let answer = fold(&[purchase("p", 0).found(3, "news/email")], &settings());
    assert_eq!(credited(&answer, "p"), ["news"; 4]);
    let [step] = answer.journeys.as_slice() else { panic!("one step") };
    assert_eq!((step.position, step.touches, step.seconds_before), (1, 1, 0));
}

/// [2.4] What comes after the conversion never counts, not even in its session.
#[test]
fn a_later_touch_is_ignored() {
    let events =
        [view("a", 0), purchase("p", SECOND), view("b", 2 * SECOND).found(3, "news/email")];
    let answer = fold(&events, &settings());
    assert_eq!(credited(&answer, "p"), ["(direct)"; 4]);
    assert_eq!(&*answer.last_clicks[0].touch.source, "news");
}

/// [2.5] Same microsecond: page id, ordering id, index, then the key decide.
#[test]
fn ties_are_broken_by_batch_then_key() {
    let batched = |event: Event, page, ordering, index| {
        event.change(|e: &mut Event| {
            (e.batch_page_id, e.batch_ordering_id, e.batch_event_index) = (page, ordering, index);
        })
    };
    let before = batched(view("z", 0).found(1, "news/email"), 1, 1, 1);
    let bought = batched(purchase("p", 0), 1, 1, 2);
    let after = batched(view("a", 0).found(1, "google/cpc"), 2, 1, 1);
    let answer = fold(&[after, bought, before], &settings());
    assert_eq!(journey(&answer, "p"), ["news"]);
    let answer = fold(&[purchase("p", 0), view("q", 0).found(1, "news/email")], &settings());
    assert_eq!(journey(&answer, "p"), ["(direct)"]);
}

/// [2.14] The window is closed: exactly N days count, one microsecond more does not.
#[test]
fn the_window_is_closed_in_microseconds() {
    let sign_up = |at| event("s", "sign_up", at).session(2);
    let first = view("a", 0).found(3, "news/email");
    let answer = fold(&[first.clone(), sign_up(30 * DAY)], &settings());
    assert_eq!(journey(&answer, "s"), ["news", "(direct)"]);
    assert_eq!(answer.journeys[0].seconds_before, 30 * 86_400);
    let answer = fold(&[first, sign_up(30 * DAY + 1)], &settings());
    assert_eq!(journey(&answer, "s"), ["(direct)"]);
}

/// [2.12] Conversions look back independently of each other.
#[test]
fn a_second_conversion_sees_the_same_touches() {
    let events =
        [view("a", 0).found(3, "news/email"), purchase("p", SECOND), purchase("q", MINUTE)];
    let answer = fold(&events, &settings());
    assert_eq!(credited(&answer, "p"), ["news"; 4]);
    assert_eq!(credited(&answer, "q"), ["news"; 4]);
}

/// [2.8] A session that starts with a return from a payment page has no touch of its own, and no Direct one.
#[test]
fn a_late_return_is_no_touch() {
    let back = |event: Event| Event { referrer_dropped: Some(text("excluded")), ..event };
    let events = [
        view("a", 0).found(3, "news/email"),
        back(view("b", 60 * MINUTE)).session(2),
        purchase("p", 60 * MINUTE + SECOND).session(2),
        view("c", DAY).session(3),
        back(view("d", DAY + SECOND)).session(3),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(touched(&answer, MINUTE), ["news@0", "(direct)@1440"]);
    assert_eq!(credited(&answer, "p"), ["news"; 4]);
    let answer = fold(&events[1..], &settings());
    assert_eq!(credited(&answer, "p"), ["(direct)"; 4]);
}

/// [2.8] Which of the events of the first moment names the referrer is up to GA4.
#[test]
fn a_return_may_be_named_by_any_event_of_the_first_moment() {
    let back = |event: Event| Event { referrer_dropped: Some(text("own_host")), ..event };
    let events = [
        view("a", 0).found(3, "news/email"),
        event("b", "session_start", DAY).session(2),
        back(view("c", DAY)).session(2),
        view("d", 2 * DAY).session(3),
        back(view("e", 2 * DAY + 1)).session(3),
    ];
    assert_eq!(touched(&fold(&events, &settings()), DAY), ["news@0", "(direct)@2"]);
}

/// [2.6, 2.11] Exclusion removes touches and never conversions; Direct is only what had nothing else to leave out.
#[test]
fn excluded_channels_remove_touches_only() {
    let mut settings = settings();
    settings.excluded_channels = vec![text("Email"), text(DIRECT)];
    let events = [
        view("a", 0).found(3, "news/email"),
        purchase("p", SECOND),
        view("b", DAY).session(2),
        purchase("q", DAY + SECOND).session(2),
        view("c", DAY + MINUTE).session(2).found(3, "news/email"),
        purchase("r", DAY + 2 * MINUTE).session(2),
    ];
    let answer = fold(&events, &settings);
    assert!(answer.touches.is_empty() && answer.first_clicks.is_empty());
    assert_eq!(credited(&answer, "p"), [NOT_SET; 4]);
    assert_eq!(&*answer.credits[0].channel, NO_TOUCH);
    assert_eq!(credited(&answer, "q"), ["(direct)"; 4]);
    assert_eq!(credited(&answer, "r"), [NOT_SET; 4]);
    assert!(answer.credits.iter().all(|credit| credit.touch_id.is_none()));
}

/// [2.11, 2.24] Without a user: own evidence, else `(no touch)`.
#[test]
fn without_a_user_only_the_own_event_speaks() {
    let events = [
        without_user(purchase("p", 0).found(3, "news/email")),
        without_user(purchase("q", SECOND)),
    ];
    let answer = fold(&events, &settings());
    assert_eq!(credited(&answer, "p"), ["news"; 4]);
    assert_eq!(credited(&answer, "q"), [NOT_SET; 4]);
    assert_eq!(&*answer.credits[0].channel, "Email");
    assert_eq!(&*answer.credits[4].channel, NO_TOUCH);
    assert!(answer.credits.iter().all(|credit| credit.touch_id.is_none()));
}
