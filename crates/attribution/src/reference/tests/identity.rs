//! One person on several devices `[2.26]`.

use super::*;

fn on(device: &str, user: Option<&str>, event: Event) -> Event {
    Event {
        person_key: text(device),
        user_pseudo_id: Some(text(device)),
        user_id: user.map(text),
        ..event
    }
}

/// Ann clicks on the phone, buys on the laptop (day 10), and signs in on the phone on day 12 only.
fn story() -> Vec<Event> {
    vec![
        on("phone", None, view("click", DAY).found(2, "mail/email/-")),
        on("laptop", Some("ann"), purchase("order", 10 * DAY)),
        on("phone", Some(" ann "), view("login", 12 * DAY).session(2)),
        on("laptop", Some("ann"), purchase("later", 13 * DAY).session(2)),
    ]
}

fn with(identity: Identity) -> Settings<'static> {
    let rules = IdentityRules { identity, ..IdentityRules::default() };
    Settings { identity: rules, ..settings() }
}

#[test]
fn a_later_login_counts_backwards_only_where_it_may() {
    let both = |identity| {
        let answer = fold(&story(), &with(identity));
        [journey(&answer, "order").len(), journey(&answer, "later").len()]
    };
    // Of the phone: the mail and the Direct visit of the login, which the first order precedes.
    assert_eq!(both(Identity::Device), [1, 2]);
    assert_eq!(both(Identity::UserAsof), [1, 4]);
    assert_eq!(both(Identity::UserRetro { days: 1 }), [1, 4]);
    assert_eq!(both(Identity::UserRetro { days: 2 }), [2, 4]);
}

#[test]
fn nobody_is_linked_by_a_placeholder_or_without_consent() {
    for junk in ["", " ", "NULL", "undefined", "N/A", "0", "None", "anonymous", "(not set)"] {
        let mut events = story();
        events.iter_mut().for_each(|event| event.user_id = Some(text(junk)));
        let answer = fold(&events, &with(Identity::UserAsof));
        assert_eq!(journey(&answer, "later").len(), 2, "{junk}");
    }
    let mut events = story();
    events[2] = without_user(events[2].clone());
    let answer = fold(&events, &with(Identity::UserAsof));
    assert_eq!(journey(&answer, "later").len(), 2);
}

#[test]
fn a_bound_holds_from_when_it_is_passed() {
    let mut events = story();
    for (number, at) in [(1, 13), (2, 13), (3, 13), (4, 14)] {
        let login = view(&format!("login {number}"), at * DAY + number);
        events.push(on("phone", Some(&format!("user {number}")), login));
    }
    events.push(on("laptop", Some("ann"), purchase("at five", 15 * DAY)));
    events.push(on("phone", Some("user 5"), view("login 5", 15 * DAY + 1)));
    events.push(on("laptop", Some("ann"), purchase("at six", 16 * DAY)));
    let answer = fold(&events, &with(Identity::UserAsof));
    let touches = |key| journey(&answer, key).len();
    assert_eq!(touches("later"), 4, "as before the others came");
    assert_eq!(touches("at five"), 4);
    assert_eq!(touches("at six"), 2, "the sixth user takes the phone away");
    let mut settings = with(Identity::UserAsof);
    settings.identity.max_devices_per_user = 1;
    assert_eq!(journey(&fold(&story(), &settings), "later").len(), 2);
}

#[test]
fn user_asof_never_restates() {
    let events = story();
    let settings = with(Identity::UserAsof);
    let whole = fold(&events, &settings);
    let first = fold(&events[..2], &settings);
    assert_eq!(journey(&whole, "order"), journey(&first, "order"));
}
