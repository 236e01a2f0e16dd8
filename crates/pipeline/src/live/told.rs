//! What a round did, in the words of the live stream: its youngest events with the touch they belong to.

use std::collections::{BTreeSet, HashMap};

use arrow::array::RecordBatch;
use serde_json::Value;

use super::keyed_rows::KeyedRows;
use super::marts::Marts;
use super::rows::arrow_fault;
use crate::dashboard::{Row, rows, text, whole};
use crate::error::Result;

/// Events of one round that are told one by one; the others are counted. More than a screen shows in a second.
const EVENTS: usize = 200;

/// A new event as the live tables see it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamEvent {
    /// The event's key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// When it happened, microseconds since 1970.
    pub at_micros: i64,
    /// Who.
    pub person: String,
    /// Channel, source, medium, campaign of the person's last touch at that time.
    pub touch: Option<[String; 4]>,
    /// Revenue and currency, if it has any.
    pub revenue: Option<(String, String)>,
    /// The conversion it is.
    pub conversion: Option<String>,
}

/// One round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    /// The youngest new events.
    pub events: Vec<StreamEvent>,
    /// New events that are only counted.
    pub skipped: u64,
    /// Last frame of the round.
    pub seq: u64,
    /// When its first frame was received, microseconds since 1970.
    pub received_at: i64,
    /// Tables that hold other rows now.
    pub changed: Vec<String>,
}

/// Called after each round that brought new events; must not block.
pub type Listener = Box<dyn Fn(Round) + Send + Sync>;

impl Marts {
    /// The youngest of some new rows, told.
    pub(crate) fn told(&self, fresh: &RecordBatch) -> Result<(Vec<StreamEvent>, u64)> {
        let skipped = fresh.num_rows().saturating_sub(EVENTS);
        let fresh = fresh.slice(skipped, fresh.num_rows() - skipped);
        let columns =
            ["event_key", "event_name", "event_timestamp", "person_key", "revenue", "currency"];
        let events = projected(&fresh, &columns)?;
        let persons: BTreeSet<u32> =
            events.iter().filter_map(|row| self.number_of(text(row, "person_key"))).collect();
        let persons: Vec<u32> = persons.into_iter().collect();
        let order = [
            "touched_at",
            "batch_page_id",
            "batch_ordering_id",
            "batch_event_index",
            "touch_number",
        ];
        let names = ["person_key", "channel", "source", "medium", "campaign"];
        let touches =
            self.rows_of("int_touchpoints", &persons, &[&names[..], &order[..]].concat())?;
        let conversions = self.rows_of(
            "int_conversions",
            &persons,
            &["event_key", "conversion_id", "revenue", "currency"],
        )?;
        let told = events.iter().map(|event| {
            let person = text(event, "person_key");
            let at = whole(event, "event_timestamp");
            let mine = touches.get(person).into_iter().flatten();
            let touch = mine
                .filter(|touch| whole(touch, "touched_at") <= at)
                .max_by_key(|touch| whole(touch, "touch_number"));
            let key = text(event, "event_key");
            let conversion = conversions.get(key).and_then(|rows| rows.first());
            let amount = |row: &Row| {
                Some((row.get("revenue")?.as_str()?.to_owned(), text(row, "currency").to_owned()))
            };
            StreamEvent {
                key: key.to_owned(),
                name: text(event, "event_name").to_owned(),
                at_micros: at,
                person: person.to_owned(),
                touch: touch.map(|touch| {
                    ["channel", "source", "medium", "campaign"]
                        .map(|name| text(touch, name).to_owned())
                }),
                revenue: conversion.and_then(amount).or_else(|| amount(event)),
                conversion: conversion.map(|row| text(row, "conversion_id").to_owned()),
            }
        });
        Ok((told.collect(), skipped as u64))
    }

    /// Rows of some persons, grouped by the first of the columns.
    fn rows_of(
        &self,
        table: &str,
        persons: &[u32],
        columns: &[&str],
    ) -> Result<HashMap<String, Vec<Row>>> {
        let mut found: HashMap<String, Vec<Row>> = HashMap::new();
        let Some(table) = self.table(table) else { return Ok(found) };
        let table: &KeyedRows = table;
        for batch in table.gather(persons).map_err(arrow_fault)? {
            for row in projected(&batch, columns)? {
                let key =
                    row.get(columns[0]).and_then(Value::as_str).unwrap_or_default().to_owned();
                found.entry(key).or_default().push(row);
            }
        }
        Ok(found)
    }
}

/// The columns that are there, as JSON.
fn projected(batch: &RecordBatch, columns: &[&str]) -> Result<Vec<Row>> {
    let schema = batch.schema();
    let indices: Vec<usize> =
        columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    rows(&[batch.project(&indices).map_err(arrow_fault)?])
}
