//! Projects in fresh folders, builds of them, and their tables as values that can be compared.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clicktrail_pipeline::{
    NodeResult, PipelineError, Reporter, RunRequest, RunSummary, Settings, Status, SystemClock,
    Verb, Workspace,
};
use clicktrail_project::{LoadOptions, SelectArgs};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// What an absent value is shown as.
pub(crate) const NULL: &str = "∅";

/// Folder of the real export rows; `None`, said aloud, where it is absent.
pub(crate) fn sample_dir() -> Option<PathBuf> {
    let dir = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .join("../../../shared/data/ga4_sample");
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("skipped: {} is not there", dir.display());
    None
}

/// A project in a folder of its own.
pub(crate) struct Shop {
    folder: TempDir,
    vars: Map<String, Value>,
}

impl Shop {
    /// A copy of the demo project, without data.
    pub(crate) fn demo() -> Self {
        let shop = Self::empty();
        let demo = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../demo");
        copy(&demo, shop.folder.path());
        shop.with("ga4_export", "data/events_*")
    }

    /// A folder without a project.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), vars: Map::new() }
    }

    /// A var of the command line.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.vars.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Copies an export file into `data/`.
    pub(crate) fn take(&self, file: &Path) {
        fs::create_dir_all(self.path("data")).unwrap();
        fs::copy(file, self.path("data").join(file.file_name().unwrap())).unwrap();
    }

    /// Where the project is and what the command line says of it.
    pub(crate) fn load(&self) -> LoadOptions {
        LoadOptions {
            project_dir: self.dir().to_path_buf(),
            vars: self.vars.clone(),
            run_started_at: "2026-11-23T18:00:01Z".into(),
            invocation_id: "test".into(),
            ..LoadOptions::default()
        }
    }

    pub(crate) fn open(&self) -> Result<Workspace, PipelineError> {
        let settings = Settings { load: self.load(), memory_bytes: None };
        Workspace::open(settings, Arc::new(SystemClock::default()))
    }

    pub(crate) fn execute(&self, request: &RunRequest) -> Result<RunSummary, PipelineError> {
        self.open()?.execute(request, &Quiet)
    }

    /// One verb over some nodes.
    pub(crate) fn run(&self, verb: Verb, select: &[&str]) -> RunSummary {
        let select = SelectArgs { select: words(select), ..SelectArgs::default() };
        self.execute(&RunRequest { select, ..RunRequest::new(verb) }).unwrap()
    }

    /// Seeds and models; everything must succeed.
    #[track_caller]
    pub(crate) fn build_tables(&self) -> RunSummary {
        good(self.execute(&RunRequest::new(Verb::Seed)).unwrap());
        good(self.execute(&RunRequest::new(Verb::Run)).unwrap())
    }

    /// Names of all tables that models and seeds keep, which are there.
    pub(crate) fn tables(&self) -> Vec<String> {
        let workspace = self.open().unwrap();
        let dir = workspace.warehouse_dir();
        let nodes = workspace.project().manifest.nodes.values();
        let names = nodes.map(|node| node.alias.clone());
        names.filter(|name| dir.join(name).join("_delta_log").is_dir()).collect()
    }

    /// Number and hash of the rows of every table, whatever their order.
    #[track_caller]
    pub(crate) fn contents(&self) -> BTreeMap<String, String> {
        self.tables().into_iter().map(|name| (name.clone(), self.content(&name))).collect()
    }

    /// The same of one table.
    #[track_caller]
    pub(crate) fn content(&self, table: &str) -> String {
        let mut total = Content::default();
        if table == "int_events" {
            // The widest table goes through memory day by day.
            for day in self.rows("select distinct event_date from int_events") {
                let sql = format!("select * from int_events where event_date = date '{day}'");
                self.batches(&sql).iter().for_each(|batch| total.add(batch));
            }
        } else {
            let sql = format!("select * from \"{table}\"");
            self.batches(&sql).iter().for_each(|batch| total.add(batch));
        }
        format!("{} rows, {:032x}", total.rows, total.sum)
    }
}

