//! Writes batches into one export file; the file has its name only when it is complete.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression as ParquetCompression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::table::physical_schema;
use crate::ndjson::write_rows;
use crate::{Format, IngestError};

/// Rows of a Parquet row group: bounds the writer's memory to some ten megabytes.
const ROW_GROUP_ROWS: usize = 100_000;

/// Text is handed on in pieces of this size.
const TEXT_BYTES: usize = 1 << 20;

/// A file in the making.
pub(super) struct ExportWriter {
    path: PathBuf,
    /// Where it grows: beside its place, hidden from readers by the leading dot.
    partial: PathBuf,
    sink: Sink,
    text: Vec<u8>,
}

enum Sink {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Text(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

impl ExportWriter {
    /// Starts the file `name` in `folder`.
    pub(super) fn create(folder: &Path, name: &str, format: Format) -> Result<Self, IngestError> {
        let (path, partial) = (folder.join(name), folder.join(format!(".{name}.partial")));
        let file = File::create(&partial).map_err(|error| IngestError::write(&partial, error))?;
        let file = BufWriter::new(file);
        let sink = match format {
            Format::Parquet => Sink::Parquet(Box::new(parquet_writer(file)?)),
            Format::Ndjson { gzip: false } => Sink::Text(file),
            Format::Ndjson { gzip: true } => {
                Sink::Gzip(Box::new(GzEncoder::new(file, Compression::fast())))
            }
        };
        Ok(Self { path, partial, sink, text: Vec::new() })
    }

    /// Adds the rows of `batch`.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), IngestError> {
        let failed = |error| IngestError::write(&self.partial, error);
        if let Sink::Parquet(writer) = &mut self.sink {
            return writer.write(batch).map_err(|error| failed(std::io::Error::other(error)));
        }
        write_rows(batch, &mut self.text);
        if self.text.len() >= TEXT_BYTES { self.flush_text() } else { Ok(()) }
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self) -> Result<PathBuf, IngestError> {
        self.flush_text()?;
        let written = match self.sink {
            Sink::Parquet(writer) => writer.into_inner().map_err(std::io::Error::other),
            Sink::Text(file) => Ok(file),
            Sink::Gzip(writer) => writer.finish(),
        };
        written
            .and_then(|mut file| file.flush())
            .and_then(|()| std::fs::rename(&self.partial, &self.path))
            .map_err(|error| IngestError::write(&self.partial, error))?;
        Ok(self.path)
    }

    fn flush_text(&mut self) -> Result<(), IngestError> {
        let written = match &mut self.sink {
            Sink::Parquet(_) => Ok(()),
            Sink::Text(file) => file.write_all(&self.text),
            Sink::Gzip(writer) => writer.write_all(&self.text),
        };
        self.text.clear();
        written.map_err(|error| IngestError::write(&self.partial, error))
    }
}

fn parquet_writer(file: BufWriter<File>) -> Result<ArrowWriter<BufWriter<File>>, IngestError> {
    let properties = WriterProperties::builder()
        .set_compression(ParquetCompression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_created_by("clicktrail".to_owned())
        // Hardly a value repeats in these: a dictionary would only cost time.
        .set_column_dictionary_enabled("event_timestamp".into(), false)
        .set_column_dictionary_enabled("event_bundle_sequence_id".into(), false)
        .build();
    // Without the Arrow schema the file looks as BigQuery writes it: plain strings.
    let options =
        ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, physical_schema(), options)
        .map_err(IngestError::internal)
}
