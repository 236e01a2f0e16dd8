//! Writes the rows of a table into Parquet files that a commit can then name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::log::{DataFile, DeltaTable, Snapshot};
use super::schema::conform;
use super::sums::Summed;
use crate::error::{EngineError, Result};

/// Rows of a row group: large enough to compress well, small enough that skipping by key pays.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of a page, the unit that a reader can skip.
const PAGE_ROWS: usize = 8_192;
/// A file of this size is closed and the next one begun.
const FILE_BYTES: usize = 256 << 20;

/// How a table's files are written.
#[derive(Debug, Clone, Default)]
pub struct WriterSettings {
    /// Columns whose value is the same in a whole file; not stored inside it.
    pub partition_columns: Vec<String>,
    /// Columns with unique values, for which a dictionary would be wasted work.
    pub unique_columns: Vec<String>,
}

/// Writes files for the version after `base`; nothing is visible before [`DeltaTable::commit`].
///
/// Several writers may share one `sequence`, so that they never take the same file name.
pub struct TableWriter {
    root: PathBuf,
    version: u64,
    sequence: Arc<AtomicU64>,
    /// Columns as stored, partition columns included.
    schema: SchemaRef,
    /// Columns inside the files.
    file_schema: SchemaRef,
    file_columns: Vec<usize>,
    partition_columns: Vec<usize>,
    settings: WriterSettings,
    open: BTreeMap<Vec<Option<String>>, OpenFile>,
    done: Vec<DataFile>,
}

struct OpenFile {
    path: String,
    rows: u64,
    writer: ArrowWriter<BufWriter<Summed<File>>>,
}

impl TableWriter {
    /// A writer of rows in `schema` (see [`super::stored_schema`]).
    ///
    /// # Errors
    /// [`EngineError::Internal`] when a partition column is not in the schema.
    pub fn new(
        table: &DeltaTable,
        base: Option<&Snapshot>,
        schema: SchemaRef,
        settings: WriterSettings,
        sequence: Arc<AtomicU64>,
    ) -> Result<Self> {
        let partition_columns = settings
            .partition_columns
            .iter()
            .map(|name| {
                schema.index_of(name).map_err(|_| {
                    EngineError::Internal(format!(
                        "partition column `{name}` is not in `{}`",
                        table.name()
                    ))
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let file_columns: Vec<usize> = (0..schema.fields().len())
            .filter(|column| !partition_columns.contains(column))
            .collect();
        let file_schema: SchemaRef = Arc::new(Schema::new(
            file_columns
                .iter()
                .map(|&column| Arc::clone(&schema.fields()[column]))
                .collect::<Vec<_>>(),
        ));
        Ok(Self {
            root: table.root().to_path_buf(),
            version: base.map_or(0, |base| base.version + 1),
            sequence,
            schema,
            file_schema,
            file_columns,
            partition_columns,
            settings,
            open: BTreeMap::new(),
            done: Vec::new(),
        })
    }

    /// Adds rows; their columns are cast to the table's types by position.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the disk is full, [`EngineError::Internal`] when a value does not fit.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = conform(batch, &self.schema)?;
        for (values, rows) in self.split(&batch)? {
            let part = rows.project(&self.file_columns).map_err(internal)?;
            self.append(values, &part)?;
        }
        Ok(())
    }

    /// Rows by the values of the partition columns.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(Vec<Option<String>>, RecordBatch)>> {
        if self.partition_columns.is_empty() {
            return Ok(vec![(Vec::new(), batch.clone())]);
        }
        let columns: Vec<&ArrayRef> =
            self.partition_columns.iter().map(|&column| batch.column(column)).collect();
        let options = FormatOptions::default();
        let formatters = columns
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).map_err(internal))
            .collect::<Result<Vec<_>>>()?;
        let mut groups: BTreeMap<Vec<Option<String>>, Vec<u32>> = BTreeMap::new();
        for row in 0..batch.num_rows() {
            let values = columns
                .iter()
                .zip(&formatters)
                .map(|(column, formatter)| {
                    column.is_valid(row).then(|| formatter.value(row).to_string())
                })
                .collect();
            groups.entry(values).or_default().push(row as u32);
        }
        if groups.len() == 1 {
            return Ok(groups.into_keys().map(|values| (values, batch.clone())).collect());
        }
        groups
            .into_iter()
            .map(|(values, rows)| {
                Ok((values, take_record_batch(batch, &UInt32Array::from(rows)).map_err(internal)?))
            })
            .collect()
    }

