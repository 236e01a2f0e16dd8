//! What can go wrong between bytes and frames.

use std::io;
use std::path::{Path, PathBuf};

/// What the caller should do about a [`LogError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fix a setting or install another version, then start again.
    Project,
    /// Stored bytes are damaged: repair, or restore them.
    Data,
    /// The machine refused; trying again may help.
    Unavailable,
    /// A bug of ours.
    Internal,
}

/// Why the log could not be opened, written, read or repaired.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process, or another part of this one, has the log open.
    #[error("the log in {} is in use", dir.display())]
    Locked {
        /// The log's folder.
        dir: PathBuf,
    },
    /// A file written by a later version.
    #[error("{} has format version {found}, this version knows up to {known}", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Latest version that can be read.
        known: u32,
    },
    /// Bytes that were stored for good have changed.
    #[error(
        "the log is damaged in {} at byte {offset}: {reason}; \
         frames {first_seq} to {last_seq} are affected",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where the first bad frame begins.
        offset: u64,
        /// Lowest sequence number that cannot be read.
        first_seq: u64,
        /// Highest sequence number known to be missing before the next readable frame.
        last_seq: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// Whole files, or the ends of files, are gone.
    #[error("frames {first_seq} to {last_seq} of the log in {} are missing", dir.display())]
    Missing {
        /// The log's folder.
        dir: PathBuf,
        /// Lowest sequence number that is missing.
        first_seq: u64,
        /// Highest sequence number known to be missing.
        last_seq: u64,
    },
    /// A segment of another log, or under the name of another segment.
    #[error("{} does not belong here: its header names another log or place", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused to read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The operating system refused to write.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was written may not be on disk. The log refuses everything from here on.
    #[error("cannot sync {}: {source}", path.display())]
    Sync {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No space, or less than the settings keep free. Nothing was written.
    #[error("no space for {needed_bytes} bytes in {}", dir.display())]
    Full {
        /// The log's folder.
        dir: PathBuf,
        /// Bytes that did not fit.
        needed_bytes: u64,
    },
    /// An entry over the limit. Nothing was written.
    #[error("an entry of {bytes} bytes is over the limit of {limit_bytes}")]
    TooLarge {
        /// Size of its payload.
        bytes: usize,
        /// The limit, `max_entry_bytes`.
        limit_bytes: usize,
    },
    /// An earlier error made the log refuse everything.
    #[error("the log stopped after an error: {reason}")]
    Failed {
        /// The earlier error.
        reason: String,
    },
    /// A sequence number that the log does not hold: released, or not yet given.
    #[error(
        "frame {asked} was asked for, the log holds {first_seq} to {}",
        next_seq.saturating_sub(1)
    )]
    OutOfRange {
        /// Where reading should have begun.
        asked: u64,
        /// Lowest sequence number in the log.
        first_seq: u64,
        /// Sequence number of the next frame.
        next_seq: u64,
    },
    /// Settings that make no sense.
    #[error("log setting `{setting}` {reason}")]
    BadSettings {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl LogError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NewerVersion { .. } | Self::BadSettings { .. } => ErrorKind::Project,
            Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Foreign { .. }
            | Self::TooLarge { .. }
            | Self::OutOfRange { .. } => ErrorKind::Data,
            Self::Locked { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Sync { .. }
            | Self::Full { .. }
            | Self::Failed { .. } => ErrorKind::Unavailable,
        }
    }

    /// Stable code, `E5001` and up, for documentation and log search.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "E5001",
            Self::NewerVersion { .. } => "E5002",
            Self::Damaged { .. } => "E5003",
            Self::Missing { .. } => "E5004",
            Self::Foreign { .. } => "E5005",
            Self::Read { .. } => "E5006",
            Self::Write { .. } => "E5007",
            Self::Sync { .. } => "E5008",
            Self::Full { .. } => "E5009",
            Self::TooLarge { .. } => "E5010",
            Self::Failed { .. } => "E5011",
            Self::OutOfRange { .. } => "E5012",
            Self::BadSettings { .. } => "E5013",
        }
    }

    /// What to try next, one sentence without the leading `hint:`.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Locked { .. } => "stop the other clicktrail, or use another data folder",
            Self::NewerVersion { .. } => {
                "install the clicktrail version that wrote it, or a later one"
            }
            Self::Damaged { .. } | Self::Missing { .. } => {
                "run `clicktrail repair`: it sets the damaged bytes aside and says what is lost; \
                 a backup of the folder loses nothing"
            }
            Self::Foreign { .. } => {
                "give the file its old name again, or move it out of the folder"
            }
            Self::Read { .. } => {
                "check the disk and the permissions of the folder, then start again"
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "choose a folder that you may write to"
            }
            Self::Write { .. } | Self::Sync { .. } => {
                "check the health of the disk, then start again: what was acknowledged is kept"
            }
            Self::Full { .. } => "free disk space; the log goes on by itself",
            Self::TooLarge { .. } => "send smaller batches",
            Self::Failed { .. } => "start again: what was acknowledged is kept",
            Self::OutOfRange { .. } => {
                "log and checkpoint do not belong together: restore both from the same backup"
            }
            Self::BadSettings { .. } => return None,
        };
        Some(text.to_owned())
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn sync(path: &Path, source: io::Error) -> Self {
        Self::Sync { path: path.to_owned(), source }
    }
}

/// The queue holds as much as it may: try again later. The entry was not taken, and its `done` is
/// not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{queued_bytes} bytes are waiting for the log, {limit_bytes} may")]
pub struct Busy {
    /// Bytes that wait or are being written.
    pub queued_bytes: usize,
    /// The limit, `max_queue_bytes`.
    pub limit_bytes: usize,
}

/// Why an entry that was taken is not in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No space, or less than the settings keep free. The log goes on when there is space again.
    #[error("no space left for the log")]
    Full,
    /// The entry is over the limit; sending it again is of no use.
    #[error("an entry of {bytes} bytes is over the limit of {limit_bytes}")]
    TooLarge {
        /// Size of its payload.
        bytes: usize,
        /// The limit, `max_entry_bytes`.
        limit_bytes: usize,
    },
    /// The log stopped after an error. The entry may or may not be found after a restart.
    #[error("the log stopped after an error: {0}")]
    Failed(String),
    /// The log was stopped before the entry came.
    #[error("the log was stopped")]
    Stopped,
}
