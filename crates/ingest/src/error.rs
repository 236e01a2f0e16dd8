//! What can go wrong between bytes and events.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// What the caller should do about an [`IngestError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fix a setting or a file of the project, then run again.
    Project,
    /// The input data is bad: replace it, or allow for it.
    Data,
    /// The file system refused; running again may help.
    Unavailable,
    /// A bug of ours.
    Internal,
}

/// Why export files could not be found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A pattern matched no export file.
    #[error("no export file matches `{pattern}`")]
    NoFiles {
        /// The pattern as the caller gave it.
        pattern: String,
        /// The existing entry that resembles it most.
        nearest: Option<PathBuf>,
    },
    /// A glob that does not parse.
    #[error("`{pattern}` is not a valid file pattern: {reason}")]
    BadPattern {
        /// The pattern as the caller gave it.
        pattern: String,
        /// What the glob parser says.
        reason: String,
    },
    /// A projection names a column or leaf that the export does not have.
    #[error("unknown export column `{column}`")]
    UnknownColumn {
        /// The dotted path asked for.
        column: String,
        /// The known path that resembles it most.
        nearest: Option<String>,
    },
    /// The operating system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A Parquet file of zero bytes.
    #[error("{} is empty (0 bytes)", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },
    /// The name says Parquet, the bytes do not.
    #[error("{} is not a Parquet file", path.display())]
    NotParquet {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file that is cut off or damaged.
    #[error("{} is truncated or damaged: {detail}", path.display())]
    CorruptParquet {
        /// The file.
        path: PathBuf,
        /// What the decoder found.
        detail: String,
        /// The decoder's own error, when it gave one.
        #[source]
        source: Option<ParquetError>,
    },
    /// A column whose type cannot mean what the export says it means.
    #[error("column `{column}` of {} is {found}, expected {expected}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Dotted path of the column.
        column: String,
        /// Type in the file.
        found: String,
        /// Type in the canonical schema.
        expected: String,
    },
    /// A value that does not convert to the type of its column.
    #[error("column `{column}` of {} has a value that does not convert: {reason}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// Dotted path of the column.
        column: String,
        /// The value and what it should be.
        reason: String,
    },
    /// A Parquet file of something else.
    #[error("{} has neither `event_name` nor `event_timestamp`: not a GA4 export", path.display())]
    NotAnExport {
        /// The file.
        path: PathBuf,
    },
    /// A gzip stream that is cut off or damaged.
    #[error(
        "{} is truncated or damaged after line {line}, byte {byte} of its text: {source}",
        path.display()
    )]
    Gzip {
        /// The file.
        path: PathBuf,
        /// Lines read in full before the damage.
        line: u64,
        /// Decompressed bytes read before the damage.
        byte: u64,
        /// What the decompressor said.
        #[source]
        source: std::io::Error,
    },
    /// More unreadable rows than the limit allows.
    #[error(
        "unreadable rows: {seen} seen, {limit} allowed; first {}:{line}: {reason}",
        file.display()
    )]
    TooManyBadRows {
        /// Rows rejected up to now.
        seen: u64,
        /// The limit, `max_bad_rows`.
        limit: u64,
        /// File of the first bad row.
        file: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// Why it is bad.
        reason: String,
    },
    /// Settings of the generator that make no sense.
    #[error("generator setting `{setting}`: {reason}")]
    BadSettings {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refused to write.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A stored payload of collected events that is not what was stored.
    #[error("line {line} of payload {payload} is no canonical row: {reason}")]
    BadPayload {
        /// Its position among those given, from 0.
        payload: usize,
        /// The line in it, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Arrow refused what we built: our bug.
    #[error("internal error while building events: {0}")]
    Internal(String),
}

impl IngestError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFiles { .. } | Self::BadPattern { .. } | Self::BadSettings { .. } => {
                ErrorKind::Project
            }
            Self::EmptyFile { .. }
            | Self::NotParquet { .. }
            | Self::CorruptParquet { .. }
            | Self::WrongType { .. }
            | Self::BadValue { .. }
            | Self::NotAnExport { .. }
            | Self::Gzip { .. }
            | Self::BadPayload { .. }
            | Self::TooManyBadRows { .. } => ErrorKind::Data,
            Self::Read { .. } | Self::Write { .. } => ErrorKind::Unavailable,
            Self::UnknownColumn { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Stable code, `E2001` and up, for documentation and log search.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFiles { .. } => "E2001",
            Self::BadPattern { .. } => "E2002",
            Self::UnknownColumn { .. } => "E2003",
            Self::Read { .. } => "E2004",
            Self::EmptyFile { .. } => "E2005",
            Self::NotParquet { .. } => "E2006",
            Self::CorruptParquet { .. } => "E2007",
            Self::WrongType { .. } => "E2008",
            Self::Gzip { .. } => "E2009",
            Self::TooManyBadRows { .. } => "E2010",
            Self::BadSettings { .. } => "E2011",
            Self::Write { .. } => "E2012",
            Self::BadValue { .. } => "E2013",
            Self::NotAnExport { .. } => "E2014",
            Self::BadPayload { .. } => "E2015",
            Self::Internal(_) => "E2090",
        }
    }

    /// What to try next, one sentence without the leading `hint:`.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFiles { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{}`?", nearest.display()))
            }
            Self::NoFiles { nearest: None, .. } => Some(
                "give a file, a folder or a glob of .parquet, .ndjson, .json or .jsonl files, \
                 each also as .gz"
                    .to_owned(),
            ),
            Self::BadPattern { .. } => {
                Some("`*`, `?`, `[0-9]` and `**` are known; quote others as `[*]`".to_owned())
            }
            Self::UnknownColumn { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean `{nearest}`?"))
            }
            Self::Read { path, source } => Some(read_hint(path, source.kind())),
            Self::EmptyFile { .. } => Some("export that day again, or remove the file".to_owned()),
            Self::NotParquet { path } => Some(format!(
                "export that day again as Parquet, or rename `{}` to its real ending \
                 (.ndjson, .ndjson.gz)",
                name(path)
            )),
            Self::CorruptParquet { .. } | Self::Gzip { .. } => {
                Some("copy or export that day again; the rest of the file is unreadable".to_owned())
            }
            Self::NotAnExport { .. } => {
                Some("point at the `events_*` files only, or leave this file out".to_owned())
            }
            Self::WrongType { .. } | Self::BadValue { .. } => Some(
                "export the table without casts, or drop the column: a missing one reads as null"
                    .to_owned(),
            ),
            Self::TooManyBadRows { seen, .. } => Some(format!(
                "repair the line, or set rows aside with a higher limit: \
                 --vars '{{max_bad_rows: {}}}'",
                (seen * 10).max(100)
            )),
            Self::BadPayload { .. } => {
                Some("the stored events are damaged: restore them from a copy".to_owned())
            }
            Self::BadSettings { .. } => None,
            Self::Write { source, .. } => Some(write_hint(source.kind())),
            Self::Internal(_) => Some("this is a bug in clicktrail: please report it".to_owned()),
        }
    }

    pub(crate) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: std::io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read_hint(path: &Path, kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::PermissionDenied => {
            format!("grant yourself read permission: chmod u+r {}", path.display())
        }
        std::io::ErrorKind::NotFound => {
            "the file vanished after it was listed: run again".to_owned()
        }
        _ => "check the disk or the network mount, then run again".to_owned(),
    }
}

fn write_hint(kind: std::io::ErrorKind) -> String {
    match kind {
        std::io::ErrorKind::StorageFull => "free disk space, then run again".to_owned(),
        std::io::ErrorKind::PermissionDenied => "choose a folder that you may write to".to_owned(),
        _ => "check that the folder exists and the disk is healthy".to_owned(),
    }
}
