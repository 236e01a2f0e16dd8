//! Finds export files: files, folders and globs to a sorted list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use arrow::array::AsArray;
use chrono::NaiveDate;

use crate::{IngestError, ReadOptions, Rejects, open, parquet};

/// How alike two names must be (Jaro–Winkler) before one is suggested for the other.
const SIMILARITY_MIN: f64 = 0.75;

/// How a file is encoded, told by its ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Format {
    /// `.parquet`
    Parquet,
    /// `.ndjson`, `.json` or `.jsonl`, one object a line; each also with `.gz`.
    Ndjson {
        /// True when gzip-compressed.
        gzip: bool,
    },
}

impl Format {
    /// The format that a file name's ending tells, in any case.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".parquet") {
            return Some(Self::Parquet);
        }
        let (name, gzip) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let known = [".ndjson", ".json", ".jsonl"].iter().any(|ending| name.ends_with(ending));
        known.then_some(Self::Ndjson { gzip })
    }

    /// The ending that [`crate::generate`] gives to files of this format.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Parquet => ".parquet",
            Self::Ndjson { gzip: false } => ".ndjson",
            Self::Ndjson { gzip: true } => ".ndjson.gz",
        }
    }
}

/// Which of the export's tables a file comes from, told by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `events_YYYYMMDD`, and every name that is none of the others.
    Daily,
    /// `events_intraday_YYYYMMDD`: the running day, without attribution columns.
    Intraday,
    /// `events_fresh_YYYYMMDD`: Google Analytics 360 only.
    Fresh,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExportFile {
    /// Where it is; starts with the `base_dir` given to [`discover`] unless the pattern was
    /// absolute.
    pub path: PathBuf,
    /// Its encoding.
    pub format: Format,
    /// The day in its name, when there is one.
    pub day: Option<NaiveDate>,
    /// The export table in its name.
    pub kind: Kind,
    /// Its size in bytes.
    pub bytes: u64,
    /// Last modification, nanoseconds since 1970-01-01 UTC; 0 when the file system does not tell.
    pub modified: u64,
}

impl ExportFile {
    /// Describes one file by its name and metadata, without opening it.
    ///
    /// # Errors
    /// [`IngestError::Read`] when it does not exist or cannot be examined;
    /// [`IngestError::NoFiles`] when its ending is unknown.
    pub fn at(path: &Path) -> Result<Self, IngestError> {
        let metadata = std::fs::metadata(path).map_err(|error| IngestError::read(path, error))?;
        let name = file_name(path);
        let Some(format) = Format::of(&name) else {
            let pattern = path.display().to_string();
            return Err(IngestError::NoFiles { pattern, nearest: None });
        };
        let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let (kind, day) = kind_and_day(&name);
        Ok(Self {
            path: path.to_owned(),
            format,
            day,
            kind,
            bytes: metadata.len(),
            modified: since.map_or(0, |since| since.as_nanos().try_into().unwrap_or(u64::MAX)),
        })
    }

    /// The `event_date` values (`YYYYMMDD`) of the file's rows, nulls left out.
    ///
    /// Taken from the name when it has a day. Otherwise a Parquet file answers by its statistics or
    /// that one column; an NDJSON file is read through, its bad rows passed over.
    ///
    /// # Errors
    /// As [`crate::open`] and its reader.
    pub fn days(&self) -> Result<BTreeSet<String>, IngestError> {
        if let Some(day) = self.day {
            return Ok(BTreeSet::from([day.format("%Y%m%d").to_string()]));
        }
        if self.format == Format::Parquet
            && let Some(days) = parquet::days_by_statistics(&self.path)?
        {
            return Ok(days);
        }
        let options = ReadOptions {
            columns: Some(vec!["event_date".to_owned()]),
            rejects: Rejects::new(u64::MAX),
            ..ReadOptions::default()
        };
        let mut days: BTreeSet<String> = BTreeSet::new();
        for batch in open(self, &options)? {
            let batch = batch?;
            for day in batch.column(0).as_string_view().iter().flatten() {
                if !days.contains(day) {
                    days.insert(day.to_owned());
                }
            }
        }
        Ok(days)
    }
}

/// Finds the export files that `patterns` name, sorted by path, each once.
///
/// A pattern is a file, a folder (searched recursively for known endings, names that start with `.`
/// or `_` left out), or a glob (`*`, `?`, `[…]`, `**`); relative ones start at `base_dir`. The glob
/// `events_*` also matches intraday files: [`ExportFile::kind`] tells them apart.
///
/// # Errors
/// [`IngestError::NoFiles`] for the first pattern that finds nothing, with the nearest existing
/// entry; [`IngestError::BadPattern`] and [`IngestError::Read`] as their names say.
pub fn discover(patterns: &[String], base_dir: &Path) -> Result<Vec<ExportFile>, IngestError> {
    // Keyed by the real path, so that `a`, `./a` and a link to it are one file.
    let mut found: BTreeMap<PathBuf, ExportFile> = BTreeMap::new();
    for pattern in patterns {
        let mut paths = Vec::new();
        let whole: PathBuf = base_dir.join(pattern).components().collect();
        if whole.exists() {
            gather(&whole, &mut paths, true)?;
        } else {
            expand(pattern, base_dir, &mut paths)?;
        }
        if paths.is_empty() {
            let nearest = if whole.exists() { None } else { nearest_entry(&whole) };
            return Err(IngestError::NoFiles { pattern: pattern.clone(), nearest });
        }
        for path in paths {
            let file = ExportFile::at(&path)?;
            found.entry(path.canonicalize().unwrap_or(path)).or_insert(file);
        }
    }
    let mut files: Vec<ExportFile> = found.into_values().collect();
    files.sort();
    Ok(files)
}

