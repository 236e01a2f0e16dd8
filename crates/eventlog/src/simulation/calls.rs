//! The calls that the log makes, each of which may be the one that goes wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::{Call, Contents, NameChange, SimDisk, State, gone};
use crate::disk::{Disk, DiskFile, DiskLock, Space};

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        // Folders are there from the beginning.
        self.state().simple()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.simple()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.simple()?;
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&state, file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let down = state.enter(Call::Other)?;
        if down && state.rng.chance(50) {
            return Err(gone());
        }
        let file = match state.names.get(path) {
            Some(file) => {
                let file = *file;
                state.files[file].set_len(0);
                file
            }
            None => {
                let file = state.files.len();
                state.files.push(Contents::default());
                state.change(NameChange::Link(path.to_owned(), file));
                file
            }
        };
        if down { Err(gone()) } else { Ok(self.handle(&state, file)) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let down = state.enter(Call::Other)?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if !down || state.rng.chance(50) {
            state.change(NameChange::Move(from.to_owned(), to.to_owned(), file));
        }
        if down { Err(gone()) } else { Ok(()) }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let down = state.enter(Call::Other)?;
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if !down || state.rng.chance(50) {
            state.change(NameChange::Unlink(path.to_owned()));
        }
        if down { Err(gone()) } else { Ok(()) }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        if state.enter(Call::SyncDir)? {
            return Err(gone());
        }
        let (done, left) =
            std::mem::take(&mut state.changes).into_iter().partition(|c| c.is_in(dir));
        state.changes = left;
        let done: Vec<NameChange> = done;
        for change in done {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        let mut state = self.state();
        state.simple()?;
        let free_bytes = state.capacity.saturating_sub(state.used());
        Ok(Space { free_bytes, total_bytes: state.capacity })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        state.simple()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned(), boot: state.boot }))
    }

    fn nonce(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.simple()?;
        Ok(state.rng.number())
    }
}

#[derive(Debug)]
struct Lock {
    disk: SimDisk,
    path: PathBuf,
    boot: u64,
}

impl DiskLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.boot == self.boot {
            state.locks.remove(&self.path);
        }
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) disk: SimDisk,
    pub(super) file: usize,
    pub(super) boot: u64,
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.boot == self.boot { Ok(state) } else { Err(gone()) }
    }
}

fn offset_of(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = &mut *self.state()?;
        state.simple()?;
        let seen = state.files[self.file].seen();
        let rest = seen.get(offset_of(offset)..).unwrap_or_default();
        let mut count = rest.len().min(buffer.len());
        if count > 1 && state.rng.chance(state.faults.short_percent) {
            count = 1 + offset_of(state.rng.below(count as u64 - 1));
        }
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let state = &mut *self.state()?;
        let down = state.enter(Call::Write)?;
        let part = offset_of(state.rng.below(bytes.len() as u64 + 1));
        let mut error = None;
        let mut count = bytes.len();
        let end = offset + count as u64;
        let grows = end.saturating_sub(state.files[self.file].seen().len() as u64);
        if down {
            error = Some(gone());
        } else if state.faults.fail_write == Some(state.calls.writes) {
            error = Some(io::Error::other("simulated I/O error"));
        } else if state.faults.full_at_write == Some(state.calls.writes)
            || (grows > 0 && state.used() + grows > state.capacity)
        {
            error = Some(io::ErrorKind::StorageFull.into());
        } else if count > 1 && state.rng.chance(state.faults.short_percent) {
            count = part.max(1);
        }
        let written = if error.is_some() { part } else { count };
        state.files[self.file].write(&bytes[..written], offset_of(offset));
        match error {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        state.simple()?;
        Ok(state.files[self.file].seen().len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let down = state.enter(Call::Other)?;
        if !down || state.rng.chance(50) {
            state.files[self.file].set_len(offset_of(bytes));
        }
        if down { Err(gone()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let state = &mut *self.state()?;
        if state.enter(Call::Sync)? {
            return Err(gone());
        }
        if state.faults.fail_sync == Some(state.calls.syncs) {
            state.files[self.file].fail_sync(&mut state.rng);
            return Err(io::Error::other("simulated I/O error"));
        }
        state.files[self.file].sync();
        Ok(())
    }
}
