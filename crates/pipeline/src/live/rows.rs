//! Batches: reduced, joined, compared.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringViewArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::keyed_rows::nullable;
use crate::error::{PipelineError, Result};
use crate::feeds::DAY;

/// Rows in an order of their own, so that equal ones compare equal however they came.
pub(super) fn bag(rows: &RecordBatch) -> Result<Vec<OwnedRow>> {
    let fields =
        rows.columns().iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(arrow_fault)?;
    let converted = converter.convert_columns(rows.columns()).map_err(arrow_fault)?;
    let mut rows: Vec<_> = converted.iter().map(|row| row.owned()).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// Whether two rows hold the same values.
pub(super) fn same(one: &RecordBatch, row: usize, other: &RecordBatch, other_row: usize) -> bool {
    one.columns()
        .iter()
        .zip(other.columns())
        .all(|(one, other)| one.slice(row, 1).as_ref() == other.slice(other_row, 1).as_ref())
}

/// The columns of `schema` out of a batch, by name, in its types.
pub(super) fn shaped(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, clicktrail_engine::EngineError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = batch.column_by_name(field.name()).ok_or_else(|| {
                clicktrail_engine::EngineError::Internal(format!(
                    "column `{}` is missing",
                    field.name()
                ))
            })?;
            match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast(column, field.data_type()).map_err(arrow_fault),
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    RecordBatch::try_new(nullable(schema), columns).map_err(arrow_fault)
}

pub(super) fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let batches =
        batches.iter().map(|batch| shaped(batch, schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&nullable(schema), &batches).map_err(arrow_fault)?)
}

pub(super) fn texts<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringViewArray> {
    batch
        .column_by_name(column)
        .and_then(|column| column.as_string_view_opt())
        .ok_or_else(|| fault(format!("`{column}` is not a column of texts")))
}

/// The reporting day of each row, as days since 1970.
pub(super) fn dates(batch: &RecordBatch) -> Result<Date32Array> {
    let column = batch
        .column_by_name(DAY)
        .ok_or_else(|| fault(format!("the staged rows have no column `{DAY}`")))?;
    let days = cast(column, &DataType::Date32).map_err(arrow_fault)?;
    Ok(days.as_primitive::<Date32Type>().clone())
}

pub(super) fn arrow_fault(error: arrow::error::ArrowError) -> clicktrail_engine::EngineError {
    clicktrail_engine::EngineError::Internal(error.to_string())
}

pub(super) fn fault(message: impl Into<String>) -> PipelineError {
    clicktrail_engine::EngineError::Internal(message.into()).into()
}
