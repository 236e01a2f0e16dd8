//! NDJSON export files: reading, and writing rows in the shape BigQuery extracts.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::reader::Batches;
use crate::{IngestError, ReadOptions};

pub(crate) fn read(
    path: &Path,
    gzip: bool,
    schema: &SchemaRef,
    options: &ReadOptions,
) -> Result<Batches, IngestError> {
    let _ = (path, gzip, schema, options);
    Err(IngestError::internal("not written yet"))
}

/// Writes `batch` to `out` as NDJSON in the shape of a BigQuery extract: INT64 as strings, null
/// fields omitted, an empty repeated field as `[]`, a struct of nulls as `{}`.
pub fn write_rows(batch: &RecordBatch, out: &mut Vec<u8>) {
    let _ = (batch, out);
}
