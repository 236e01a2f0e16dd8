//! Raw rows reduced to the leaves that the models read.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// The rows in `schema`, whose columns and fields are among theirs by name.
pub(super) fn narrow(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let column = rows.column_by_name(field.name()).ok_or_else(|| missing(field.name()))?;
            column_as(column, field.data_type())
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn column_as(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    match data_type {
        DataType::Struct(fields) => {
            let whole = column.as_struct_opt().ok_or_else(|| missing("struct"))?;
            let children = fields
                .iter()
                .map(|field| {
                    let child =
                        whole.column_by_name(field.name()).ok_or_else(|| missing(field.name()))?;
                    column_as(child, field.data_type())
                })
                .collect::<Result<Vec<_>, _>>()?;
            let nulls = whole.nulls().cloned();
            Ok(Arc::new(StructArray::try_new(fields.clone(), children, nulls)?))
        }
        DataType::List(item) => {
            let whole = column.as_list_opt::<i32>().ok_or_else(|| missing("list"))?;
            let values = column_as(whole.values(), item.data_type())?;
            let (offsets, nulls) = (whole.offsets().clone(), whole.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
        }
        other => arrow::compute::cast(column, other),
    }
}

fn missing(name: &str) -> ArrowError {
    ArrowError::SchemaError(format!("raw rows have no `{name}`"))
}
