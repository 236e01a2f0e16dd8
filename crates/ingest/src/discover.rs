//! Finds export files: files, folders and globs to a sorted list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::IngestError;

/// How a file is encoded, told by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// `.parquet`
    Parquet,
    /// `.ndjson`, `.json` or `.jsonl`, one object a line; each also with `.gz`.
    Ndjson {
        /// True when gzip-compressed.
        gzip: bool,
    },
}

/// Which of the export's tables a file comes from, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `events_YYYYMMDD`, and every name that is none of the others.
    Daily,
    /// `events_intraday_YYYYMMDD`: the running day, without attribution columns.
    Intraday,
    /// `events_fresh_YYYYMMDD`: Google Analytics 360 only.
    Fresh,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExportFile {
    /// Where it is; starts with the `base_dir` given to [`discover`] unless the pattern was absolute.
    pub path: PathBuf,
    /// Its encoding.
    pub format: Format,
    /// The day in its name, when there is one.
    pub day: Option<NaiveDate>,
    /// The export table in its name.
    pub kind: Kind,
    /// Its size in bytes.
    pub bytes: u64,
    /// Last modification, nanoseconds since 1970-01-01 UTC; 0 when the file system does not tell.
    pub modified: u64,
}

impl ExportFile {
    /// Describes one file by its name and metadata, without opening it.
    ///
    /// # Errors
    /// [`IngestError::Read`] when it does not exist or cannot be examined;
    /// [`IngestError::NoFiles`] when its ending is unknown.
    pub fn at(path: &Path) -> Result<Self, IngestError> {
        let _ = path;
        Err(IngestError::internal("not written yet"))
    }

    /// The `event_date` values (`YYYYMMDD`) of the file's rows, nulls left out.
    ///
    /// Taken from the name when it has a day. Otherwise a Parquet file answers by its statistics or
    /// that one column, an NDJSON file is read through.
    ///
    /// # Errors
    /// As [`crate::open`] and its reader.
    pub fn days(&self) -> Result<BTreeSet<String>, IngestError> {
        Err(IngestError::internal("not written yet"))
    }
}

/// Finds the export files that `patterns` name, sorted by path, each once.
///
/// A pattern is a file, a folder (searched recursively for known endings), or a glob (`*`, `?`,
/// `[…]`, `**`); relative ones start at `base_dir`. The glob `events_*` also matches intraday files:
/// [`ExportFile::kind`] tells them apart.
///
/// # Errors
/// [`IngestError::NoFiles`] for the first pattern that finds nothing, with the nearest existing entry;
/// [`IngestError::BadPattern`] and [`IngestError::Read`] as their names say.
pub fn discover(patterns: &[String], base_dir: &Path) -> Result<Vec<ExportFile>, IngestError> {
    let _ = (patterns, base_dir);
    Err(IngestError::internal("not written yet"))
}
