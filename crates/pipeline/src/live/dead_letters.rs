//! The table `events_dead_letter`: events that were refused, so that none is lost.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use clicktrail_ingest::collect::DeadLetter;

use super::rows::arrow_fault;
use crate::error::Result;
use crate::warehouse::Warehouse;

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
