//! The table `events_dead_letter`: events that were refused, so that none is lost.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use clicktrail_ingest::collect::DeadLetter;

use super::rows::arrow_fault;
use crate::catalog::literal;
use crate::error::Result;
use crate::warehouse::Warehouse;
use crate::workspace::{QueryResult, Workspace};

/// The table's name.
pub(crate) const TABLE: &str = "events_dead_letter";

/// Adds the letters of frames up to `seq`, each with its frame; those of frames that are there already are left
/// out.
pub(crate) fn append(
    warehouse: &Warehouse,
    letters: &[(u64, DeadLetter)],
    seq: u64,
    at_micros: i64,
) -> Result<()> {
    let base = warehouse.snapshot(TABLE)?;
    let stored = base.and_then(|base| base.note["seq"].as_u64()).unwrap_or(0);
    let letters: Vec<&(u64, DeadLetter)> =
        letters.iter().filter(|(seq, _)| *seq > stored).collect();
    if letters.is_empty() {
        return Ok(());
    }
    let texts = |value: &dyn Fn(&DeadLetter) -> String| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(letters.iter().map(|(_, letter)| value(letter))))
    };
    let numbers = |value: &dyn Fn(u64, &DeadLetter) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(
            letters.iter().map(|(seq, letter)| value(*seq, letter)),
        ))
    };
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("seq", DataType::Int64),
        field("received_at", DataType::Int64),
        field("route", DataType::Utf8View),
        field("position", DataType::Int64),
        field("reason", DataType::Utf8View),
        field("detail", DataType::Utf8View),
        field("raw", DataType::Utf8View),
    ]));
    let batch = RecordBatch::try_new(
        schema,
        vec![
            numbers(&|seq, _| i64::try_from(seq).unwrap_or(i64::MAX)),
            numbers(&|_, letter| letter.received_at),
            texts(&|letter| letter.route.clone()),
            numbers(&|_, letter| i64::try_from(letter.index).unwrap_or(i64::MAX)),
            texts(&|letter| letter.reason.clone()),
            texts(&|letter| letter.detail.clone()),
            texts(&|letter| String::from_utf8_lossy(&letter.raw).into_owned()),
        ],
    )
    .map_err(arrow_fault)?;
    warehouse.append(TABLE, &batch, serde_json::json!({"seq": seq}), at_micros)
}

/// Which refused events are wanted; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// Code of the reason.
    pub reason: Option<String>,
    /// Route they came by, such as `/mp/collect`.
    pub route: Option<String>,
}

impl Workspace {
    /// Refused events of the table `events_dead_letter`, oldest first; none where it does not exist.
    ///
    /// # Errors
    /// A table that can't be read.
    pub fn dead_letters(&self, filter: &LetterFilter) -> Result<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        for batch in self.dead_letter_rows(filter)?.iter().flat_map(|result| &result.batches) {
            let number =
                |column: usize, row| batch.column(column).as_primitive::<Int64Type>().value(row);
            let text =
                |column: usize, row| batch.column(column).as_string_view().value(row).to_owned();
            letters.extend((0..batch.num_rows()).map(|row| DeadLetter {
                received_at: number(0, row),
                index: usize::try_from(number(1, row)).unwrap_or(usize::MAX),
                route: text(2, row),
                reason: text(3, row),
                detail: text(4, row),
                raw: text(5, row).into_bytes(),
            }));
        }
        Ok(letters)
    }

    /// Refused events counted by route and reason; `None` where there is no such table.
    ///
    /// # Errors
    /// A table that can't be read.
    pub fn dead_letter_counts(&self) -> Result<Option<QueryResult>> {
        self.of_dead_letters(&format!(
            "select route, reason, count(*) as events, min(received_at) as first_received_at, \
             max(received_at) as last_received_at \
             from {TABLE} group by route, reason order by events desc, route, reason"
        ))
    }

    /// Refused events as rows, oldest first, with `received_at` in microseconds since 1970; `None` where there is no such table.
    ///
    /// # Errors
    /// A table that can't be read.
    pub fn dead_letter_rows(&self, filter: &LetterFilter) -> Result<Option<QueryResult>> {
        let is = |column: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{column} = {}", literal(value)))
        };
        let wanted: Vec<String> = [is("reason", &filter.reason), is("route", &filter.route)]
            .into_iter()
            .flatten()
            .collect();
        let wanted = match wanted.is_empty() {
            true => String::new(),
            false => format!("where {}", wanted.join(" and ")),
        };
        self.of_dead_letters(&format!(
            "select received_at, position, route, reason, detail, raw \
             from {TABLE} {wanted} order by seq, position"
        ))
    }

    fn of_dead_letters(&self, sql: &str) -> Result<Option<QueryResult>> {
        match self.warehouse.snapshot(TABLE)? {
            Some(_) => self.query(sql).map(Some),
            None => Ok(None),
        }
    }

    /// The property's time zone, of var `timezone`.
    ///
    /// # Errors
    /// A var that names no time zone.
    pub fn time_zone(&self) -> Result<chrono_tz::Tz> {
        super::days::time_zone(self)
    }
}
