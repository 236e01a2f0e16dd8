//! Rows of a table as a Parquet file that says which version of the table it holds.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::error::{EngineError, Result};

/// Key of the version in the file's metadata.
const VERSION: &str = "clicktrail.bigquery.version";

/// A file being written.
pub struct ParquetRows {
    writer: ArrowWriter<File>,
}

impl std::fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetRows").finish_non_exhaustive()
    }
}

impl ParquetRows {
    /// Begins a file.
    ///
    /// # Errors
    /// A schema that Parquet can't hold.
    pub fn new(file: File, schema: SchemaRef, version: &str) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_key_value_metadata(Some(vec![KeyValue::new(
                VERSION.to_owned(),
                version.to_owned(),
            )]))
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(internal)?;
        Ok(Self { writer })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(internal)
    }

    /// Ends the file; it is on disk then.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn finish(mut self) -> Result<()> {
        self.writer.finish().map_err(internal)?;
        self.writer.inner().sync_all().map_err(internal)
    }

    /// The version that a file holds; `None` when there is no such file.
    pub fn version_of(path: &Path) -> Option<String> {
        let reader = SerializedFileReader::new(File::open(path).ok()?).ok()?;
        let pairs = reader.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == VERSION)?.value.clone()
    }
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("rows of BigQuery: {error}"))
}
