//! Who sends events to BigQuery, by which way, and up to which number they are in: the table `events_stream_producers`.
//!
//! A producer's rows are its generations: a write stream from some number on, load jobs from some number on, or the end
//! of a stream, which says up to which number all events are in. The newest holds. A generation is added by a load job
//! whose id is made of the producer and its number, and BigQuery runs an id once: so two machines never begin two
//! streams of one producer.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Client, Load, TableId};
use serde_json::{Value, json};

use crate::error::{PipelineError, Result};

/// The table.
pub(super) const TABLE: &str = "events_stream_producers";

/// Ids that one generation may need: a job that failed has used up its id.
const ATTEMPTS: usize = 4;

/// How a producer's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Through the write stream of this name.
    Stream(String),
    /// By load jobs.
    Load,
    /// Not at present: all events before [`Place::first`] are in.
    Closed,
}

/// Where a producer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Counts the producer's ways.
    pub(super) generation: u64,
    /// Number of the first event that the producer ever sent.
    pub(super) began: u64,
    /// Number from which on this way holds; events between `began` and it are in.
    pub(super) first: u64,
    /// How.
    pub(super) way: Way,
}

/// The table of a dataset.
#[derive(Debug)]
pub(super) struct Producers {
    client: Arc<Client>,
    table: TableId,
}

impl Producers {
    pub(super) fn new(client: Arc<Client>, table: TableId) -> Self {
        Self { client, table }
    }

    /// Where a producer is; `None` when it has never sent.
    ///
    /// # Errors
    /// Rights, a service that does not answer.
    pub(super) fn place(&self, producer: &str) -> Result<Option<Place>> {
        let Some(table) = self.client.table(&self.table)? else {
            self.client.create_table(&self.table, &fields())?;
            return Ok(None);
        };
        let mut found = None;
        self.client.table_rows(&table, &mut |batch| {
            look(&batch, producer, &mut found).ok_or_else(|| EngineError::Damaged {
                table: self.table.to_string(),
                what: "its columns are not those that Clicktrail made".into(),
            })
        })?;
        Ok(found)
    }

    /// Adds a generation, and gives the newest one: of this call, or of another process that was quicker.
    ///
    /// # Errors
    /// Rights, a service that does not answer.
    pub(super) fn add(&self, producer: &str, place: Place) -> Result<Place> {
        let (way, stream) = match &place.way {
            Way::Stream(name) => ("stream", Some(name)),
            Way::Load => ("load", None),
            Way::Closed => ("closed", None),
        };
        let row = json!({ "producer": producer, "generation": place.generation, "first": place.first,
            "way": way, "stream": stream });
        let line = format!("{row}\n").into_bytes();
        for attempt in 0..ATTEMPTS {
            let load = Load {
                id: format!("producer__{}_{}_{attempt}", escaped(producer), place.generation),
                table: self.table.clone(),
                fields: fields(),
                replace: false,
            };
            match self.client.load(&load, &line) {
                Ok(done) if !done.attached => return Ok(place),
                Ok(_) => break,
                // All processes try the ids in this order, and a job that failed stays failed.
                Err(error) if !self.client.has_failed(&load.id)? => return Err(error.into()),
                Err(_) => {}
            }
        }
        let newest = self.place(producer)?.filter(|found| found.generation >= place.generation);
        newest.ok_or_else(|| PipelineError::Setting {
            message: format!("the producer `{producer}` can't be written into {}", self.table),
            hint: Some("send the same events again in a minute".into()),
        })
    }
}

fn fields() -> Vec<Value> {
    let columns = [
        ("producer", "STRING"),
        ("generation", "INTEGER"),
        ("first", "INTEGER"),
        ("way", "STRING"),
        ("stream", "STRING"),
    ];
    let field = |(name, kind)| json!({ "name": name, "type": kind, "mode": "NULLABLE" });
    columns.map(field).into()
}

/// Keeps the newest generation of a producer; `None` when the columns are others.
fn look(batch: &RecordBatch, producer: &str, found: &mut Option<Place>) -> Option<()> {
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
    let number = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let (names, ways, streams) = (text("producer")?, text("way")?, text("stream")?);
    let (generations, firsts) = (number("generation")?, number("first")?);
    for row in (0..batch.num_rows()).filter(|row| names.value(*row) == producer) {
        let generation = u64::try_from(generations.value(row)).ok()?;
        let first = u64::try_from(firsts.value(row)).ok()?;
        let began = found.as_ref().map_or(first, |place| place.began.min(first));
        let way = match ways.value(row) {
            "stream" => Way::Stream(streams.value(row).to_owned()),
            "load" => Way::Load,
            "closed" => Way::Closed,
            _ => return None,
        };
        match found {
            Some(place) if place.generation > generation => place.began = began,
            _ => *found = Some(Place { generation, began, first, way }),
        }
    }
    Some(())
}

/// A producer's name inside a job's id: other names never give the same one, nor two `_` side by side.
pub(super) fn escaped(producer: &str) -> String {
    producer
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
            _ => format!("_{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn names_stay_apart() {
        assert_eq!(escaped("shop-1"), "shop-1");
        assert_eq!(escaped("a_b.c/ü"), "a_5Fb_2Ec_2F_C3_BC");
    }

    #[test]
    fn the_newest_generation_holds_and_the_oldest_says_where_it_began() {
        let text =
            |values: [&str; 4]| Arc::new(StringArray::from(values.to_vec())) as Arc<dyn Array>;
        let number =
            |values: [i64; 4]| Arc::new(Int64Array::from(values.to_vec())) as Arc<dyn Array>;
        let batch = RecordBatch::try_from_iter([
            ("producer", text(["p", "q", "p", "p"])),
            ("generation", number([1, 7, 2, 0])),
            ("first", number([30, 0, 30, 10])),
            ("way", text(["closed", "load", "stream", "stream"])),
            ("stream", text(["", "", "s2", "s1"])),
        ]);
        let mut found = None;
        look(batch.as_ref().unwrap(), "p", &mut found).unwrap();
        let way = Way::Stream("s2".into());
        assert_eq!(found, Some(Place { generation: 2, began: 10, first: 30, way }));
        let mut none = None;
        look(batch.as_ref().unwrap(), "r", &mut none).unwrap();
        assert_eq!(none, None);
    }
}
