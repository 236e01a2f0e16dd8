//! NDJSON export files: reading, and writing rows in the shape BigQuery extracts.
//!
//! `lines` splits bytes, `decode` parses a line straight into the builders of `column`, and a bad
//! line leaves a row behind that is filtered out when its batch is finished. Rows of the log have a shorter form of event params,
//! `plain_params`.

mod decode;
mod lines;
mod plain_params;
mod write;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{FieldRef, Fields, SchemaRef};
use flate2::read::MultiGzDecoder;

use self::lines::{LINE_BYTES_MAX, Line, Lines};
pub use self::write::write_rows;
pub(crate) use self::write::{write_bare_text, write_float, write_int, write_text};
use crate::column::{Build, Column, StructBuild};
use crate::reader::{Batches, REQUIRED, missing_reason};
use crate::{IngestError, ReadOptions, Rejects, schema};

/// Bytes of compressed input read at a time.
const GZIP_BUFFER_BYTES: usize = 1 << 16;

/// Bytes of text after which a batch ends early, so that rows of many megabytes stay bounded.
const BATCH_TEXT_BYTES_MAX: u64 = 64 << 20;

/// Opens `path`; reads nothing yet.
pub(crate) fn read(
    path: &Path,
    gzip: bool,
    schema: &SchemaRef,
    options: &ReadOptions,
) -> Result<Batches, IngestError> {
    let file = File::open(path).map_err(|error| IngestError::read(path, error))?;
    let source: Box<dyn Read + Send> = if gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(GZIP_BUFFER_BYTES, file)))
    } else {
        Box::new(file)
    };
    Ok(Box::new(NdjsonBatches {
        path: path.to_owned(),
        gzip,
        lines: Lines::new(source),
        columns: StructBuild::new(&with_required(schema), ""),
        schema: Arc::clone(schema),
        batch_rows: options.batch_rows.max(1),
        rejects: Arc::clone(&options.rejects),
    }))
}

/// Reads NDJSON payloads that hold canonical rows only as one batch, see [`crate::collect::decode`].
pub(crate) fn decode_payloads<'a>(
    payloads: impl IntoIterator<Item = &'a [u8]>,
    columns: Option<&[String]>,
) -> Result<RecordBatch, IngestError> {
    let schema = columns.map_or_else(|| Ok(schema::events()), schema::project)?;
    let mut builder = StructBuild::new(schema.fields(), "");
    builder.take_plain("event_params");
    for (payload, bytes) in payloads.into_iter().enumerate() {
        for (line, bytes) in lines_of(bytes).enumerate().filter(|(_, line)| !line.is_empty()) {
            let bad = |reason| IngestError::BadPayload { payload, line: line + 1, reason };
            let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
            decode::row(text, &mut builder).map_err(|error| bad(json_reason(&error)))?;
            builder.close();
        }
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(builder.len()));
    let columns = builder.finish_children().map_err(IngestError::internal)?;
    RecordBatch::try_new_with_options(schema, columns, &rows).map_err(IngestError::internal)
}

/// The lines of some bytes, without their ends.
pub(crate) fn lines_of(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
    ends.map(move |end| &bytes[std::mem::replace(&mut start, end + 1)..end])
}

/// The wanted columns, then the required ones not among them: those are read to judge the row.
fn with_required(wanted: &SchemaRef) -> Fields {
    let all = schema::events();
    let missing = REQUIRED.iter().filter(|name| wanted.index_of(name).is_err());
    let missing = missing.filter_map(|name| all.fields().find(name));
    wanted
        .fields()
        .iter()
        .cloned()
        .chain(missing.map(|(_, field)| FieldRef::clone(field)))
        .collect()
}

struct NdjsonBatches {
    path: PathBuf,
    gzip: bool,
    lines: Lines<Box<dyn Read + Send>>,
    columns: StructBuild,
    schema: SchemaRef,
    batch_rows: usize,
    rejects: Arc<Rejects>,
}

impl Iterator for NdjsonBatches {
    type Item = Result<RecordBatch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_batch() {
                // A batch of bad rows only is not the end.
                Ok(Some(batch)) if batch.num_rows() == 0 => {}
                other => return other.transpose(),
            }
        }
    }
}

impl NdjsonBatches {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, IngestError> {
        let mut keep = Vec::new();
        let start = self.lines.offset;
        while keep.len() < self.batch_rows && self.lines.offset - start < BATCH_TEXT_BYTES_MAX {
            let (lines, bytes) = (self.lines.number, self.lines.offset);
            let line = self.lines.next_line();
            let Some(line) =
                line.map_err(|e| read_error(&self.path, self.gzip, lines, bytes, e))?
            else {
                break;
            };
            if line.bytes.trim_ascii().is_empty() && !line.overlong {
                continue;
            }
            let outcome = read_line(&line, &mut self.columns);
            self.columns.close();
            keep.push(outcome.is_ok());
            if let Err(reason) = outcome {
                self.rejects.push(&self.path, line.number, reason, line.bytes)?;
            }
        }
        if keep.is_empty() { Ok(None) } else { self.finish(keep).map(Some) }
    }

    fn finish(&mut self, keep: Vec<bool>) -> Result<RecordBatch, IngestError> {
        let mut columns = self.columns.finish_children().map_err(IngestError::internal)?;
        columns.truncate(self.schema.fields().len());
        let rows = RecordBatchOptions::new().with_row_count(Some(keep.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &rows)
            .map_err(IngestError::internal)?;
        if keep.iter().all(|&keep| keep) {
            return Ok(batch);
        }
        filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(IngestError::internal)
    }
}

/// Reads one line into `columns`, or says why it is bad.
fn read_line(line: &Line<'_>, columns: &mut StructBuild) -> Result<(), String> {
    if line.overlong {
        return Err(format!("line is longer than {} MiB", LINE_BYTES_MAX >> 20));
    }
    let text = std::str::from_utf8(line.bytes).map_err(|error| {
        let column = error.valid_up_to();
        format!(
            "invalid UTF-8 at byte {} of the line, offset {} of the file's text",
            column + 1,
            line.offset + column as u64
        )
    })?;
    decode::row(text, columns).map_err(|error| json_reason(&error))?;
    let row = columns.len();
    for name in REQUIRED {
        let found = columns.find(name, 0).map(|index| &columns.children[index]);
        if !found.is_some_and(|column| has_value(column, row)) {
            return Err(missing_reason(name));
        }
    }
    Ok(())
}

/// True when the row in the making has a value that is not null.
fn has_value(column: &Column, row: usize) -> bool {
    let valid = match &column.build {
        Build::Text(builder) => builder.validity_slice().map(|bits| is_set(bits, row)),
        Build::Int(builder) => builder.validity_slice().map(|bits| is_set(bits, row)),
        _ => None,
    };
    column.len() > row && valid.unwrap_or(true)
}

fn is_set(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// serde_json's message with the column as a byte of the line; its line is always 1.
pub(crate) fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("{} at byte {} of the line", &text[..end], error.column()),
        None => text,
    }
}

fn read_error(path: &Path, gzip: bool, line: u64, byte: u64, source: io::Error) -> IngestError {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match source.kind() {
        InvalidData | InvalidInput | UnexpectedEof if gzip => {
            IngestError::Gzip { path: path.to_owned(), line, byte, source }
        }
        _ => IngestError::read(path, source),
    }
}
