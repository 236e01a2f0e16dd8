//! One integration binary: the public API on real and synthetic files.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod collect;
mod damage;
mod errors;
mod finding;
mod fixtures;
mod generated;
mod projection;
mod sample;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use clicktrail_ingest::{ExportFile, IngestError, ReadOptions, Rejects, open};

/// Reads a whole file as one batch.
fn read(path: &Path, options: &ReadOptions) -> Result<RecordBatch, IngestError> {
    let reader = open(&ExportFile::at(path)?, options)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

/// Options that tolerate `max_bad_rows`.
fn tolerant(max_bad_rows: u64) -> ReadOptions {
    ReadOptions { rejects: Rejects::new(max_bad_rows), ..ReadOptions::default() }
}

/// Options that read only `columns`.
fn only(columns: &[&str]) -> ReadOptions {
    let columns = Some(columns.iter().map(|&column| column.to_owned()).collect());
    ReadOptions { columns, ..ReadOptions::default() }
}

/// Writes `bytes` into a file of `folder`.
fn file(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// A batch as NDJSON lines.
fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    clicktrail_ingest::write_ndjson_rows(batch, &mut out);
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}
