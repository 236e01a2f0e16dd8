//! Sessions → touches, in either grain.

use std::collections::HashMap;

use super::{DIRECT, Event, Evidence, NOT_SET, Session, Settings, Text, Touch, TouchGrain, key_of};

/// All touches of one session in total order, also those of excluded channels.
pub(super) fn of_session(
    session: &Session,
    events: &[&Event],
    settings: &Settings<'_>,
) -> Vec<Touch> {
    match settings.touch_grain {
        TouchGrain::Click => clicks(session, events, settings),
        TouchGrain::Session => vec![whole_session(session, events, settings)],
    }
}

/// The displayed fields and the channel of something that may be credited.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) source: Text,
    pub(super) medium: Text,
    pub(super) campaign: Text,
    pub(super) channel: Text,
    pub(super) is_direct: bool,
}

impl Label {
    /// The label of evidence. Direct is its absence, so evidence is never Direct `[2.6]`.
    pub(super) fn of(evidence: &Evidence, settings: &Settings<'_>) -> Self {
        let display = |value: &Option<Text>| value.clone().unwrap_or_else(|| NOT_SET.into());
        let fields = &evidence.fields;
        let values = [&fields.source, &fields.medium, &fields.campaign].map(display);
        Self::classified(values, settings)
    }

    /// The label of a visit without evidence.
    pub(super) fn direct() -> Self {
        let [source, medium, campaign] = ["(direct)", "(none)", "(direct)"].map(Text::from);
        Self { source, medium, campaign, channel: DIRECT.into(), is_direct: true }
    }

    /// The label of a session; an unknown source is not Direct (section 3).
    fn of_session(fields: [Text; 3], settings: &Settings<'_>) -> Self {
        let is_unknown = fields.iter().all(|field| **field == *NOT_SET);
        let [source, medium, _] = fields.each_ref().map(|field| field.to_lowercase());
        let is_direct = matches!(&*source, "(direct)" | "direct" | NOT_SET)
            && matches!(&*medium, "(none)" | NOT_SET);
        if is_direct && !is_unknown { Self::direct() } else { Self::classified(fields, settings) }
    }

    fn classified([source, medium, campaign]: [Text; 3], settings: &Settings<'_>) -> Self {
        let channel = (settings.classify)(&source, &medium, &campaign);
        Self { source, medium, campaign, channel, is_direct: false }
    }
}

/// Section 3: one touch at the session's start.
fn whole_session(session: &Session, events: &[&Event], settings: &Settings<'_>) -> Touch {
    let fields = [&session.source, &session.medium, &session.campaign].map(Text::clone);
    touch(session, events[0], Label::of_session(fields, settings), None)
}

/// The touch of a session as a conversion sees it: by what the session had shown by then `[2.4]`.
pub(super) fn as_of(touch: &Touch, shown: Option<[Text; 3]>, settings: &Settings<'_>) -> Touch {
    let Some(fields) = shown else { return touch.clone() };
    let Label { source, medium, campaign, channel, is_direct } =
        Label::of_session(fields, settings);
    Touch { source, medium, campaign, channel, is_direct, ..touch.clone() }
}

fn touch(session: &Session, at: &Event, label: Label, evidence: Option<&Evidence>) -> Touch {
    let Label { source, medium, campaign, channel, is_direct } = label;
    Touch {
        touch_id: key_of(&[Some(&session.session_key), Some(&at.event_key)]),
        person_key: session.person_key.clone(),
        session_key: session.session_key.clone(),
        position: at.position(),
        source,
        medium,
        campaign,
        click_id: evidence.and_then(|evidence| evidence.click_id.clone()),
        channel,
        is_direct,
        evidence_class: evidence.map(|evidence| evidence.class),
        touch_number: 0,
    }
}

/// Events that belong to one page view `[2.2]`.
struct Page<'a> {
    first: &'a Event,
    /// The best evidence so far: lowest class, then first in total order.
    best: Option<&'a Evidence>,
}

/// What makes events of a session one page.
#[derive(PartialEq, Eq, Hash)]
enum PageKey<'a> {
    Batch(i64),
    Shown(i64, Option<&'a str>),
}

/// Click grain `[2.3]`: each change of the evidence tuple, and Direct where a session begins without any.
fn clicks(session: &Session, events: &[&Event], settings: &Settings<'_>) -> Vec<Touch> {
    let mut touches = Vec::new();
    let mut before: Option<[Option<String>; 4]> = None;
    for (number, page) in pages(events).iter().enumerate() {
        if let Some(evidence) = page.best {
            let tuple = Some(comparable(evidence));
            if before != tuple {
                let label = Label::of(evidence, settings);
                touches.push(touch(session, page.first, label, Some(evidence)));
            }
            before = tuple;
        } else if number == 0 && !starts_with_return(events) {
            // A return is dropped, not made Direct [2.8].
            touches.push(touch(session, page.first, Label::direct(), None));
        }
    }
    touches
}

/// Does any of the events of a session's first moment name a referrer that is none `[2.8]`?
fn starts_with_return(events: &[&Event]) -> bool {
    let first = events.first().map(|event| event.event_timestamp);
    let at_start = events.iter().take_while(|event| Some(event.event_timestamp) == first);
    at_start.into_iter().any(|event| event.referrer_dropped.is_some())
}

/// The pages of a session in the order of their first events.
fn pages<'a>(events: &[&'a Event]) -> Vec<Page<'a>> {
    let mut pages: Vec<Page<'a>> = Vec::new();
    let mut known: HashMap<PageKey<'a>, usize> = HashMap::new();
    let mut first_shown: HashMap<Option<&str>, i64> = HashMap::new();
    for event in events {
        let (at, location) = (event.event_timestamp, event.page_location.as_deref());
        // Events come in order of time, so the first one seen is the earliest.
        let first_shown_at = *first_shown.entry(location).or_insert(at);
        let key = match event.batch_page_id {
            0 => PageKey::Shown(at, location),
            id => PageKey::Batch(id),
        };
        let page = *known.entry(key).or_insert_with(|| {
            pages.push(Page { first: event, best: None });
            pages.len() - 1
        });
        let is_new_url = event.batch_ordering_id <= 1 && first_shown_at == at;
        let counting = event.evidence.as_ref().filter(|found| found.class <= 2 || is_new_url);
        if let Some(found) = counting
            && pages[page].best.is_none_or(|best| found.class < best.class)
        {
            pages[page].best = Some(found);
        }
    }
    pages
}

/// The tuple whose change makes a new touch, lower-cased `[2.3, 2.10]`.
fn comparable(evidence: &Evidence) -> [Option<String>; 4] {
    let fields = &evidence.fields;
    [&fields.source, &fields.medium, &fields.campaign, &evidence.click_id]
        .map(|value| value.as_ref().map(|value| value.to_lowercase()))
}
