//! One export file to record batches, whatever its format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};

use crate::discover::{ExportFile, Format};
use crate::{IngestError, Rejects, ndjson, parquet, schema};

/// Rows of a batch when the caller sets none: the batch size that query engines like.
pub const BATCH_ROWS_DEFAULT: usize = 8192;

/// Columns without which a row is no event.
pub(crate) const REQUIRED: [&str; 2] = ["event_timestamp", "event_name"];

/// What the readers of each format return.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, IngestError>> + Send>;

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
    batches: Option<Batches>,
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

/// Sets aside the rows of a columnar file that lack a required value.
pub(crate) struct RequiredColumns {
    path: PathBuf,
    columns: Vec<usize>,
    rejects: Arc<Rejects>,
    rows_before: u64,
}

impl RequiredColumns {
    pub(crate) fn new(path: &Path, schema: &Schema, options: &ReadOptions) -> Self {
        let columns = REQUIRED.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let rejects = Arc::clone(&options.rejects);
        Self { path: path.to_owned(), columns, rejects, rows_before: 0 }
    }

    /// Returns `batch` without such rows; their row number in the file stands for the line.
    pub(crate) fn check(&mut self, batch: RecordBatch) -> Result<RecordBatch, IngestError> {
        let rows_before = self.rows_before;
        self.rows_before += batch.num_rows() as u64;
        if self.columns.iter().all(|&column| batch.column(column).null_count() == 0) {
            return Ok(batch);
        }
        let mut keep = vec![true; batch.num_rows()];
        for (row, keep) in keep.iter_mut().enumerate() {
            let missing = self.columns.iter().find(|&&column| batch.column(column).is_null(row));
            if let Some(&column) = missing {
                *keep = false;
                let name = batch.schema_ref().field(column).name().clone();
                let line = rows_before + row as u64 + 1;
                self.rejects.push(&self.path, line, missing_reason(&name), b"")?;
            }
        }
        filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(IngestError::internal)
    }
}

/// Why a row without a required column is bad.
pub(crate) fn missing_reason(name: &str) -> String {
    format!("`{name}` is missing or null")
}
