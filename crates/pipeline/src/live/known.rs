//! Whether an event is there already.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use arrow::array::{AsArray, RecordBatch};

use super::heavy::{HEAVY_ROWS, Heavy};
use super::keyed_rows::{KeyedRows, Place};
use super::rows::{arrow_fault, joined, same};
use crate::error::Result;

/// Where copies of new events are sought.
pub(super) struct Known<'m> {
    events: &'m KeyedRows,
    heavy: &'m mut Heavy,
    /// Position of the event's key.
    column: usize,
    /// Persons with very many events: these are not all in memory.
    many: BTreeSet<u32>,
    /// Their events, once they had to be read.
    read: HashMap<u32, Read>,
}

/// All events of a person.
struct Read {
    rows: RecordBatch,
    /// By key of the event.
    places: HashMap<Box<str>, Vec<usize>>,
}

impl Read {
    fn of(events: &KeyedRows, person: u32, column: usize) -> Result<Self> {
        let rows = joined(&events.schema(), &events.gather(&[person]).map_err(arrow_fault)?)?;
        let mut places: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (row, key) in rows.column(column).as_string_view().iter().enumerate() {
            places.entry(key.unwrap_or_default().into()).or_default().push(row);
        }
        Ok(Self { rows, places })
    }
}

impl<'m> Known<'m> {
    /// Brings the events of some persons into memory: who has a new event is computed anew in any case. Of persons
    /// with very many events only the keys are remembered.
    pub(super) fn new(
        events: &'m mut KeyedRows,
        heavy: &'m mut Heavy,
        column: usize,
        persons: &[u32],
    ) -> Result<Self> {
        let persons: BTreeSet<u32> = persons.iter().copied().collect();
        let (many, few): (BTreeSet<u32>, BTreeSet<u32>) =
            persons.into_iter().partition(|person| events.count(*person) >= HEAVY_ROWS);
        events.warm(&few.into_iter().collect::<Vec<_>>()).map_err(arrow_fault)?;
        for person in &many {
            if heavy.remembers(*person) {
                continue;
            }
            let rows = events.gather(&[*person]).map_err(arrow_fault)?;
            let keys = rows.iter().flat_map(|rows| rows.column(column).as_string_view());
            heavy.learn(*person, keys.flatten());
        }
        Ok(Self { events, heavy, column, many, read: HashMap::new() })
    }

    /// Whether a person has a row already.
    pub(super) fn has(&mut self, person: u32, (rows, row): (&RecordBatch, usize)) -> Result<bool> {
        let column = self.column;
        let name = rows.column(column).as_string_view().value(row);
        let places = self.events.places(person);
        let key_at = |place: &Place| {
            let (chunk, row) = self.events.row(*place);
            chunk.column(column).as_string_view().value(row)
        };
        let keys = || places.iter().map(key_at);
        if !self.heavy.may_have(person, places.len(), name, keys) {
            return Ok(false);
        }
        if self.many.contains(&person) {
            let read = match self.read.entry(person) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Read::of(self.events, person, column)?),
            };
            let mut places = read.places.get(name).into_iter().flatten();
            return Ok(places.any(|place| same(rows, row, &read.rows, *place)));
        }
        Ok(places.iter().any(|place| {
            let (chunk, other) = self.events.row(*place);
            key_at(place) == name && same(rows, row, chunk, other)
        }))
    }

    /// A new event of a person goes into the history.
    pub(super) fn remember(&mut self, person: u32, event_key: &str) {
        self.heavy.remember(person, event_key);
    }
}
