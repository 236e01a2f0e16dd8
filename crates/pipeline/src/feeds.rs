//! Export files as feeds of the engine: which files a source has, which days they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use clicktrail_engine::datafusion::{Feed, FeedRows};
use clicktrail_ingest::{self as ingest, ExportFile, IngestError, Kind, ReadOptions, Rejects};
use clicktrail_project::{Project, Source};

use crate::erase::Erased;
use crate::error::{PipelineError, Result};
use crate::fingerprint;
use crate::report::Problem;
use crate::warehouse::Warehouse;

/// A source table and the var that says where its files are.
const FEEDS: [(&str, &str, &str); 3] = [
    ("ga4", "events", "ga4_export"),
    ("ga4", "events_intraday", "ga4_intraday"),
    ("live", "events_stream", "live_stream"),
];

/// The source that holds what the collector received: its name and its table's.
pub(crate) const STREAM: (&str, &str) = ("live", "events_stream");

/// That source as SQL names it.
pub(crate) const STREAM_NAME: &str = "live.events_stream";

/// The var that says where else events of the stream lie.
pub(crate) const STREAM_VAR: &str = "live_stream";

/// Column that holds the day of a row.
pub(crate) const DAY: &str = "event_date";

/// The export files of a project, found once per command.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    /// Name in SQL (`ga4.events`) → its files.
    files: BTreeMap<String, Vec<ExportFile>>,
    /// Rows that could not be read.
    pub(crate) rejects: Arc<Rejects>,
    /// Files that a pattern matched but that another source should read.
    pub(crate) passed_over: usize,
    /// Sources whose files can't be found, with the reason; told when somebody reads them.
    missing: BTreeMap<String, Problem>,
    /// Persons whose rows are left out.
    erased: Arc<Erased>,
}

impl Feeds {
    /// Finds the files of all sources.
    ///
    /// # Errors
    /// A pattern that matches nothing, a var of a wrong type.
    pub(crate) fn find(project: &Project) -> Result<Self> {
        let mut feeds = Self::open(project)?;
        match feeds.missing.pop_first() {
            Some((_, problem)) => Err(PipelineError::Located(Box::new(problem))),
            None => Ok(feeds),
        }
    }

    /// Finds the files of all sources; one without files is no fault before it is read.
    ///
    /// # Errors
    /// A var of a wrong type.
    pub(crate) fn open(project: &Project) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut missing = BTreeMap::new();
        let mut passed_over = 0;
        for (source, table, var) in FEEDS {
            let mut patterns = patterns(project, var)?;
            let mut found = Vec::new();
            if (source, table) == STREAM {
                found = collected(project, &mut patterns)?;
            }
            if !patterns.is_empty() {
                match ingest::discover(&patterns, &project.dir) {
                    Ok(files) => found.extend(files),
                    Err(error) => {
                        missing.insert(
                            format!("{source}.{table}"),
                            PipelineError::from(error).problem(),
                        );
                    }
                }
            }
            if table == "events" {
                // `events_*` also matches the running day's files; they have a source of their own.
                let all = found.len();
                found.retain(|file| file.kind != Kind::Intraday);
                passed_over += all - found.len();
            }
            files.insert(format!("{source}.{table}"), found);
        }
        if !patterns(project, "ga4_intraday")?.is_empty() {
            passed_over = 0;
        }
        let rejects = Rejects::new(max_bad_rows(project)?);
        let erased = Arc::new(Warehouse::of(project).erased()?);
        Ok(Self { files, rejects, passed_over, missing, erased })
    }

    /// Each source's name in SQL and the var that says where its files are; the daily export comes first.
    pub(crate) fn vars() -> Vec<(String, &'static str)> {
        FEEDS.iter().map(|(source, table, var)| (format!("{source}.{table}"), *var)).collect()
    }

    /// The name in SQL of a source table, if its rows are export files.
    pub(crate) fn name_of(source: &Source) -> Option<String> {
        FEEDS
            .iter()
            .any(|(name, table, _)| *name == source.source_name && *table == source.name)
            .then(|| format!("{}.{}", source.source_name, source.name))
    }

    /// All files of a source.
    pub(crate) fn files(&self, name: &str) -> &[ExportFile] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// A feed of all rows of a source.
    pub(crate) fn whole(&self, name: &str) -> Arc<ExportFeed> {
        let mut feed = ExportFeed::new(Arc::clone(&self.rejects), Arc::clone(&self.erased));
        feed.fault = self.missing.get(name).map(fault_text);
        feed.set(self.files(name).iter().cloned().map(|file| Part { file, days: None }).collect());
        Arc::new(feed)
    }

    /// An empty feed of a source, for [`ExportFeed::set`].
    pub(crate) fn empty(&self) -> Arc<ExportFeed> {
        Arc::new(ExportFeed::new(Arc::clone(&self.rejects), Arc::clone(&self.erased)))
    }

    /// Which files hold which day, over the given sources.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(crate) fn days(&self, sources: &[String]) -> Result<Days> {
        let mut days: BTreeMap<String, BTreeMap<String, Vec<Part>>> = BTreeMap::new();
        for source in sources {
            if let Some(problem) = self.missing.get(source) {
                return Err(PipelineError::Located(Box::new(problem.clone())));
            }
            for file in self.files(source) {
                let held = file.days()?;
                let single = held.len() == 1;
                for day in held {
                    let part = Part { file: file.clone(), days: (!single).then(|| day.clone()) };
                    days.entry(day).or_default().entry(source.clone()).or_default().push(part);
                }
            }
        }
        Ok(Days { days })
    }
}

