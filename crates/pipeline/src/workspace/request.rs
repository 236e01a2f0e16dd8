//! What is asked of a workspace, and what it answers.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use clicktrail_project::{LoadOptions, SelectArgs};

/// What a user decides before anything is read.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Project folder, profile, target, vars, environment.
    pub load: LoadOptions,
    /// Bytes that the engine may hold before it spills; `None`: a default from the machine's memory.
    pub memory_bytes: Option<usize>,
}

/// Which dbt verb is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Models only.
    Run,
    /// Data tests and unit tests only.
    Test,
    /// Seeds, models, tests, in the order of the graph.
    Build,
    /// Seeds only.
    Seed,
}

impl Verb {
    /// The word of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Test => "test",
            Self::Build => "build",
            Self::Seed => "seed",
        }
    }
}

/// One run, test, build or seed.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The verb.
    pub verb: Verb,
    /// `--select`, `--exclude`, `--selector`, `--state`.
    pub select: SelectArgs,
    /// Rebuild tables from nothing.
    pub full_refresh: bool,
    /// Stop at the first failure.
    pub fail_fast: bool,
    /// Rebuild the last so many days of the export even when its files look unchanged.
    pub rebuild_days: u32,
    /// Turn warnings into failures.
    pub warn_error: bool,
    /// Keep the failing rows of tests as tables, whatever their config says.
    pub store_failures: bool,
    /// Only ask the warehouse what each node would read.
    pub dry_run: bool,
    /// Bytes that the whole run may bill at most, in a warehouse that charges for them.
    pub max_bytes: Option<u64>,
}

impl RunRequest {
    /// The verb over the whole project, without further flags.
    pub fn new(verb: Verb) -> Self {
        Self {
            verb,
            select: SelectArgs::default(),
            full_refresh: false,
            fail_fast: false,
            rebuild_days: 0,
            warn_error: false,
            store_failures: false,
            dry_run: false,
            max_bytes: None,
        }
    }
}

/// Rows of a query.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Columns.
    pub schema: SchemaRef,
    /// Rows.
    pub batches: Vec<RecordBatch>,
}

/// One line of `debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: `project`, `profile`, `warehouse`, `source ga4.events`, …
    pub subject: String,
    /// Whether it is well.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do when it is not.
    pub fix: Option<String>,
}

/// A compiled node, as `compile` and `show` give it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledNode {
    /// dbt's unique id.
    pub unique_id: String,
    /// Short name.
    pub name: String,
    /// The SQL.
    pub sql: String,
    /// Where it was written, relative to the project folder.
    pub path: PathBuf,
}

/// What `show` shows.
#[derive(Debug, Clone, Copy)]
pub enum ShowWhat<'a> {
    /// A selected node, by unique id.
    Node(&'a str),
    /// Jinja-SQL given on the command line.
    Inline(&'a str),
}
