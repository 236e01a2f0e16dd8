//! Rows of several batches in an order of their own.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

/// One batch of `rows`, each the number of a batch and of a row in it. Columns that are null in all batches, as most columns of
/// events are, are not copied.
///
/// # Errors
/// Batches of other columns than the schema's.
pub(super) fn interleaved(
    schema: &SchemaRef,
    batches: &[&RecordBatch],
    rows: &[(usize, usize)],
) -> Result<RecordBatch, ArrowError> {
    let mut nulls: BTreeMap<&DataType, ArrayRef> = BTreeMap::new();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (column, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&dyn Array> =
            batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        let is_null = arrays.iter().all(|array| array.null_count() == array.len());
        columns.push(match is_null {
            true => {
                let nulls = nulls.entry(field.data_type());
                ArrayRef::clone(
                    nulls.or_insert_with(|| new_null_array(field.data_type(), rows.len())),
                )
            }
            false => interleave(&arrays, rows)?,
        });
    }
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}