/// Adds `path`, or what a folder holds. A file `named` by the caller must have a known ending, a
/// file that a folder or a glob brings along without one is passed over.
fn gather(path: &Path, into: &mut Vec<PathBuf>, named: bool) -> Result<(), IngestError> {
    if !path.is_dir() {
        if named || Format::of(&file_name(path)).is_some() {
            into.push(path.to_owned());
        }
        return Ok(());
    }
    let read = |error| IngestError::read(path, error);
    for entry in std::fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
        // Linked folders are left out: they can form a ring.
        let linked = entry.file_type().map_err(read)?.is_symlink();
        if !(hidden || linked && entry.path().is_dir()) {
            gather(&entry.path(), into, false)?;
        }
    }
    Ok(())
}

fn expand(pattern: &str, base_dir: &Path, into: &mut Vec<PathBuf>) -> Result<(), IngestError> {
    let whole = if Path::new(pattern).is_absolute() {
        pattern.to_owned()
    } else {
        let base = glob::Pattern::escape(&base_dir.to_string_lossy());
        Path::new(&base).join(pattern).to_string_lossy().into_owned()
    };
    let paths = glob::glob(&whole).map_err(|error| IngestError::BadPattern {
        pattern: pattern.to_owned(),
        reason: error.msg.to_owned(),
    })?;
    for path in paths {
        match path {
            Ok(path) => gather(&path.components().collect::<PathBuf>(), into, false)?,
            Err(error) => {
                let path = error.path().to_owned();
                return Err(IngestError::Read { path, source: error.into() });
            }
        }
    }
    Ok(())
}

/// The entry most like the missing `path`, in the deepest of its folders that exists.
fn nearest_entry(path: &Path) -> Option<PathBuf> {
    let parent = path.ancestors().skip(1).find(|ancestor| ancestor.is_dir())?;
    let missing = path.strip_prefix(parent).ok()?.components().next()?;
    let missing = missing.as_os_str().to_string_lossy().into_owned();
    let alike = |name: &str| strsim::jaro_winkler(name, &missing);
    let mut names: Vec<String> = std::fs::read_dir(parent)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| alike(name) >= SIMILARITY_MIN)
        .collect();
    names.sort();
    names.into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b))).map(|name| parent.join(name))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn kind_and_day(name: &str) -> (Kind, Option<NaiveDate>) {
    let Some(start) = name.find("events_") else { return (Kind::Daily, None) };
    let rest = &name[start + "events_".len()..];
    let (kind, rest) = match (rest.strip_prefix("intraday_"), rest.strip_prefix("fresh_")) {
        (Some(rest), _) => (Kind::Intraday, rest),
        (_, Some(rest)) => (Kind::Fresh, rest),
        _ => (Kind::Daily, rest),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let day = (digits == 8).then(|| NaiveDate::parse_from_str(&rest[..8], "%Y%m%d").ok());
    (kind, day.flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Option<NaiveDate> {
        Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap())
    }

    #[test]
    fn names_tell_kind_and_day() {
        let of = kind_and_day;
        assert_eq!(of("events_20210131.parquet"), (Kind::Daily, day("2021-01-31")));
        assert_eq!(of("events_20210131-000000000003.parquet"), (Kind::Daily, day("2021-01-31")));
        assert_eq!(of("events_intraday_20210131.json.gz"), (Kind::Intraday, day("2021-01-31")));
        assert_eq!(of("events_fresh_20210131.parquet"), (Kind::Fresh, day("2021-01-31")));
        assert_eq!(of("shop_events_20210131_1.parquet"), (Kind::Daily, day("2021-01-31")));
        assert_eq!(of("events_20211331.parquet"), (Kind::Daily, None));
        assert_eq!(of("events_202101310.parquet"), (Kind::Daily, None));
        assert_eq!(of("events_.parquet"), (Kind::Daily, None));
        assert_eq!(of("rows.ndjson"), (Kind::Daily, None));
    }

    #[test]
    fn endings_tell_the_format() {
        assert_eq!(Format::of("a.PARQUET"), Some(Format::Parquet));
        assert_eq!(Format::of("a.jsonl"), Some(Format::Ndjson { gzip: false }));
        assert_eq!(Format::of("a.json.gz"), Some(Format::Ndjson { gzip: true }));
        assert_eq!(Format::of("a.parquet.gz"), None);
        assert_eq!(Format::of("a.csv"), None);
    }
}