/// Files of the table `events_stream`, where the collector's events are kept; takes its name from the patterns.
fn collected(project: &Project, patterns: &mut Vec<String>) -> Result<Vec<ExportFile>> {
    let before = patterns.len();
    patterns.retain(|pattern| pattern != STREAM.1);
    if patterns.len() == before {
        return Ok(Vec::new());
    }
    let Some(table) = Warehouse::of(project).snapshot(STREAM.1)? else { return Ok(Vec::new()) };
    table.files.iter().map(|file| Ok(ExportFile::at(&table.root.join(&file.path))?)).collect()
}

fn patterns(project: &Project, var: &str) -> Result<Vec<String>> {
    use serde_json::Value;
    let wrong = || PipelineError::Setting {
        message: format!("var `{var}` must be a path, a glob, or a list of them"),
        hint: Some(format!("as in `--vars '{{{var}: \"exports/events_*.parquet\"}}'`")),
    };
    match project.vars.get(var) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn max_bad_rows(project: &Project) -> Result<u64> {
    match project.vars.get("max_bad_rows") {
        None => Ok(ingest::MAX_BAD_ROWS_DEFAULT),
        Some(value) => value.as_u64().ok_or_else(|| PipelineError::Setting {
            message: format!("var `max_bad_rows` must be a whole number, not {value}"),
            hint: None,
        }),
    }
}

/// A file, or the rows of one day in it.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    file: ExportFile,
    days: Option<String>,
}

/// The files of each day (`YYYYMMDD`), by source.
#[derive(Debug, Default)]
pub(crate) struct Days {
    pub(crate) days: BTreeMap<String, BTreeMap<String, Vec<Part>>>,
}

impl Days {
    /// For each day, a hash that changes when any of its files does.
    pub(crate) fn fingerprints(&self, base: &Path) -> BTreeMap<String, String> {
        self.days
            .iter()
            .map(|(day, sources)| {
                let texts: Vec<String> = sources
                    .iter()
                    .flat_map(|(source, parts)| {
                        parts.iter().map(move |part| {
                            let file = &part.file;
                            let path = file.path.strip_prefix(base).unwrap_or(&file.path);
                            format!("{source}|{}|{}|{}", path.display(), file.bytes, file.modified)
                        })
                    })
                    .collect();
                (day.clone(), fingerprint::of(texts.iter().map(String::as_str)))
            })
            .collect()
    }
}

/// Export files as a feed; the files can be exchanged between runs of a plan.
#[derive(Debug)]
pub(crate) struct ExportFeed {
    parts: RwLock<Vec<Part>>,
    rejects: Arc<Rejects>,
    /// Why there is nothing to read.
    fault: Option<String>,
    erased: Arc<Erased>,
}

