//! The fold itself: events → everything, person by person; only journeys reach into other devices.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::identity::Logins;
use super::journeys::Untouched;
use super::sessions::SessionEvents;
use super::{
    Attribution, Conversion, DailyKey, Event, PersonClick, Session, Settings, Touch, TouchGrain,
    conversions, journeys, refunds, sessions, touches,
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
    let people: BTreeMap<&str, Person<'_>> =
        people.into_iter().map(|(key, events)| (key, Person::of(events, settings))).collect();
    let logins = Logins::of(&kept, &settings.identity);
    for (key, person) in &people {
        for (event, session) in person.events.iter().zip(&person.session_of) {
            let session = session.map(|session| &person.sessions[session]);
            let session_key = session.map(|session| session.session_key.clone());
            let conversion = conversions::row(event, session_key, &duplicates, settings);
            let Some(conversion) = conversion else { continue };
            if conversion.is_counted {
                let others = logins.others(key, event.event_timestamp);
                let others = others.into_iter().filter_map(|device| people.get(device));
                let whole = person.joined(others);
                let started_at = session.map(|session| session.started.timestamp);
                add_credits(event, &conversion, started_at, &whole, settings, &mut answer);
            }
            answer.conversions.push(conversion);
        }
    }
    for person in people.into_values() {
        person.end(settings, &mut answer);
    }
    refunds::add(&kept, settings, &mut answer);
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

/// One device, or one event without any.
struct Person<'a> {
    /// Distinct, in total order.
    events: Vec<&'a Event>,
    sessions: Vec<Session>,
    /// The events of each of the sessions.
    divided: Vec<SessionEvents<'a>>,
    /// The session of each event.
    session_of: Vec<Option<usize>>,
    /// In total order, also those of excluded channels.
    touches: Vec<Touch>,
}

/// What a conversion looks at: events and touches in total order.
struct Whole<'a, 'b> {
    devices: Vec<&'b Person<'a>>,
    events: Cow<'b, [&'a Event]>,
    touches: Cow<'b, [Touch]>,
}

impl<'a, 'b> Whole<'a, 'b> {
    /// The session of a touch.
    fn session(&self, touch: &Touch) -> Option<&'b SessionEvents<'a>> {
        self.devices.iter().find_map(|device| {
            let is_of = |row: &Session| row.session_key == touch.session_key;
            device.sessions.iter().position(is_of).map(|at| &device.divided[at])
        })
    }
}

impl<'a> Person<'a> {
    fn of(mut events: Vec<&'a Event>, settings: &Settings<'_>) -> Self {
        events.sort_unstable_by(|a, b| a.order(b));
        let (divided, session_of) = sessions::divide(&events);
        let rows: Vec<_> = divided.iter().filter_map(|one| sessions::row(one, settings)).collect();
        debug_assert_eq!(rows.len(), divided.len());
        let mut touches: Vec<Touch> = Vec::new();
        for (row, session) in rows.iter().zip(&divided) {
            touches.extend(touches::of_session(row, &session.events, settings));
        }
        touches.sort_unstable_by(|a, b| a.position.cmp(&b.position));
        Self { events, sessions: rows, divided, session_of, touches }
    }

    /// This device together with others of the same user `[2.26]`.
    fn joined<'b>(&'b self, others: impl Iterator<Item = &'b Person<'a>>) -> Whole<'a, 'b> {
        let mut whole = Whole {
            devices: vec![self],
            events: Cow::Borrowed(&self.events[..]),
            touches: Cow::Borrowed(&self.touches[..]),
        };
        for other in others {
            whole.devices.push(other);
            whole.events.to_mut().extend(&other.events);
            whole.touches.to_mut().extend(other.touches.iter().cloned());
        }
        if whole.devices.len() > 1 {
            whole.events.to_mut().sort_unstable_by(|a, b| a.order(b));
            whole.touches.to_mut().sort_unstable_by(|a, b| a.position.cmp(&b.position));
        }
        whole
    }

    /// Adds what is the person's alone.
    fn end(self, settings: &Settings<'_>, answer: &mut Attribution) {
        let mut touches = self.touches;
        touches.retain(|touch| !is_excluded(touch, settings));
        for (number, touch) in (1..).zip(&mut touches) {
            touch.touch_number = number;
        }
        if let Some(session) = self.sessions.first() {
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
        answer.sessions.extend(self.sessions);
        answer.touches.extend(touches);
    }
}

/// Adds the journey of a conversion and its credits.
fn add_credits(
    event: &Event,
    conversion: &Conversion,
    session_started_at: Option<i64>,
    whole: &Whole<'_, '_>,
    settings: &Settings<'_>,
    answer: &mut Attribution,
) {
    let grain = settings.touch_grain;
    let in_window = journeys::journey(conversion, session_started_at, &whole.touches, grain);
    let as_of = |touch: &Touch| as_of(touch, conversion, whole, settings);
    // An exclusion list removes touches, never conversions [2.6].
    let (left_out, journey): (Vec<Touch>, Vec<Touch>) =
        in_window.into_iter().map(as_of).partition(|touch| is_excluded(touch, settings));
    let journey: Vec<&Touch> = journey.iter().collect();
    let milestone = journeys::milestone(conversion, &whole.events, settings);
    let steps = journeys::steps(conversion, &journey, milestone.as_ref());
    let alone = Untouched { evidence: event.evidence.as_ref(), left_out: &left_out };
    let credits = journeys::credits(conversion, &journey, &steps, &alone, settings);
    answer.credits.extend(credits);
    answer.journeys.extend(steps);
}

fn is_excluded(touch: &Touch, settings: &Settings<'_>) -> bool {
    settings.excluded_channels.contains(&touch.channel)
}

/// A touch as a conversion sees it: at session grain by what its session had shown by then `[2.4]`.
fn as_of(
    touch: &Touch,
    conversion: &Conversion,
    whole: &Whole<'_, '_>,
    settings: &Settings<'_>,
) -> Touch {
    let shown = whole.session(touch).filter(|_| settings.touch_grain == TouchGrain::Session);
    let shown = shown.and_then(|of| sessions::shown_before(&of.events, &conversion.position));
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
        totals.refunded_micros += i128::from(credit.refunded_micros);
    }
}