    fn append(&mut self, values: Vec<Option<String>>, rows: &RecordBatch) -> Result<()> {
        if !self.open.contains_key(&values) {
            let file = self.create(&values)?;
            self.open.insert(values.clone(), file);
        }
        let Some(file) = self.open.get_mut(&values) else { return Ok(()) };
        let path = self.root.join(&file.path);
        file.writer.write(rows).map_err(|error| parquet_error(error, &path))?;
        file.rows += rows.num_rows() as u64;
        if file.writer.bytes_written() + file.writer.in_progress_size() > FILE_BYTES
            && let Some(file) = self.open.remove(&values)
        {
            self.close(values, file)?;
        }
        Ok(())
    }

    fn create(&self, values: &[Option<String>]) -> Result<OpenFile> {
        let mut path = String::new();
        for (column, value) in self.settings.partition_columns.iter().zip(values) {
            // Dates and plain words only; the log, not the folder's name, is what readers go by.
            let value: String =
                value
                    .as_deref()
                    .unwrap_or("__HIVE_DEFAULT_PARTITION__")
                    .chars()
                    .map(|char| {
                        if char.is_ascii_alphanumeric() || "-_.".contains(char) {
                            char
                        } else {
                            '_'
                        }
                    })
                    .collect();
            path.push_str(&format!("{column}={value}/"));
        }
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        path.push_str(&format!("part-{:05}-{number:05}.parquet", self.version));
        let full = self.root.join(&path);
        if let Some(dir) = full.parent() {
            fs::create_dir_all(dir).map_err(EngineError::io("create", dir))?;
        }
        let file = File::create(&full).map_err(EngineError::io("write", &full))?;
        let writer = ArrowWriter::try_new(
            BufWriter::new(Summed::new(file)),
            Arc::clone(&self.file_schema),
            Some(self.properties()),
        )
        .map_err(|error| parquet_error(error, &full))?;
        Ok(OpenFile { path, rows: 0, writer })
    }

    fn properties(&self) -> WriterProperties {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS)
            .set_statistics_enabled(EnabledStatistics::Page);
        for column in &self.settings.unique_columns {
            properties = properties.set_column_dictionary_enabled(column.as_str().into(), false);
        }
        properties.build()
    }

    fn close(&mut self, values: Vec<Option<String>>, file: OpenFile) -> Result<()> {
        let full = self.root.join(&file.path);
        let inner = file.writer.into_inner().map_err(|error| parquet_error(error, &full))?;
        let inner = inner
            .into_inner()
            .map_err(|error| EngineError::io("write", &full)(error.into_error()))?;
        let (inner, crc) = inner.into_parts();
        inner.sync_all().map_err(EngineError::io("sync", &full))?;
        let bytes = inner.metadata().map_err(EngineError::io("read", &full))?.len();
        let partition = self.settings.partition_columns.iter().cloned().zip(values).collect();
        let crc = Some(crc);
        self.done.push(DataFile { path: file.path, bytes, rows: file.rows, crc, partition });
        Ok(())
    }

    /// Closes and syncs all open files and gives those not given before; more rows begin new files.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the disk is full.
    pub fn flush(&mut self) -> Result<Vec<DataFile>> {
        while let Some((values, file)) = self.open.pop_first() {
            self.close(values, file)?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Closes and syncs all files; they are what a commit adds.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the disk is full.
    pub fn finish(mut self) -> Result<Vec<DataFile>> {
        self.flush()
    }
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(error.to_string())
}

/// Keeps a full disk recognisable: the Parquet writer wraps its cause.
fn parquet_error(error: ParquetError, path: &std::path::Path) -> EngineError {
    if let ParquetError::External(source) = error {
        return match source.downcast::<std::io::Error>() {
            Ok(source) => {
                EngineError::Io { action: "write", path: path.to_path_buf(), source: *source }
            }
            Err(source) => EngineError::Internal(source.to_string()),
        };
    }
    EngineError::Internal(format!("cannot write {}: {error}", path.display()))
}
