//! Parquet export files: leaf-precise reading, matched by name, adapted to the canonical types.
//!
//! `select` picks the leaves to decode, `adapt` turns what was decoded into canonical columns.

mod adapt;
mod select;

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::array::{RecordBatch, RecordBatchReader as _};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use self::adapt::Adapter;
use crate::reader::{Batches, RequiredColumns};
use crate::{IngestError, ReadOptions};

/// Every Parquet file ends, and usually starts, with these bytes.
const MAGIC: &[u8] = b"PAR1";

/// Opens `path`; reads its footer only.
pub(crate) fn read(
    path: &Path,
    schema: &SchemaRef,
    options: &ReadOptions,
) -> Result<Batches, IngestError> {
    let (file, metadata) = open(path)?;
    let selection = select::select(metadata.parquet_schema(), metadata.schema(), schema);
    if !selection.is_export {
        return Err(IngestError::NotAnExport { path: path.to_owned() });
    }
    let hinted = ArrowReaderOptions::new().with_schema(selection.hint);
    let metadata =
        guard(path, || Ok(ArrowReaderMetadata::try_new(metadata.metadata().clone(), hinted)?))?;
    let reader = guard(path, || {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_projection(selection.mask)
            .with_batch_size(options.batch_rows.max(1));
        Ok(builder.build()?)
    })?;
    let adapter = Adapter::plan(path, &reader.schema(), schema)?;
    let required = RequiredColumns::new(path, schema, options);
    Ok(Box::new(ParquetBatches { path: path.to_owned(), reader, adapter, required }))
}

/// The days of a file whose every row group tells by its statistics that it has one day only.
pub(crate) fn days_by_statistics(path: &Path) -> Result<Option<BTreeSet<String>>, IngestError> {
    let (_, metadata) = open(path)?;
    let columns = metadata.parquet_schema().columns();
    let is_date = |path: &[String]| path.len() == 1 && path[0] == "event_date";
    let Some(column) = columns.iter().position(|c| is_date(c.path().parts())) else {
        return Ok(None);
    };
    let mut days = BTreeSet::new();
    for group in metadata.metadata().row_groups() {
        let Some(Statistics::ByteArray(values)) = group.column(column).statistics() else {
            return Ok(None);
        };
        let (Some(least), Some(most)) = (values.min_opt(), values.max_opt()) else {
            return Ok(None);
        };
        let exact = values.min_is_exact() && values.max_is_exact() && least == most;
        match least.as_utf8() {
            Ok(day) if exact => days.insert(day.to_owned()),
            _ => return Ok(None),
        };
    }
    Ok(Some(days))
}

struct ParquetBatches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    adapter: Adapter,
    required: RequiredColumns,
}

impl Iterator for ParquetBatches {
    type Item = Result<RecordBatch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = &mut self.reader;
        let batch = match guard(&self.path, || Ok(reader.next().transpose()?)) {
            Ok(batch) => batch?,
            Err(error) => return Some(Err(error)),
        };
        let adapted = self.adapter.apply(&self.path, &batch);
        Some(adapted.and_then(|batch| self.required.check(batch)))
    }
}

fn open(path: &Path) -> Result<(File, ArrowReaderMetadata), IngestError> {
    let mut file = File::open(path).map_err(|error| IngestError::read(path, error))?;
    let bytes = check_magic(path, &mut file)?;
    // Types come from the Parquet schema alone: an embedded Arrow schema may ask for dictionaries,
    // large strings and so on, which we would only convert again.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = guard(path, || {
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        check_footer(metadata.metadata(), bytes)?;
        Ok(metadata)
    })?;
    Ok((file, metadata))
}

/// Returns the length of a file that is Parquet at both of its ends.
fn check_magic(path: &Path, file: &mut File) -> Result<u64, IngestError> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let read = |error| IngestError::read(path, error);
    let bytes = file.metadata().map_err(read)?.len();
    if bytes == 0 {
        return Err(IngestError::EmptyFile { path: path.to_owned() });
    }
    let mut start = [0; 4];
    let starts = bytes >= 4 && file.read_exact(&mut start).is_ok() && start == MAGIC;
    let mut end = [0; 4];
    let ends = bytes >= 12
        && file.seek(SeekFrom::End(-4)).is_ok()
        && file.read_exact(&mut end).is_ok()
        && end == MAGIC;
    file.rewind().map_err(read)?;
    match (starts, ends) {
        (_, true) => Ok(bytes),
        (true, false) => Err(IngestError::CorruptParquet {
            path: path.to_owned(),
            detail: format!("it ends after {bytes} bytes without the Parquet footer"),
            source: None,
        }),
        (false, false) => Err(IngestError::NotParquet { path: path.to_owned() }),
    }
}

/// What decoding can fail with: Parquet's own error, or Arrow's around it.
struct DecodeError(ParquetError);

impl From<ParquetError> for DecodeError {
    fn from(error: ParquetError) -> Self {
        Self(error)
    }
}

impl From<ArrowError> for DecodeError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => match inner.downcast::<ParquetError>() {
                Ok(inner) => Self(*inner),
                Err(inner) => Self(ParquetError::External(inner)),
            },
            other => Self(ParquetError::ArrowError(other.to_string())),
        }
    }
}

/// Runs a decoding step; its errors come back naming the file.
///
/// The decoder panics on some damaged bytes (found by flipping bits); those panics become errors
/// too. What it worked on must not be used again.
fn guard<T>(
    path: &Path,
    decode: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, IngestError> {
    let outcome = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let detail = text.unwrap_or("the decoder gave up").to_owned();
        Err(DecodeError(ParquetError::General(detail)))
    });
    outcome.map_err(|DecodeError(error)| match error {
        ParquetError::External(inner) if inner.is::<std::io::Error>() => {
            match inner.downcast::<std::io::Error>() {
                Ok(source) => IngestError::read(path, *source),
                Err(inner) => corrupt(path, ParquetError::External(inner)),
            }
        }
        error => corrupt(path, error),
    })
}

/// Refuses a footer that points outside of the file; the decoder would panic or ask for gigabytes.
fn check_footer(metadata: &ParquetMetaData, bytes: u64) -> Result<(), DecodeError> {
    let is_within = |start: i64, length: i64| {
        start >= 0 && length >= 0 && start.saturating_add(length) as u64 <= bytes
    };
    for (number, group) in metadata.row_groups().iter().enumerate() {
        for column in group.columns() {
            let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
            let is_within = is_within(start, column.compressed_size())
                && is_within(column.data_page_offset(), 0);
            if !is_within || column.num_values() < 0 || group.num_rows() < 0 {
                let column = column.column_path().string();
                let text =
                    format!("row group {number}, column `{column}` lies outside of the file");
                return Err(DecodeError(ParquetError::General(text)));
            }
        }
    }
    Ok(())
}

fn corrupt(path: &Path, error: ParquetError) -> IngestError {
    let text = match &error {
        ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
        other => other.to_string(),
    };
    let detail = text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
    IngestError::CorruptParquet { path: path.to_owned(), detail, source: Some(error) }
}

/// A type as an error message shows it: the words of the export, not Arrow's.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::Int64 => "INT64".to_owned(),
        DataType::Float64 => "FLOAT64".to_owned(),
        DataType::Boolean => "BOOL".to_owned(),
        DataType::Struct(_) => "a struct".to_owned(),
        DataType::List(element) => match element.data_type() {
            DataType::Struct(_) => "a repeated struct".to_owned(),
            other => format!("repeated {}", type_name(other)),
        },
        other => other.to_string(),
    }
}
