//! One export file to record batches, whatever its format.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::discover::{ExportFile, Format};
use crate::{IngestError, Rejects, ndjson, parquet, schema};

/// Rows of a batch when the caller sets none: the batch size that query engines like.
pub const BATCH_ROWS_DEFAULT: usize = 8192;

/// How to read a file.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Dotted paths to read, see [`schema::project`]; `None` reads all 31 columns.
    pub columns: Option<Vec<String>>,
    /// Most rows of a batch; [`BATCH_ROWS_DEFAULT`] by default, at least 1.
    pub batch_rows: usize,
    /// Where bad rows go; shared by all readers of a load. None tolerated by default.
    pub rejects: Arc<Rejects>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { columns: None, batch_rows: BATCH_ROWS_DEFAULT, rejects: Rejects::new(0) }
    }
}

impl ReadOptions {
    /// Schema of the batches these options give.
    ///
    /// # Errors
    /// [`IngestError::UnknownColumn`] when a path does not exist.
    pub fn schema(&self) -> Result<SchemaRef, IngestError> {
        self.columns.as_ref().map_or_else(|| Ok(schema::events()), |paths| schema::project(paths))
    }
}

/// Record batches of one file, in file order, each with the schema of the options.
///
/// After an error the reader is done: the next item is `None`.
pub struct EventReader {
    schema: SchemaRef,
    batches: Option<Box<dyn Iterator<Item = Result<RecordBatch, IngestError>> + Send>>,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl EventReader {
    /// Schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Iterator for EventReader {
    type Item = Result<RecordBatch, IngestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.batches.as_mut()?.next();
        if !matches!(item, Some(Ok(_))) {
            self.batches = None;
        }
        item
    }
}

/// Opens one export file.
///
/// For Parquet only the footer is read here; for NDJSON nothing but the first bytes.
///
/// # Errors
/// [`IngestError`] when the file cannot be opened, is no export file, has a column of a wrong type,
/// or `options` name an unknown column.
pub fn open(file: &ExportFile, options: &ReadOptions) -> Result<EventReader, IngestError> {
    let schema = options.schema()?;
    let batches = match file.format {
        Format::Parquet => parquet::read(&file.path, &schema, options)?,
        Format::Ndjson { gzip } => ndjson::read(&file.path, gzip, &schema, options)?,
    };
    Ok(EventReader { schema, batches: Some(batches) })
}
