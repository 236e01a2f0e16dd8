//! Rows of `stg_events` as the fold reads them.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type};
use clicktrail_attribution::reference::{Event, Evidence, SourceFields, Text};

use super::support::Answers;

/// A text column of whatever Arrow type.
pub(crate) struct Texts(ArrayRef);

impl Texts {
    pub(crate) fn new(column: &ArrayRef) -> Self {
        Self(cast(column, &DataType::Utf8).unwrap())
    }

    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        let texts = self.0.as_string::<i32>();
        texts.is_valid(row).then(|| texts.value(row))
    }
}

/// One shared text for equal ones.
#[derive(Default)]
struct Interner(HashSet<Text>);

impl Interner {
    fn text(&mut self, text: &str) -> Text {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new = Text::from(text);
        self.0.insert(new.clone());
        new
    }
}

const TEXTS: [&str; 27] = [
    "event_key",
    "event_name",
    "person_key",
    "user_pseudo_id",
    "user_id",
    "stream_id",
    "page_location",
    "source",
    "medium",
    "campaign",
    "click_id",
    "param_source",
    "param_medium",
    "param_campaign",
    "first_user_source",
    "first_user_medium",
    "first_user_campaign",
    "last_click_source",
    "last_click_medium",
    "last_click_campaign",
    "transaction_id",
    "currency",
    "term",
    "content",
    "platform",
    "origin",
    "referrer_dropped",
];

const NUMBERS: [&str; 7] = [
    "event_timestamp",
    "batch_page_id",
    "batch_ordering_id",
    "batch_event_index",
    "ga_session_id",
    "ga_session_number",
    "evidence_class",
];

/// Rows of `stg_events`.
pub(crate) fn events(shop: &dyn Answers) -> Vec<Event> {
    let sql = format!(
        "select {}, {}, revenue, event_date, is_session_engaged from stg_events",
        TEXTS.join(", "),
        NUMBERS.join(", ")
    );
    let mut names = Interner::default();
    let mut events = Vec::new();
    for batch in shop.batches(&sql) {
        let texts: Vec<Texts> = batch.columns()[..TEXTS.len()].iter().map(Texts::new).collect();
        let numbers: Vec<ArrayRef> = batch.columns()[TEXTS.len()..TEXTS.len() + NUMBERS.len()]
            .iter()
            .map(|column| cast(column, &DataType::Int64).unwrap())
            .collect();
        let rest = &batch.columns()[TEXTS.len() + NUMBERS.len()..];
        let revenue = rest[0].as_primitive::<Decimal128Type>();
        let dates = rest[1].as_primitive::<Date32Type>();
        let engaged = rest[2].as_boolean();
        for row in 0..batch.num_rows() {
            let mut text = |name: &str| {
                let at = TEXTS.iter().position(|known| *known == name).unwrap();
                texts[at].get(row).map(|text| names.text(text))
            };
            let number = |name: &str| {
                let at = NUMBERS.iter().position(|known| *known == name).unwrap();
                let column = numbers[at].as_primitive::<Int64Type>();
                column.is_valid(row).then(|| column.value(row))
            };
            let mut triple = |prefix: &str| SourceFields {
                source: text(&format!("{prefix}source")),
                medium: text(&format!("{prefix}medium")),
                campaign: text(&format!("{prefix}campaign")),
            };
            let (fields, params) = (triple(""), triple("param_"));
            let (first_user, last_click) = (triple("first_user_"), triple("last_click_"));
            let evidence = number("evidence_class").map(|class| Evidence {
                class: class.try_into().unwrap(),
                fields,
                click_id: text("click_id"),
            });
            events.push(Event {
                event_key: text("event_key").unwrap(),
                event_timestamp: number("event_timestamp").unwrap(),
                batch_page_id: number("batch_page_id").unwrap(),
                batch_ordering_id: number("batch_ordering_id").unwrap(),
                batch_event_index: number("batch_event_index").unwrap(),
                event_name: text("event_name").unwrap(),
                person_key: text("person_key").unwrap(),
                user_pseudo_id: text("user_pseudo_id"),
                user_id: text("user_id"),
                stream_id: text("stream_id"),
                ga_session_id: number("ga_session_id"),
                session_number: number("ga_session_number"),
                is_session_engaged: engaged.value(row),
                page_location: text("page_location"),
                evidence,
                referrer_dropped: text("referrer_dropped"),
                params,
                first_user,
                last_click,
                transaction_id: text("transaction_id"),
                revenue_micros: revenue
                    .is_valid(row)
                    .then(|| revenue.value(row).try_into().unwrap()),
                currency: text("currency"),
                event_date: dates.value(row),
                term: text("term"),
                content: text("content"),
                platform: text("platform"),
            });
        }
    }
    events
}
