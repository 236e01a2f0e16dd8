//! The segment that gets the next frames: how it is begun, and how it is taken up again.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile, write_all_at};
use crate::error::LogError;
use crate::format::SegmentHeader;
use crate::recovery::Newest;
use crate::shelf::segment_path;

/// The segment that gets the next frames.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) first_seq: u64,
    /// Lowest number that may be asked for, as in a closed segment.
    pub(crate) begins: u64,
    /// Where the next frame begins.
    pub(crate) end: u64,
}

/// Creates an empty segment whose name and header are durable.
pub(crate) fn create(
    disk: &dyn Disk,
    dir: &Path,
    header: &SegmentHeader,
) -> Result<Active, LogError> {
    let path = segment_path(dir, header.first_seq);
    let file = disk.create(&path).map_err(|error| LogError::write(&path, error))?;
    let bytes = header.encode();
    write_all_at(&*file, &bytes, 0).map_err(|error| LogError::write(&path, error))?;
    file.sync_data().map_err(|error| LogError::sync(&path, error))?;
    disk.sync_dir(dir).map_err(|error| LogError::sync(dir, error))?;
    let first_seq = header.first_seq;
    Ok(Active { file, path, first_seq, begins: first_seq, end: bytes.len() as u64 })
}

/// Opens the newest segment to write on, and makes it durable.
///
/// What nothing proves to be on disk is written once more: when an earlier sync failed, the system
/// has dropped those bytes and still shows them, and a further sync would do nothing.
pub(crate) fn reopen(
    disk: &dyn Disk,
    dir: &Path,
    newest: &Newest,
    torn: bool,
) -> Result<Active, LogError> {
    let Newest { path, first_seq, begins, bytes, unproven_from } = newest;
    let file = disk.open(path).map_err(|error| LogError::read(path, error))?;
    let end = bytes.len() as u64;
    let write = |result: io::Result<()>| result.map_err(|error| LogError::write(path, error));
    if torn {
        write(file.set_len(end))?;
    }
    write(write_all_at(&*file, &bytes[*unproven_from..], *unproven_from as u64))?;
    file.sync_data().map_err(|error| LogError::sync(path, error))?;
    disk.sync_dir(dir).map_err(|error| LogError::sync(dir, error))?;
    Ok(Active { file, path: path.clone(), first_seq: *first_seq, begins: *begins, end })
}
