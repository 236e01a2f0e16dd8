//! A table's log: which files are in it, at which version.
//!
//! A commit is one JSON file whose creation under its version number is atomic, so a reader sees the
//! table before or after it, never between; a killed writer leaves data files that no version names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use arrow::datatypes::{Schema, SchemaRef};
use serde_json::{Value, json};

use super::replay::{CRC, Replay, crc_of, is_whole};
use super::schema::{has_wall_clock, to_delta};
use super::sums;
use crate::error::{EngineError, Result};

/// A table's folder.
#[derive(Debug, Clone)]
pub struct DeltaTable {
    name: String,
    root: PathBuf,
}

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Relative to the table's folder, with `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// CRC-32C of its bytes, where the writer noted it.
    pub crc: Option<u32>,
    /// Value of each partition column as text; `None` is null.
    pub partition: BTreeMap<String, Option<String>>,
}

/// A table at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Table name, for messages.
    pub name: String,
    /// The table's folder.
    pub root: PathBuf,
    /// Version: 0 for the first commit.
    pub version: u64,
    /// Columns, partition columns included.
    pub schema: SchemaRef,
    /// Names of the partition columns.
    pub partition_columns: Vec<String>,
    /// Files, sorted by path.
    pub files: Vec<DataFile>,
    /// What the writer noted with the last commit (the build's fingerprints).
    pub note: Value,
}

impl Snapshot {
    /// Rows of the whole table.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes on disk of the files in this version.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Which files a commit takes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// None: the commit appends.
    Nothing,
    /// All of the version before: the commit overwrites.
    Everything,
    /// These paths.
    Files(Vec<String>),
}

/// A change to a table.
#[derive(Debug)]
pub struct Commit {
    /// Columns after the change.
    pub schema: SchemaRef,
    /// Names of the partition columns after the change.
    pub partition_columns: Vec<String>,
    /// Files that come in; written and synced before.
    pub added: Vec<DataFile>,
    /// Files that go.
    pub removed: Removal,
    /// Kept with the commit and given back by [`Snapshot::note`].
    pub note: Value,
    /// Wall clock of the commit, milliseconds since 1970.
    pub at_millis: i64,
}

