//! Which rows a unit is, and rows as they are kept between members.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::scope::{Unit, dashed, literal};
use crate::catalog::quoted;
use crate::error::Result;

/// Name of the slot with the keys of a [`Unit::Keys`].
pub(super) const KEYS: &str = "__keys";

pub(super) fn keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8View, false)]))
}

pub(super) fn keys_batch(keys: &BTreeSet<String>) -> Result<RecordBatch> {
    let column = StringViewArray::from_iter_values(keys.iter());
    RecordBatch::try_new(keys_schema(), vec![Arc::new(column)])
        .map_err(|error| clicktrail_engine::EngineError::Internal(error.to_string()).into())
}

/// The part of a query that picks a unit's rows.
pub(super) fn condition(unit: &Unit, key: &str, data_type: &DataType) -> String {
    let column = quoted(key);
    match unit {
        Unit::Day(day) => format!("where {column} = {}", literal(&dashed(day), data_type)),
        Unit::Keys(_) => {
            format!("left semi join {KEYS} on cast({column} as varchar) = {KEYS}.\"key\"")
        }
        Unit::Range(None, None) => String::new(),
        // Rows without a key belong to the first range.
        Unit::Range(None, Some(upper)) => {
            format!("where {column} < {} or {column} is null", literal(upper, data_type))
        }
        Unit::Range(Some(lower), None) => {
            format!("where {column} >= {}", literal(lower, data_type))
        }
        Unit::Range(Some(lower), Some(upper)) => {
            format!(
                "where {column} >= {} and {column} < {}",
                literal(lower, data_type),
                literal(upper, data_type)
            )
        }
    }
}

/// Copies the texts of a batch together: as they come, they are views into buffers of many other rows, which
/// would all stay in memory, and be counted again and again by sorts.
pub(super) fn compact(batch: &RecordBatch) -> RecordBatch {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(texts) if is_sparse(texts) => Arc::new(texts.gc()) as ArrayRef,
            _ => Arc::clone(column),
        })
        .collect();
    RecordBatch::try_new(batch.schema(), columns).unwrap_or_else(|_| batch.clone())
}

/// Whether less than half of the bytes that an array holds are its own.
fn is_sparse(texts: &StringViewArray) -> bool {
    let held: usize = texts.data_buffers().iter().map(|buffer| buffer.len()).sum();
    // Texts of up to 12 bytes lie in the view itself.
    let own: usize =
        texts.lengths().map(|length| length as usize).filter(|length| *length > 12).sum();
    held > 2 * own + (64 << 10)
}
