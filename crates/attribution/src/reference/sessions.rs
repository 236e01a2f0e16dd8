//! Events of one person → sessions `[2.16, 2.17]`, and their session-grain source (section 3).

use std::collections::HashMap;

use super::evidence::usable;
use super::{Event, NOT_SET, Position, Session, Settings, SourceFields, Text, key_of};

/// An event without a session id joins the one before it up to this age, inclusive `[2.17]`.
const INACTIVITY_MICROS: i64 = 30 * 60 * 1_000_000;

/// Id of a session within person and stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SessionId {
    Given(i64),
    /// Timestamp of the event that opened it.
    Derived(i64),
}

/// The events of one session, in total order.
pub(super) struct SessionEvents<'a> {
    id: SessionId,
    pub(super) events: Vec<&'a Event>,
}

/// Sessions of one person and, for each of the person's events, the index of its session.
///
/// `events` are in total order; sessions come in the order of their first events.
pub(super) fn divide<'a>(events: &[&'a Event]) -> (Vec<SessionEvents<'a>>, Vec<Option<usize>>) {
    let mut sessions: Vec<SessionEvents<'a>> = Vec::new();
    let mut known: HashMap<(Option<&str>, SessionId), usize> = HashMap::new();
    let mut previous: HashMap<Option<&str>, (i64, usize)> = HashMap::new();
    let mut session_of = Vec::with_capacity(events.len());
    for event in events {
        if event.user_pseudo_id.is_none() {
            session_of.push(None);
            continue;
        }
        let stream = event.stream_id.as_deref();
        let at = event.event_timestamp;
        let near = previous.get(&stream).filter(|(before, _)| at - before <= INACTIVITY_MICROS);
        let session = match (event.ga_session_id, near) {
            (None, Some((_, session))) => *session,
            (given, _) => {
                let id = given.map_or(SessionId::Derived(at), SessionId::Given);
                *known.entry((stream, id)).or_insert_with(|| {
                    sessions.push(SessionEvents { id, events: Vec::new() });
                    sessions.len() - 1
                })
            }
        };
        sessions[session].events.push(event);
        previous.insert(stream, (at, session));
        session_of.push(Some(session));
    }
    (sessions, session_of)
}

/// The row of one session. `None` only for a session without events, which [`divide`] never makes.
pub(super) fn row(session: &SessionEvents<'_>, settings: &Settings<'_>) -> Option<Session> {
    let (first, last) = (*session.events.first()?, *session.events.last()?);
    let user_pseudo_id = first.user_pseudo_id.clone()?;
    let (id, is_derived) = match session.id {
        SessionId::Given(id) => (id.to_string(), false),
        SessionId::Derived(at) => (format!("derived:{at}"), true),
    };
    let stream_id = first.stream_id.as_deref();
    let property_id = &*settings.property_id;
    let source_record = source_of(&session.events).map(|record| record.name);
    let [source, medium, campaign] = shown(&session.events);
    Some(Session {
        session_key: key_of(&[Some(property_id), stream_id, Some(&user_pseudo_id), Some(&id)]),
        person_key: first.person_key.clone(),
        user_pseudo_id,
        stream_id: first.stream_id.clone(),
        ga_session_id: id.into(),
        is_derived,
        started: first.position(),
        session_ended_at: last.event_timestamp,
        session_date: (settings.local_date)(first.event_timestamp),
        events: session.events.len() as u64,
        page_views: session.events.iter().filter(|event| is_page_view(event)).count() as u64,
        is_engaged: session.events.iter().any(|event| event.is_session_engaged),
        landing_page: session.events.iter().find_map(|event| event.page_location.clone()),
        session_number: session_number(&session.events),
        source,
        medium,
        campaign,
        source_record,
    })
}

/// The record that names a session's source.
struct Record<'a> {
    name: &'static str,
    fields: &'a SourceFields,
    event: &'a Event,
}

/// Section 3: the one record that names the source of a session with these events, if one does.
fn source_of<'a>(events: &[&'a Event]) -> Option<Record<'a>> {
    let last_click = events.iter().find(|event| event.last_click.says_anything());
    let last_click =
        last_click.map(|event| Record { name: "last_click", fields: &event.last_click, event });
    let first_user = || {
        let event = *events.first().filter(|_| session_number(events) == Some(1))?;
        Some(Record { name: "first_user", fields: &event.first_user, event })
    };
    last_click.or_else(|| param_record(events)).or_else(first_user)
}

/// Source, medium and campaign that a session of these events shows (section 3).
fn shown(events: &[&Event]) -> [Text; 3] {
    let fields = source_of(events).map(|record| record.fields.clone()).unwrap_or_default();
    [&fields.source, &fields.medium, &fields.campaign].map(|field| displayed(field.as_ref()))
}

/// What a session had shown by a conversion, when that came before the page which named the session `[2.4]`.
pub(super) fn shown_before(events: &[&Event], conversion: &Position) -> Option<[Text; 3]> {
    let named = source_of(events)?.event;
    // As at click grain, evidence stands at the first event of its page [2.5].
    let is_of_page = |event: &&&Event| {
        event.batch_page_id == named.batch_page_id
            && (named.batch_page_id != 0
                || (event.event_timestamp, page(event)) == (named.event_timestamp, page(named)))
    };
    let starts_at = events.iter().find(is_of_page)?.position();
    let seen = events.partition_point(|event| event.position() <= *conversion);
    (starts_at > *conversion).then(|| shown(&events[..seen]))
}

fn page(event: &Event) -> &str {
    event.page_location.as_deref().unwrap_or_default()
}

/// Section 3 (2): params of the first page view, else of the first event before it that has any;
/// in a session without page views of the first event that has any.
fn param_record<'a>(events: &[&'a Event]) -> Option<Record<'a>> {
    let page_view = events.iter().position(|event| is_page_view(event));
    let says_anything = |event: &&&'a Event| event.params.says_anything();
    let on_page_view = page_view.map(|at| &events[at]).filter(says_anything);
    let before = &events[..page_view.unwrap_or(events.len())];
    let record = |name, event: &&'a Event| Record { name, fields: &event.params, event };
    let earlier = || before.iter().find(says_anything).map(|event| record("param", event));
    on_page_view.map(|event| record("page", event)).or_else(earlier)
}

fn session_number(events: &[&Event]) -> Option<i64> {
    events.iter().filter_map(|event| event.session_number).min()
}

fn is_page_view(event: &Event) -> bool {
    &*event.event_name == "page_view"
}

/// Section 3: an empty field is `(not set)`, and so is a placeholder `[2.7]`.
fn displayed(value: Option<&Text>) -> Text {
    value.and_then(|value| usable(value)).unwrap_or(NOT_SET).into()
}
