//! The folder of tables that a target's models live in.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use clicktrail_engine::delta::{
    Commit, DeltaTable, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::erase::Erased;
use crate::error::{PipelineError, Result};

/// Folder of the warehouse when the target names none.
const PATH_DEFAULT: &str = "warehouse";

/// Folder of temporary files, one folder a process.
const SPILL: &str = ".spill";

/// A server that only reads holds the lock for milliseconds when it opens tables, and one that ends for as long as its last answer
/// takes: others wait so long for it.
const LOCK_ATTEMPTS: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The tables of one target.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    dir: PathBuf,
    /// The project's list of erased persons.
    erased: PathBuf,
    /// Another warehouse, and the tables that are read there and never written.
    below: Option<(PathBuf, Arc<BTreeSet<String>>)>,
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
        Self {
            dir: project.dir.join(path),
            erased: project.dir.join(crate::erase::LIST),
            below: None,
        }
    }

    /// A warehouse in another folder.
    #[cfg(feature = "bigquery")]
    pub(crate) fn apart(&self, dir: PathBuf) -> Self {
        Self { dir, erased: self.erased.clone(), below: None }
    }

    /// A warehouse in another folder, which reads the named tables here.
    pub(crate) fn beside(&self, dir: &Path, tables: BTreeSet<String>) -> Self {
        let below = Some((self.dir.clone(), Arc::new(tables)));
        Self { dir: dir.to_owned(), erased: self.erased.clone(), below }
    }

    /// Persons that were erased: their rows are left out wherever they come from.
    pub(crate) fn erased(&self) -> Result<Erased> {
        Erased::read(&self.erased)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn table(&self, name: &str) -> DeltaTable {
        let dir = match &self.below {
            Some((below, tables)) if tables.contains(name) => below,
            _ => &self.dir,
        };
        DeltaTable::new(name, dir.join(name))
    }

    pub(crate) fn snapshot(&self, name: &str) -> Result<Option<Snapshot>> {
        Ok(self.table(name).snapshot()?)
    }

    /// Folder of what a server keeps for itself, beside the tables.
    pub(crate) fn live_dir(&self) -> PathBuf {
        self.dir.join(".live")
    }

    /// Names of all tables, sorted; none before the first build.
    pub(crate) fn tables(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PipelineError::io("read", &self.dir)(error)),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("_delta_log").is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Folder of its event log.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.live_dir().join("log")
    }

    /// Adds rows to a table, which is made where it is missing; `note` is kept with the commit.
    pub(crate) fn append(
        &self,
        name: &str,
        rows: &RecordBatch,
        note: serde_json::Value,
        at_micros: i64,
    ) -> Result<()> {
        let table = self.table(name);
        let base = table.snapshot()?;
        let schema = stored_schema(&rows.schema())?;
        let mut writer = TableWriter::new(
            &table,
            base.as_ref(),
            Arc::clone(&schema),
            WriterSettings::default(),
            Arc::default(),
        )?;
        writer.write(rows)?;
        let commit = Commit {
            schema,
            partition_columns: Vec::new(),
            added: writer.finish()?,
            removed: Removal::Nothing,
            note,
            at_millis: at_micros / 1000,
        };
        table.commit(base.as_ref(), commit)?;
        Ok(())
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
        for attempt in 0..LOCK_ATTEMPTS {
            match file.try_lock() {
                Ok(()) => {
                    self.sweep_spill();
                    return Ok(Lock { _file: file });
                }
                Err(TryLockError::WouldBlock) if attempt + 1 < LOCK_ATTEMPTS => {
                    thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => {
                    return Err(PipelineError::io("lock", path)(error));
                }
            }
        }
        Err(PipelineError::Locked { path })
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