/// Something that answers queries.
pub(crate) trait Answers {
    /// Rows of a query.
    #[track_caller]
    fn batches(&self, sql: &str) -> Vec<RecordBatch>;

    /// The same, each as text, sorted.
    #[track_caller]
    fn rows(&self, sql: &str) -> Vec<String> {
        let mut rows: Vec<String> = self.batches(sql).iter().flat_map(shown).collect();
        rows.sort_unstable();
        rows
    }

    /// The one value of a query.
    #[track_caller]
    fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "{sql}");
        rows[0].clone()
    }
}

/// The tables that builds made.
impl Answers for Shop {
    #[track_caller]
    fn batches(&self, sql: &str) -> Vec<RecordBatch> {
        match self.open().unwrap().query(sql) {
            Ok(result) => result.batches,
            Err(error) => panic!("{}\n{sql}", error.problem().message),
        }
    }
}

#[derive(Default)]
struct Content {
    rows: usize,
    sum: u128,
}

impl Content {
    fn add(&mut self, batch: &RecordBatch) {
        let schema = batch.schema();
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).unwrap();
        for row in &converter.convert_columns(batch.columns()).unwrap() {
            let mut hasher = DefaultHasher::new();
            row.as_ref().hash(&mut hasher);
            let first = hasher.finish();
            first.hash(&mut hasher);
            let hash = u128::from(first) << 64 | u128::from(hasher.finish());
            self.sum = self.sum.wrapping_add(hash);
        }
        self.rows += batch.num_rows();
    }
}

/// The rows of a batch as text, columns apart by `|`.
pub(crate) fn shown(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null(NULL);
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    let row = |row| columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// Panics with every problem unless all went well.
#[track_caller]
pub(crate) fn good(summary: RunSummary) -> RunSummary {
    let bad: Vec<_> = summary
        .results
        .iter()
        .filter(|result| !matches!(result.status, Status::Success | Status::Pass))
        .map(|r| format!("{:?} {} {:?}", r.status, r.unique_id, r.problem))
        .collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    summary
}

/// Statuses by short name.
pub(crate) fn statuses(summary: &RunSummary) -> BTreeMap<String, Status> {
    summary.results.iter().map(|result| (result.name.clone(), result.status)).collect()
}

/// The result of a node.
#[track_caller]
pub(crate) fn result<'a>(summary: &'a RunSummary, name: &str) -> &'a NodeResult {
    let found = summary.results.iter().find(|result| result.name == name);
    found.unwrap_or_else(|| panic!("no result of {name}: {:?}", statuses(summary)))
}

pub(crate) fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Fails with the rows that are on one side only; a full dump of large tables helps nobody.
#[track_caller]
pub(crate) fn same(what: &str, sql: &[String], fold: &[String]) {
    if sql == fold {
        return;
    }
    let count = |rows: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += 1);
        counts
    };
    let (left, right) = (count(sql), count(fold));
    let only = |here: &BTreeMap<String, i64>, there: &BTreeMap<String, i64>| {
        let more = here.iter().filter(|(row, n)| there.get(*row).is_none_or(|other| *n > other));
        let rows: Vec<String> = more.map(|(row, _)| row.clone()).collect();
        let all = rows.len();
        format!("{all} rows\n  {}", rows.into_iter().take(8).collect::<Vec<_>>().join("\n  "))
    };
    let (sql_only, fold_only) = (only(&left, &right), only(&right, &left));
    panic!(
        "{what}: {} and {} rows\nonly left: {sql_only}\nonly right: {fold_only}",
        sql.len(),
        fold.len()
    );
}

/// Notes are kept for the test that asks, everything else is dropped.
#[derive(Default)]
pub(crate) struct Notes(pub(crate) Mutex<Vec<String>>);

impl Reporter for Notes {
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

pub(crate) struct Quiet;

impl Reporter for Quiet {}

/// Copies a folder; what runs leave in a project stays behind.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        } else if !["warehouse", "target", "data"].iter().any(|left| name == *left) {
            copy(&entry.path(), &to.join(name));
        }
    }
}
