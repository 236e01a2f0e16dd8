//! Batches: reduced, joined, compared.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, ListArray, RecordBatch, RecordBatchOptions,
    StringViewArray, StructArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use clicktrail_engine::EngineError;

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

/// The columns of `schema` out of a batch, by name, in its types; of structs and lists only its fields.
pub(super) fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    let schema = nullable(schema);
    if *batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            column_as(named(batch.column_by_name(field.name()), field)?, field.data_type())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(arrow_fault)?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow_fault)
}

fn named<'c>(column: Option<&'c ArrayRef>, field: &Field) -> Result<&'c ArrayRef, ArrowError> {
    column.ok_or_else(|| ArrowError::SchemaError(format!("column `{}` is missing", field.name())))
}

fn column_as(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    match (data_type, column.as_struct_opt(), column.as_list_opt::<i32>()) {
        (DataType::Struct(fields), Some(whole), _) => {
            let children = fields
                .iter()
                .map(|field| {
                    column_as(named(whole.column_by_name(field.name()), field)?, field.data_type())
                })
                .collect::<Result<Vec<_>, _>>()?;
            let nulls = whole.nulls().cloned();
            Ok(Arc::new(StructArray::try_new(fields.clone(), children, nulls)?))
        }
        (DataType::List(item), _, Some(whole)) => {
            let values = column_as(whole.values(), item.data_type())?;
            let (offsets, nulls) = (whole.offsets().clone(), whole.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        _ => cast(column, data_type),
    }
}

/// The schema with every column nullable.
pub(super) fn nullable(schema: &SchemaRef) -> SchemaRef {
    if schema.fields().iter().all(|field| field.is_nullable()) {
        return Arc::clone(schema);
    }
    let fields: Vec<_> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// The same of several batches, as one.
pub(super) fn joined(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let batches =
        batches.iter().map(|batch| shaped(batch, schema)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&nullable(schema), &batches).map_err(arrow_fault)?)
}

/// A column of texts.
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

/// What arrow or the file of live rows says, as an error of ours.
pub(crate) fn arrow_fault(error: ArrowError) -> EngineError {
    match error {
        ArrowError::IoError(place, source) => {
            EngineError::Io { action: "keep live rows in", path: place.into(), source }
        }
        error => EngineError::Internal(error.to_string()),
    }
}

pub(super) fn fault(message: impl Into<String>) -> PipelineError {
    EngineError::Internal(message.into()).into()
}
