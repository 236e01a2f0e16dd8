//! Rows that could not be read: kept up to a limit, an error beyond it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::IngestError;

/// Unreadable rows allowed when the project sets no `max_bad_rows`: none.
pub const MAX_BAD_ROWS_DEFAULT: u64 = 0;

/// Bytes of a bad row that are kept: enough to recognise it, little enough to keep thousands.
const RAW_BYTES_MAX: usize = 4096;

/// One row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The file it stands in.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: u64,
    /// Why it could not be read: lower case, one line.
    pub reason: String,
    /// The first 4 KiB of the row, invalid UTF-8 replaced.
    pub raw: String,
}

/// Collects bad rows of a whole load; shared by all of its readers.
#[derive(Debug, Default)]
pub struct Rejects {
    max_bad_rows: u64,
    /// By file and line: a file that a query reads twice has each of its bad rows once.
    kept: Mutex<BTreeMap<(PathBuf, u64), Reject>>,
}

impl Rejects {
    /// A collector that tolerates `max_bad_rows` rows in all.
    pub fn new(max_bad_rows: u64) -> Arc<Self> {
        Arc::new(Self { max_bad_rows, kept: Mutex::default() })
    }

    /// Takes note of a bad row.
    ///
    /// # Errors
    /// [`IngestError::TooManyBadRows`] when this row exceeds the limit. It names the first bad row
    /// by (file, line) among those seen.
    pub fn push(
        &self,
        file: &Path,
        line: u64,
        reason: impl Into<String>,
        raw: &[u8],
    ) -> Result<(), IngestError> {
        let raw = &raw[..raw.len().min(RAW_BYTES_MAX)];
        let reject = Reject {
            file: file.to_owned(),
            line,
            reason: reason.into(),
            raw: String::from_utf8_lossy(raw).into_owned(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert((reject.file.clone(), line), reject);
        let seen = kept.len() as u64;
        if seen <= self.max_bad_rows {
            return Ok(());
        }
        match kept.values().next() {
            Some(first) => Err(IngestError::TooManyBadRows {
                seen,
                limit: self.max_bad_rows,
                file: first.file.clone(),
                line: first.line,
                reason: first.reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Number of bad rows seen.
    pub fn len(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// True when every row could be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bad rows in order of (file, line), independent of the order of reading.
    pub fn rows(&self) -> Vec<Reject> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Schema of [`Rejects::to_batch`]: `file`, `line`, `reason`, `raw`.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("file", DataType::Utf8View, false),
            Field::new("line", DataType::Int64, false),
            Field::new("reason", DataType::Utf8View, false),
            Field::new("raw", DataType::Utf8View, false),
        ]))
    }

    /// The bad rows as one batch, in order of (file, line).
    ///
    /// # Errors
    /// [`IngestError::Internal`] if Arrow refuses the columns.
    pub fn to_batch(&self) -> Result<RecordBatch, IngestError> {
        let rows = self.rows();
        let line: Vec<i64> = rows.iter().map(|r| r.line.try_into().unwrap_or(i64::MAX)).collect();
        let text = |of: fn(&Reject) -> String| {
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(of)))
        };
        RecordBatch::try_new(
            Self::schema(),
            vec![
                text(|r| r.file.to_string_lossy().into_owned()),
                Arc::new(Int64Array::from(line)),
                text(|r| r.reason.clone()),
                text(|r| r.raw.clone()),
            ],
        )
        .map_err(IngestError::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_read_twice_counts_once() {
        let rejects = Rejects::new(2);
        let (one, other) = (Path::new("a.ndjson"), Path::new("b.ndjson"));
        for _ in 0..2 {
            rejects.push(other, 3, "odd", b"{").unwrap();
            rejects.push(one, 7, "odd", b"{").unwrap();
        }
        assert_eq!(rejects.len(), 2);
        let error = rejects.push(one, 8, "odd", b"{").unwrap_err();
        assert!(error.to_string().contains("3 seen, 2 allowed; first a.ndjson:7"), "{error}");
    }
}
