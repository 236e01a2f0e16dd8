//! Rows of several batches in an order of their own.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// Columns without a value, by type: whoever makes many batches keeps them.
#[derive(Debug, Default)]
pub(super) struct Nulls(BTreeMap<DataType, ArrayRef>);

impl Nulls {
    fn of(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        if let Some(nulls) = self.0.get(data_type).filter(|nulls| nulls.len() >= rows) {
            return nulls.slice(0, rows);
        }
        let nulls = new_null_array(data_type, rows);
        self.0.insert(data_type.clone(), ArrayRef::clone(&nulls));
        nulls
    }
}

/// One batch of `rows`, each the number of a batch and of a row in it. Columns that are null in all batches, as most columns of
/// events are, are not copied.
///
/// # Errors
/// Batches of other columns than the schema's.
pub(super) fn interleaved(
    schema: &SchemaRef,
    batches: &[&RecordBatch],
    rows: &[(usize, usize)],
    nulls: &mut Nulls,
) -> Result<RecordBatch, ArrowError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (column, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&dyn Array> =
            batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        let is_null = arrays.iter().all(|array| array.null_count() == array.len());
        columns.push(match is_null {
            true => nulls.of(field.data_type(), rows.len()),
            false => interleave(&arrays, rows)?,
        });
    }
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}
