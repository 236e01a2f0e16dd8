//! What can go wrong between a project and its results.

use std::path::PathBuf;

use clicktrail_engine::EngineError;
use clicktrail_eventlog::LogError;
use clicktrail_ingest::IngestError;
use clicktrail_project::ProjectError;

use crate::report::Problem;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fix a file of the project or an argument.
    Project,
    /// Rows or files of data are not as expected.
    Data,
    /// Try again: disk full, another process at work.
    Unavailable,
    /// A fault of Clicktrail.
    Internal,
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The project can't be read.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// SQL, tables.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Export files.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The log of events.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another process works on the warehouse.
    #[error("another clicktrail process is working on {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The target's engine is not part of this build.
    #[error("target `{target}` uses the engine `{adapter}`, which this command can't run")]
    Adapter {
        /// Target name.
        target: String,
        /// Adapter type.
        adapter: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{message}")]
    Setting {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A problem that is already located.
    #[error("{}", .0.message)]
    Located(Box<Problem>),
}

/// Result of this crate.
pub type Result<T, E = PipelineError> = std::result::Result<T, E>;

#[cfg(feature = "bigquery")]
impl From<clicktrail_engine::bigquery::Fault> for PipelineError {
    fn from(fault: clicktrail_engine::bigquery::Fault) -> Self {
        EngineError::from(fault).into()
    }
}

#[cfg(feature = "postgres")]
impl From<clicktrail_engine::postgres::Fault> for PipelineError {
    fn from(fault: clicktrail_engine::postgres::Fault) -> Self {
        EngineError::from(fault).into()
    }
}

impl PipelineError {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Project(error) => match error.kind() {
                clicktrail_project::ErrorKind::Project => Kind::Project,
                clicktrail_project::ErrorKind::Data => Kind::Data,
                clicktrail_project::ErrorKind::Unavailable => Kind::Unavailable,
                clicktrail_project::ErrorKind::Internal => Kind::Internal,
            },
            Self::Engine(error) => match error.kind() {
                clicktrail_engine::Kind::Project => Kind::Project,
                clicktrail_engine::Kind::Data => Kind::Data,
                clicktrail_engine::Kind::Unavailable => Kind::Unavailable,
                clicktrail_engine::Kind::Internal => Kind::Internal,
            },
            Self::Ingest(error) => match error.kind() {
                clicktrail_ingest::ErrorKind::Project => Kind::Project,
                clicktrail_ingest::ErrorKind::Data => Kind::Data,
                clicktrail_ingest::ErrorKind::Unavailable => Kind::Unavailable,
                clicktrail_ingest::ErrorKind::Internal => Kind::Internal,
            },
            Self::Log(error) => match error.kind() {
                clicktrail_eventlog::ErrorKind::Project => Kind::Project,
                clicktrail_eventlog::ErrorKind::Data => Kind::Data,
                clicktrail_eventlog::ErrorKind::Unavailable => Kind::Unavailable,
                clicktrail_eventlog::ErrorKind::Internal => Kind::Internal,
            },
            Self::Locked { .. } | Self::Io { .. } => Kind::Unavailable,
            Self::Adapter { .. } | Self::Setting { .. } | Self::Located(_) => Kind::Project,
        }
    }

    /// A stable code.
    pub fn code(&self) -> String {
        match self {
            Self::Project(error) => error.code().to_string(),
            Self::Engine(error) => error.code().to_string(),
            Self::Ingest(error) => error.code().to_string(),
            Self::Log(error) => error.code().to_string(),
            Self::Locked { .. } => "E4001".into(),
            Self::Io { .. } => "E4002".into(),
            Self::Adapter { .. } => "E4003".into(),
            Self::Setting { .. } => "E4004".into(),
            Self::Located(problem) => problem.code.clone(),
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Project(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Ingest(error) => error.hint(),
            Self::Log(error) => error.hint(),
            Self::Locked { .. } => {
                Some("wait for it, or stop it; the lock goes with the process".into())
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free disk space; the last good tables are intact".into())
            }
            Self::Io { .. } => None,
            Self::Adapter { adapter, .. } => Some(format!(
                "`clicktrail compile` writes the SQL for {adapter}; run it with dbt, or choose `--target local`"
            )),
            Self::Setting { hint, .. } => hint.clone(),
            Self::Located(problem) => problem.hint.clone(),
        }
    }

    /// The same as something that can be drawn.
    pub fn problem(&self) -> Problem {
        if let Self::Located(problem) = self {
            return problem.as_ref().clone();
        }
        let (file, line, column) = match self {
            Self::Project(error) => (error.file().map(PathBuf::from), error.line(), error.column()),
            _ => (None, None, None),
        };
        let message = match self {
            Self::Project(error) => error.fault.to_string(),
            other => other.to_string(),
        };
        Problem { file, line, column, ..Problem::new(self.code(), message, self.hint()) }
    }

    /// A fault under a code of its own, without a place.
    pub(crate) fn coded(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Located(Box::new(Problem::new(code, message, Some(hint.into()))))
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
