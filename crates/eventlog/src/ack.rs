//! The ack file: the highest sequence number that was synced.
//!
//! It is written after each sync and not synced itself, so it costs a few microseconds. After a
//! killed process it is exact. After a loss of power it may be some groups behind; then the frames
//! themselves, each of which says what was synced before it, prove all but the last group.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile, is_full, read_up_to, write_all_at};
use crate::error::LogError;
use crate::format::{ACK_BYTES, Ack, Unusable, VERSION};

/// Name of the ack file in the log's folder.
pub(crate) const ACK_FILE: &str = "acked";

/// What the ack file of a folder says; nothing when there is none or it is damaged.
///
/// # Errors
/// [`LogError::Read`], and [`LogError::NewerVersion`] for a file of a later version.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Ack>, LogError> {
    let path = dir.join(ACK_FILE);
    let bytes = match disk.open(&path).and_then(|file| read_up_to(&*file, ACK_BYTES as u64)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LogError::read(&path, error)),
    };
    match Ack::decode(&bytes) {
        Ok(ack) => Ok(Some(ack)),
        Err(Unusable::Version(found)) => {
            Err(LogError::NewerVersion { path, found, known: VERSION })
        }
        Err(Unusable::Bad) => {
            tracing::warn!(path = %path.display(), "the ack file is damaged and was ignored");
            Ok(None)
        }
    }
}

/// The ack file of an open log.
#[derive(Debug)]
pub(crate) struct AckFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    log_id: u64,
    /// Writing failed: said once, then tried in silence.
    complained: bool,
}

impl AckFile {
    /// Opens or creates the file, writes `seq` and makes it durable, name included.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        log_id: u64,
        seq: u64,
    ) -> Result<Self, LogError> {
        let path = dir.join(ACK_FILE);
        let (file, new) = match disk.open(&path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (disk.create(&path).map_err(|error| LogError::write(&path, error))?, true)
            }
            Err(error) => return Err(LogError::read(&path, error)),
        };
        let bytes = Ack { log_id, seq }.encode();
        match write_all_at(&*file, &bytes, 0) {
            // Some file systems need space to overwrite; a full disk is no reason not to open.
            Err(error) if !new && is_full(&error) => {}
            written => written.map_err(|error| LogError::write(&path, error))?,
        }
        file.sync_data().map_err(|error| LogError::sync(&path, error))?;
        if new {
            disk.sync_dir(dir).map_err(|error| LogError::sync(dir, error))?;
        }
        Ok(Self { file, path, log_id, complained: false })
    }

    /// Writes `seq`, which must be synced. A failure costs only proof, so it is no error.
    pub(crate) fn write(&mut self, seq: u64) {
        let bytes = Ack { log_id: self.log_id, seq }.encode();
        if let Err(error) = write_all_at(&*self.file, &bytes, 0)
            && !std::mem::replace(&mut self.complained, true)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot write the ack file");
        }
    }

    /// Makes what was written survive a loss of power, as far as the disk can.
    pub(crate) fn sync(&self) {
        if let Err(error) = self.file.sync_data() {
            tracing::warn!(path = %self.path.display(), %error, "cannot sync the ack file");
        }
    }
}