impl DeltaTable {
    /// The table `name` in the folder `root`, which need not exist.
    pub fn new(name: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), root: root.into() }
    }

    /// The table's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn log_dir(&self) -> PathBuf {
        self.root.join("_delta_log")
    }

    fn damaged(&self, what: impl Into<String>) -> EngineError {
        EngineError::Damaged { table: self.name.clone(), what: what.into() }
    }

    /// Commit files in order of version; empty when the table does not exist.
    fn versions(&self) -> Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(self.log_dir()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::io("read", self.log_dir())(error)),
        };
        let mut versions = Vec::new();
        for entry in entries {
            let path = entry.map_err(EngineError::io("read", self.log_dir()))?.path();
            let version = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".json"))
                .filter(|digits| digits.len() == 20)
                .and_then(|digits| digits.parse::<u64>().ok());
            if let Some(version) = version {
                versions.push((version, path));
            }
        }
        versions.sort_unstable();
        for (expected, (version, _)) in versions.iter().enumerate() {
            if *version != expected as u64 {
                return Err(self.damaged(format!("version {expected} is missing from its log")));
            }
        }
        Ok(versions)
    }

    /// Number of the newest version, or `None` when the table does not exist. Reads no file.
    ///
    /// # Errors
    /// As [`DeltaTable::snapshot`].
    pub fn version(&self) -> Result<Option<u64>> {
        Ok(self.versions()?.last().map(|(version, _)| *version))
    }

    /// The newest version, or `None` when the table does not exist.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the log is not what a writer leaves, [`EngineError::Io`].
    pub fn snapshot(&self) -> Result<Option<Snapshot>> {
        let versions = self.versions()?;
        let Some((version, _)) = versions.last() else { return Ok(None) };
        let mut replay = Replay::default();
        for (_, path) in &versions {
            let text = fs::read(path).map_err(EngineError::io("read", path))?;
            let text = String::from_utf8(text)
                .map_err(|error| self.damaged(format!("{}: {error}", path.display())))?;
            for (line, action) in text.lines().enumerate() {
                let action: Value = serde_json::from_str(action).map_err(|error| {
                    self.damaged(format!("{}:{}: {error}", path.display(), line + 1))
                })?;
                if line == 0 && !is_whole(&action, &text) {
                    return Err(self.damaged(format!(
                        "{} is not as it was written: its checksum differs",
                        path.display()
                    )));
                }
                replay.apply(&action);
            }
        }
        let schema = replay.schema.ok_or_else(|| self.damaged("its log has no readable schema"))?;
        Ok(Some(Snapshot {
            name: self.name.clone(),
            root: self.root.clone(),
            version: *version,
            schema,
            partition_columns: replay.partition_columns,
            files: replay.files.into_values().collect(),
            note: replay.note,
        }))
    }

    /// Makes the change the next version after `base` (`None`: the table is new).
    ///
    /// Afterwards, files that left the table before this commit are deleted, so that readers of the
    /// version just replaced are not disturbed.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when that version exists, [`EngineError::Io`].
    pub fn commit(&self, base: Option<&Snapshot>, commit: Commit) -> Result<Snapshot> {
        let version = base.map_or(0, |base| base.version + 1);
        let dir = self.log_dir();
        fs::create_dir_all(&dir).map_err(EngineError::io("create", &dir))?;
        let removed: Vec<&DataFile> = base.map_or_else(Vec::new, |base| match &commit.removed {
            Removal::Nothing => Vec::new(),
            Removal::Everything => base.files.iter().collect(),
            Removal::Files(paths) => {
                base.files.iter().filter(|file| paths.contains(&file.path)).collect()
            }
        });
        let text = self.actions(base, &commit, &removed);
        let target = dir.join(format!("{version:020}.json"));
        let draft = dir.join(format!(".{version:020}.tmp"));
        write_synced(&draft, text.as_bytes())?;
        // A hard link fails where the name exists: that is the atomic "create if absent" of the protocol.
        let linked = fs::hard_link(&draft, &target);
        let _ = fs::remove_file(&draft);
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(EngineError::Conflict { table: self.name.clone(), version });
            }
            Err(error) => return Err(EngineError::io("write", target)(error)),
        }
        sync_dir(&dir)?;
        let removed: Vec<String> = removed.iter().map(|file| file.path.clone()).collect();
        let mut files: BTreeMap<String, DataFile> = base
            .iter()
            .flat_map(|base| base.files.iter().cloned())
            .filter(|file| !removed.contains(&file.path))
            .map(|file| (file.path.clone(), file))
            .collect();
        files.extend(commit.added.into_iter().map(|file| (file.path.clone(), file)));
        let snapshot = Snapshot {
            name: self.name.clone(),
            root: self.root.clone(),
            version,
            schema: commit.schema,
            partition_columns: commit.partition_columns,
            files: files.into_values().collect(),
            note: commit.note,
        };
        self.sweep(&snapshot, base);
        Ok(snapshot)
    }

    fn actions(&self, base: Option<&Snapshot>, commit: &Commit, removed: &[&DataFile]) -> String {
        let mut lines = Vec::new();
        let changed = base.is_none_or(|base| {
            base.schema != commit.schema || base.partition_columns != commit.partition_columns
        });
        if changed {
            lines.push(protocol(&commit.schema));
            lines.push(json!({"metaData": {
                "id": table_id(&self.name),
                "name": self.name,
                "format": {"provider": "parquet", "options": {}},
                "schemaString": to_delta(&commit.schema).to_string(),
                "partitionColumns": commit.partition_columns,
                "configuration": {},
                "createdTime": commit.at_millis,
            }}));
        }
        for file in removed {
            lines.push(json!({"remove": {
                "path": file.path, "deletionTimestamp": commit.at_millis, "dataChange": true,
                "extendedFileMetadata": true, "partitionValues": file.partition, "size": file.bytes,
            }}));
        }
        for file in &commit.added {
            lines.push(json!({"add": {
                "path": file.path, "partitionValues": file.partition, "size": file.bytes,
                "modificationTime": commit.at_millis, "dataChange": true,
                "stats": json!({"numRecords": file.rows}).to_string(),
                "tags": file.crc.map(|crc| json!({(CRC): sums::written(crc)})),
            }}));
        }
        let actions: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let info = json!({"commitInfo": {
            "timestamp": commit.at_millis,
            "operation": "WRITE",
            "engineInfo": concat!("clicktrail/", env!("CARGO_PKG_VERSION")),
            (CRC): sums::written(crc_of(&commit.note, &actions)),
            "clicktrail": commit.note,
        }});
        format!("{info}\n{actions}")
    }

    /// Deletes data files that no version names: what a failed run has written. `base` is the newest version.
    pub fn discard_unnamed(&self, base: Option<&Snapshot>) {
        // Names begin with the version they were written for; files of the version before may still be read.
        let prefix = format!("part-{:05}-", base.map_or(0, |base| base.version + 1));
        for_each_data_file(&self.root, &mut |path, relative| {
            let name = relative.rsplit('/').next().unwrap_or(relative);
            if name.starts_with(&prefix) {
                let _ = fs::remove_file(path);
            }
        });
    }

    /// Deletes all data files that this version, the newest one, does not name; gives their number. Readers of
    /// the version before lose it.
    ///
    /// # Errors
    /// [`EngineError::Io`] when a file can't be deleted.
    pub fn vacuum(&self, now: &Snapshot) -> Result<u64> {
        let (mut deleted, mut fault) = (0, None);
        for_each_data_file(&self.root, &mut |path, relative| {
            if now.files.iter().any(|file| file.path == relative) {
                return;
            }
            match fs::remove_file(path) {
                Ok(()) => deleted += 1,
                Err(error) => fault = Some(EngineError::io("delete", path)(error)),
            }
        });
        fault.map_or(Ok(deleted), Err)
    }

    /// Deletes data files that neither this version nor the one before names.
    fn sweep(&self, now: &Snapshot, before: Option<&Snapshot>) {
        let named = |path: &str| {
            now.files
                .iter()
                .chain(before.iter().flat_map(|before| &before.files))
                .any(|file| file.path == path)
        };
        for_each_data_file(&self.root, &mut |path, relative| {
            if !named(relative) {
                // A file that can't be deleted now is tried again at the next commit.
                let _ = fs::remove_file(path);
            }
        });
    }
}

/// Visits the Parquet files below a table's folder, with their paths relative to it.
fn for_each_data_file(root: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    let mut dirs = vec![(root.to_path_buf(), String::new())];
    while let Some((dir, prefix)) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = format!("{prefix}{name}");
            if entry.path().is_dir() {
                if name != "_delta_log" {
                    dirs.push((entry.path(), format!("{relative}/")));
                }
            } else if name.ends_with(".parquet") {
                visit(&entry.path(), &relative);
            }
        }
    }
}

fn protocol(schema: &Schema) -> Value {
    if has_wall_clock(schema) {
        json!({"protocol": {
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
        }})
    } else {
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
    }
}

/// A UUID-shaped id from the table's name: the same table has the same id in every build.
fn table_id(name: &str) -> String {
    use md5::{Digest, Md5};
    let digits: String =
        Md5::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..32]
    )
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(EngineError::io("write", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(EngineError::io("write", path))
}

/// Makes a name in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(EngineError::io("sync", dir))
}
