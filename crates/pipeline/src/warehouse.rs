//! The folder of tables that a target's models live in.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use clicktrail_engine::delta::{DeltaTable, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::error::{PipelineError, Result};

/// Folder of the warehouse when the target names none.
const PATH_DEFAULT: &str = "warehouse";

/// Folder of temporary files, one folder a process.
const SPILL: &str = ".spill";

/// The tables of one target.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    dir: PathBuf,
}

/// Held while tables are written; the operating system lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Warehouse {
    /// The warehouse of a target: its `path`, relative to the project.
    pub(crate) fn of(project: &clicktrail_project::Project) -> Self {
        let path = project
            .target
            .fields
            .get("path")
            .and_then(|path| path.as_str())
            .unwrap_or(PATH_DEFAULT);
        Self { dir: project.dir.join(path) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn table(&self, name: &str) -> DeltaTable {
        DeltaTable::new(name, self.dir.join(name))
    }

    pub(crate) fn snapshot(&self, name: &str) -> Result<Option<Snapshot>> {
        Ok(self.table(name).snapshot()?)
    }

    /// This process's folder for what does not fit in memory.
    pub(crate) fn spill_dir(&self) -> Result<PathBuf> {
        let dir = self.dir.join(SPILL).join(std::process::id().to_string());
        fs::create_dir_all(&dir).map_err(PipelineError::io("create", &dir))?;
        Ok(dir)
    }

    /// Deletes this process's folder again.
    pub(crate) fn remove_spill_dir(&self) {
        let dir = self.dir.join(SPILL);
        let _ = fs::remove_dir_all(dir.join(std::process::id().to_string()));
        // Stays while another process has a folder in it.
        let _ = fs::remove_dir(dir);
    }

    /// Deletes what killed processes spilled.
    fn sweep_spill(&self) {
        let own = std::process::id().to_string();
        let Ok(entries) = fs::read_dir(self.dir.join(SPILL)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let alive = name == own || Path::new("/proc").join(&name).exists();
            if !alive {
                // What can't be deleted now is tried again by the next run.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Keeps other processes from writing at the same time.
    pub(crate) fn lock(&self) -> Result<Lock> {
        fs::create_dir_all(&self.dir).map_err(PipelineError::io("create", &self.dir))?;
        let path = self.dir.join(".lock");
        let file = File::create(&path).map_err(PipelineError::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => {
                self.sweep_spill();
                Ok(Lock { _file: file })
            }
            Err(TryLockError::WouldBlock) => Err(PipelineError::Locked { path }),
            Err(TryLockError::Error(error)) => Err(PipelineError::io("lock", path)(error)),
        }
    }
}

/// What a table remembers of its making, inside its own commit: so it can never be out of step with
/// the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BuildNote {
    /// Hash of the compiled SQL, of the views under it, and of the configuration.
    pub(crate) fingerprint: String,
    /// The key by which the table is kept up to date, if it is.
    pub(crate) key: Option<String>,
    /// Version of each table that was read.
    pub(crate) inputs: BTreeMap<String, u64>,
    /// Models by day: for each value of the key, a hash of the export files it was made from.
    pub(crate) days: BTreeMap<String, String>,
    /// Hash of the rows, whatever their order; empty where it was not worth computing.
    pub(crate) content: String,
}

impl BuildNote {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        serde_json::from_value(snapshot.note.clone()).unwrap_or_default()
    }
}
