//! Rows of several batches in an order of their own.

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use clicktrail_ingest::all_null;

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
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (column, field) in schema.fields().iter().enumerate() {
        let arrays: Vec<&dyn Array> =
            batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        let is_null = arrays.iter().all(|array| array.null_count() == array.len());
        columns.push(match is_null {
            true => all_null(field.data_type(), rows.len()),
            false => interleave(&arrays, rows)?,
        });
    }
    RecordBatch::try_new(SchemaRef::clone(schema), columns)
}
