//! The fold itself: events → everything, one person at a time.

use std::collections::{HashMap, HashSet};

use super::journeys::Untouched;
use super::sessions::SessionEvents;
use super::{
    Attribution, Conversion, DailyKey, Event, PersonClick, Session, Settings, Touch, TouchGrain,
    conversions, journeys, sessions, touches,
};

/// Computes the intermediate models and marts from rows of `stg_events`.
///
/// The order of `events` and copies among them change nothing but
/// [`copies`](Attribution::copies). Costs a hash of all events and a sort within each person.
#[must_use]
pub fn fold(events: &[Event], settings: &Settings<'_>) -> Attribution {
    let mut answer = Attribution::default();
    let kept = distinct(events, &mut answer);
    let duplicates = conversions::duplicate_orders(&kept, settings.order_dedupe_scope);
    let mut people: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in &kept {
        people.entry(&event.person_key).or_default().push(event);
    }
    let mut people: Vec<(&str, Vec<&Event>)> = people.into_iter().collect();
    people.sort_unstable_by_key(|(person, _)| *person);
    for (_, events) in &mut people {
        events.sort_unstable_by(|a, b| a.order(b));
        fold_person(events, &duplicates, settings, &mut answer);
    }
    add_daily(&mut answer);
    answer
}

/// One row per event date and key `[2.19]`, in no particular order; counts the copies.
fn distinct<'a>(events: &'a [Event], answer: &mut Attribution) -> Vec<&'a Event> {
    let mut kept: HashMap<(i32, &str), (&Event, u32)> = HashMap::with_capacity(events.len());
    for event in events {
        let key = (event.event_date, &*event.event_key);
        let (best, copies) = kept.entry(key).or_insert((event, 0));
        *copies += 1;
        if event.content_order(best).is_lt() {
            *best = event;
        }
    }
    for (event, copies) in kept.values().filter(|(_, copies)| *copies > 1) {
        *answer.copies.entry(event.event_key.clone()).or_default() += *copies;
    }
    answer.events = kept.len() as u64;
    kept.into_values().map(|(event, _)| event).collect()
}

/// Adds all rows of one person, whose distinct events are given in total order.
fn fold_person(
    events: &[&Event],
    duplicates: &HashSet<(i32, &str)>,
    settings: &Settings<'_>,
    answer: &mut Attribution,
) {
    let (divided, session_of) = sessions::divide(events);
    let rows: Vec<_> = divided.iter().filter_map(|one| sessions::row(one, settings)).collect();
    debug_assert_eq!(rows.len(), divided.len());
    let mut touches: Vec<Touch> = Vec::new();
    for (row, session) in rows.iter().zip(&divided) {
        touches.extend(touches::of_session(row, &session.events, settings));
    }
    touches.sort_unstable_by(|a, b| a.position.cmp(&b.position));
    // An exclusion list removes touches, never conversions [2.6].
    let is_excluded = |touch: &Touch| settings.excluded_channels.contains(&touch.channel);
    let (excluded, mut touches): (Vec<Touch>, Vec<Touch>) =
        touches.into_iter().partition(is_excluded);
    for (number, touch) in (1..).zip(&mut touches) {
        touch.touch_number = number;
    }

    for (event, session) in events.iter().zip(session_of) {
        let session = session.map(|session| &rows[session]);
        let session_key = session.map(|session| session.session_key.clone());
        let Some(conversion) = conversions::row(event, session_key, duplicates, settings) else {
            continue;
        };
        if conversion.is_counted {
            let started_at = session.map(|session| session.started.timestamp);
            let grain = settings.touch_grain;
            let in_window = journeys::journey(&conversion, started_at, &touches, grain);
            let as_of = |touch: &Touch| as_of(touch, &conversion, (&rows, &divided), settings);
            let journey: Vec<Touch> = in_window.into_iter().map(as_of).collect();
            let journey: Vec<&Touch> = journey.iter().collect();
            let milestone = journeys::milestone(&conversion, events, settings);
            let steps = journeys::steps(&conversion, &journey, milestone.as_ref());
            let left_out = journeys::journey(&conversion, started_at, &excluded, grain);
            let alone = Untouched { evidence: event.evidence.as_ref(), left_out: &left_out };
            let credits = journeys::credits(&conversion, &journey, &steps, &alone, settings);
            answer.credits.extend(credits);
            answer.journeys.extend(steps);
        }
        answer.conversions.push(conversion);
    }
    if let Some(session) = rows.first() {
        let click = |touch: &Touch| PersonClick {
            user_pseudo_id: session.user_pseudo_id.clone(),
            touch: touch.clone(),
        };
        // Non-direct where there is any [2.6].
        let is_click = |touch: &&Touch| !touch.is_direct;
        let first = touches.iter().find(is_click).or(touches.first());
        let last = touches.iter().rfind(is_click).or(touches.last());
        answer.first_clicks.extend(first.map(click));
        answer.last_clicks.extend(last.map(click));
    }
    answer.sessions.extend(rows);
    answer.touches.extend(touches);
}

/// A touch as a conversion sees it: at session grain by what its session had shown by then `[2.4]`.
fn as_of(
    touch: &Touch,
    conversion: &Conversion,
    (rows, divided): (&[Session], &[SessionEvents<'_>]),
    settings: &Settings<'_>,
) -> Touch {
    let of = rows.iter().position(|row| row.session_key == touch.session_key);
    let of = of.filter(|_| settings.touch_grain == TouchGrain::Session);
    let shown = of.and_then(|at| sessions::shown_before(&divided[at].events, &conversion.position));
    touches::as_of(touch, shown, settings)
}

/// Sums the credits by day, attribution model, key event, source and currency.
fn add_daily(answer: &mut Attribution) {
    for credit in &answer.credits {
        let key = DailyKey {
            date: credit.conversion_date,
            attribution_model: credit.attribution_model,
            event_name: credit.event_name.clone(),
            channel: credit.channel.clone(),
            source: credit.source.clone(),
            medium: credit.medium.clone(),
            campaign: credit.campaign.clone(),
            currency: credit.currency.clone(),
        };
        let totals = answer.daily.entry(key).or_default();
        totals.credit_micros += credit.credit_micros;
        totals.revenue_micros += i128::from(credit.revenue_micros.unwrap_or(0));
    }
}