impl ExportFeed {
    fn new(rejects: Arc<Rejects>, erased: Arc<Erased>) -> Self {
        Self { parts: RwLock::default(), rejects, fault: None, erased }
    }

    /// Replaces the files.
    pub(crate) fn set(&self, parts: Vec<Part>) {
        *self.parts.write().unwrap_or_else(PoisonError::into_inner) = parts;
    }

    fn open(&self, part: &Part, leaves: &[String]) -> Result<FeedRows, IngestError> {
        let mut columns = leaves.to_vec();
        // One file, several days; somebody erased: columns that tell are read too, and dropped if not asked for.
        let telling = part.days.iter().map(|_| DAY).chain(self.erased.columns());
        let added: Vec<&str> =
            telling.filter(|name| !leaves.iter().any(|column| column == name)).collect();
        columns.extend(added.iter().map(|&name| name.to_owned()));
        let rows = ingest::open(&part.file, &self.options(columns))?;
        if part.days.is_none() && self.erased.is_empty() {
            return Ok(Box::new(rows.map(|batch| batch.map_err(|error| text(&error)))));
        }
        let (day, erased) = (part.days.clone(), Arc::clone(&self.erased));
        Ok(Box::new(rows.map(move |batch| {
            let batch = batch.map_err(|error| text(&error))?;
            wanted_rows(batch, day.as_deref(), &erased, &added).map_err(|error| error.to_string())
        })))
    }

    fn options(&self, columns: Vec<String>) -> ReadOptions {
        ReadOptions {
            columns: Some(columns),
            rejects: Arc::clone(&self.rejects),
            ..ReadOptions::default()
        }
    }
}

/// Rows of the day, of nobody erased, without the columns that were read to tell.
fn wanted_rows(
    batch: RecordBatch,
    day: Option<&str>,
    erased: &Erased,
    added: &[&str],
) -> Result<RecordBatch, ArrowError> {
    let mut rows = match day {
        None => batch,
        Some(_) => {
            let days = batch.column(batch.schema().index_of(DAY)?);
            let wanted: BooleanArray =
                days.as_string_view().iter().map(|value| Some(value == day)).collect();
            filter_record_batch(&batch, &wanted)?
        }
    };
    rows = erased.without(rows)?;
    for name in added {
        rows.remove_column(rows.schema().index_of(name)?);
    }
    Ok(rows)
}

/// An error of the reader as a feed's text; [`crate::problem`] takes it apart again.
pub(crate) fn text(error: &IngestError) -> String {
    match error.hint() {
        Some(hint) => format!("[{}] {error}\nhint: {hint}", error.code()),
        None => format!("[{}] {error}", error.code()),
    }
}

fn fault_text(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("[{}] {}\nhint: {hint}", problem.code, problem.message),
        None => format!("[{}] {}", problem.code, problem.message),
    }
}

impl Feed for ExportFeed {
    fn schema(&self, leaves: Option<&[String]>) -> SchemaRef {
        match leaves {
            // The paths come from plans over the whole schema, so they are all known.
            Some(leaves) => {
                ingest::schema::project(leaves).unwrap_or_else(|_| ingest::schema::events())
            }
            None => ingest::schema::events(),
        }
    }

    fn partitions(&self) -> usize {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner).len();
        // A missing source must be read once, to fail.
        parts.max(usize::from(self.fault.is_some()))
    }

    fn read(&self, partition: usize, leaves: &[String]) -> Result<FeedRows, String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let part =
            self.parts.read().unwrap_or_else(PoisonError::into_inner).get(partition).cloned();
        match part {
            Some(part) => self.open(&part, leaves).map_err(|error| text(&error)),
            None => Ok(Box::new(std::iter::empty())),
        }
    }
}

/// The days named by a set of fingerprints that differ between two builds.
pub(crate) fn changed_days(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> BTreeSet<String> {
    before
        .keys()
        .chain(now.keys())
        .filter(|day| before.get(*day) != now.get(*day))
        .cloned()
        .collect()
}
