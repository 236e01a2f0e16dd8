//! Rules of the fold, each by the number of its section.

mod clicks;
mod conservation;
mod identity;
mod orders;
mod session_grain;
mod sessions;

use super::*;
use crate::models::{AttributionModel, Rules};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const DAY: i64 = 86_400 * SECOND;
/// Where the stories begin: far from the first loaded day.
pub(super) const START: i64 = 20_000 * DAY;

pub(super) fn text(value: &str) -> Text {
    value.into()
}

fn local_date(at: i64) -> i32 {
    i32::try_from(at.div_euclid(DAY)).unwrap()
}

/// A tiny channel grouping, enough to tell rules apart.
fn classify(source: &str, medium: &str, _campaign: &str) -> Text {
    match (source, medium) {
        (_, "email") => "Email",
        ("google", "cpc") => "Paid Search",
        ("google", "organic") => "Organic Search",
        (_, "referral") => "Referral",
        _ => "Unassigned",
    }
    .into()
}

/// The attribution models that credit one touch; the others are told in `conservation`.
fn single_touch() -> Rules {
    use AttributionModel::{FirstClick, FirstTouch, LastClick, LastTouch};
    let attribution_models = vec![FirstClick, FirstTouch, LastClick, LastTouch];
    Rules { attribution_models, ..Rules::default() }
}

pub(super) fn settings() -> Settings<'static> {
    let key_event = |name, lookback_days| KeyEvent { event_name: text(name), lookback_days };
    Settings {
        property_id: text("p1"),
        key_events: vec![key_event("purchase", 90), key_event("sign_up", 30)],
        touch_grain: TouchGrain::Click,
        order_dedupe_scope: OrderDedupeScope::Device,
        identity: IdentityRules::default(),
        excluded_channels: Vec::new(),
        rules: single_touch(),
        first_loaded_at: 0,
        local_date: &local_date,
        classify: &classify,
    }
}

/// An event of user `u` in session 1 at `START + at`, with key `key`.
pub(super) fn event(key: &str, name: &str, at: i64) -> Event {
    Event {
        event_key: text(key),
        event_name: text(name),
        event_timestamp: START + at,
        person_key: text("u"),
        user_pseudo_id: Some(text("u")),
        ga_session_id: Some(1),
        page_location: Some(text(&format!("https://shop.example/{key}"))),
        ..Event::default()
    }
}

pub(super) fn view(key: &str, at: i64) -> Event {
    event(key, "page_view", at)
}

/// A purchase with id `key` over 10 units.
pub(super) fn purchase(key: &str, at: i64) -> Event {
    Event {
        transaction_id: Some(text(key)),
        revenue_micros: Some(10_000_000),
        currency: Some(text("EUR")),
        ..event(key, "purchase", at)
    }
}

/// `source/medium`, `-` for null.
pub(super) fn fields(triple: &str) -> SourceFields {
    let mut values = triple.split('/').map(|value| (value != "-").then(|| text(value)));
    let mut next = || values.next().flatten();
    SourceFields { source: next(), medium: next(), campaign: next() }
}

pub(super) trait Change: Sized {
    fn session(self, id: i64) -> Self;
    fn found(self, class: u8, triple: &str) -> Self;
    fn change(self, change: impl FnOnce(&mut Self)) -> Self;
}

impl Change for Event {
    fn session(self, id: i64) -> Self {
        Self { ga_session_id: Some(id), ..self }
    }

    fn found(self, class: u8, triple: &str) -> Self {
        let evidence = Evidence { class, fields: fields(triple), click_id: None };
        Self { evidence: Some(evidence), ..self }
    }

    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// No user, hence a person of its own `[2.24]`.
pub(super) fn without_user(event: Event) -> Event {
    let person_key = text(&format!("event:{}", event.event_key));
    Event { user_pseudo_id: None, person_key, ..event }
}

/// `source@offset` of each touch, offsets in the given unit.
pub(super) fn touched(answer: &Attribution, unit: i64) -> Vec<String> {
    let show =
        |touch: &Touch| format!("{}@{}", touch.source, (touch.position.timestamp - START) / unit);
    answer.touches.iter().map(show).collect()
}

/// Sources credited with a conversion by first_click, first_touch, last_click and last_touch.
pub(super) fn credited(answer: &Attribution, event_key: &str) -> Vec<String> {
    let conversion = answer.conversions.iter().find(|c| &*c.position.event_key == event_key);
    let id = &conversion.unwrap().conversion_id;
    let credits = answer.credits.iter().filter(|credit| &credit.conversion_id == id);
    credits.map(|credit| credit.source.to_string()).collect()
}

/// Sources of a conversion's journey, in order.
pub(super) fn journey(answer: &Attribution, event_key: &str) -> Vec<String> {
    let conversion = answer.conversions.iter().find(|c| &*c.position.event_key == event_key);
    let id = &conversion.unwrap().conversion_id;
    let source = |step: &JourneyStep| {
        let touch = answer.touches.iter().find(|touch| touch.touch_id == step.touch_id);
        touch.unwrap().source.to_string()
    };
    answer.journeys.iter().filter(|step| &step.conversion_id == id).map(source).collect()
}
