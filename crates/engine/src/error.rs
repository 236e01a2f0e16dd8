//! What can go wrong between SQL and rows.

use std::path::PathBuf;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fix a file of the project: the SQL is wrong.
    Project,
    /// Rows or files are not as expected.
    Data,
    /// Try again later or elsewhere: disk full, file locked.
    Unavailable,
    /// A fault of Clicktrail.
    Internal,
}

/// An error of an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// SQL that can't be planned, or rows that it can't be run on.
    #[error("{message}")]
    Sql {
        /// The engine's words, first line, without its internals.
        message: String,
        /// Line and column (from 1) in the SQL given, where the engine says so.
        position: Option<(usize, usize)>,
        /// The name that the message is about, as written in the SQL, if any.
        subject: Option<String>,
        /// Names that would have been valid in its place.
        candidates: Vec<String>,
        /// Whether planning failed (the SQL is wrong) or running (the rows are).
        planning: bool,
    },
    /// The SQL needs more memory than it may have, and can't spill.
    #[error("not enough memory: {message}")]
    Memory {
        /// Which step asked for how much.
        message: String,
    },
    /// A feed that the SQL reads failed; the text is the feed's own.
    #[error("{0}")]
    Feed(String),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A table's log or data file does not hold what it should.
    #[error("table `{table}` is damaged: {what}")]
    Damaged {
        /// The table's name.
        table: String,
        /// What was found, with the file.
        what: String,
    },
    /// Another commit took the version in between.
    #[error("table `{table}` changed while it was written (version {version} exists)")]
    Conflict {
        /// The table's name.
        table: String,
        /// The version that exists.
        version: u64,
    },
    /// A type that the warehouse can't store.
    #[error("column `{column}` has the type {data_type}, which a table can't hold")]
    Type {
        /// The column.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// BigQuery, or the way to it.
    #[cfg(feature = "bigquery")]
    #[error(transparent)]
    Remote(#[from] crate::bigquery::Fault),
    /// PostgreSQL, or the way to it.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Fault),
    /// Everything else, with the cause's text.
    #[error("{0}")]
    Internal(String),
}

impl EngineError {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sql { planning: true, .. } | Self::Type { .. } => Kind::Project,
            Self::Sql { .. } | Self::Feed(_) | Self::Damaged { .. } => Kind::Data,
            Self::Io { .. } | Self::Conflict { .. } | Self::Memory { .. } => Kind::Unavailable,
            #[cfg(feature = "bigquery")]
            Self::Remote(fault) => fault.whose(),
            #[cfg(feature = "postgres")]
            Self::Postgres(fault) => fault.whose(),
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// A stable code for help texts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sql { planning: true, .. } => "E3001",
            Self::Sql { .. } => "E3002",
            Self::Feed(_) => "E3003",
            Self::Io { .. } => "E3004",
            Self::Damaged { .. } => "E3005",
            Self::Conflict { .. } => "E3006",
            Self::Type { .. } => "E3007",
            Self::Memory { .. } => "E3008",
            #[cfg(feature = "bigquery")]
            Self::Remote(fault) => fault.code(),
            #[cfg(feature = "postgres")]
            Self::Postgres(fault) => fault.code(),
            Self::Internal(_) => "E3999",
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Some(
                "free disk space and run `clicktrail retry`; the last good tables are intact"
                    .into(),
            ),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("check who owns the folder and its permissions".into())
            }
            Self::Damaged { .. } => {
                Some(
                    "the table of a model or seed: delete its folder and run `clicktrail build --full-refresh`; \
                     `events_stream` holds events that are nowhere else: bring its folder back from a backup"
                        .into(),
                )
            }
            Self::Conflict { .. } => {
                Some("another clicktrail is writing here; run this again".into())
            }
            Self::Memory { .. } => {
                Some("allow more with `--memory 8GB`, or use fewer `--threads`".into())
            }
            Self::Type { column, .. } => Some(format!("cast `{column}` in the model")),
            #[cfg(feature = "bigquery")]
            Self::Remote(fault) => fault.advice(),
            #[cfg(feature = "postgres")]
            Self::Postgres(fault) => fault.advice(),
            _ => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Result of this crate.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
