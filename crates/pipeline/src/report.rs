//! What a command did, node by node, and how it is told while it happens.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{PipelineError, Result};

/// How a node ended. The words are dbt's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A model or seed is built.
    Success,
    /// A test passed.
    Pass,
    /// A test with `severity: warn` found rows, or a source is stale.
    Warn,
    /// A test found rows, or a source is too old.
    Fail,
    /// The node could not be run.
    Error,
    /// Not run, because something before it failed.
    Skipped,
}

/// A problem with its place, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable code such as `E3001`.
    pub code: String,
    /// One line: what is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// File of the project (relative to it) or of the data.
    pub file: Option<PathBuf>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Column in that line, from 1.
    pub column: Option<usize>,
    /// Length of the marked text in characters; 0 when unknown.
    pub length: usize,
    /// The compiled SQL, with the line in it.
    pub compiled: Option<(PathBuf, usize)>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(code: impl Into<String>, message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            hint,
            file: None,
            line: None,
            column: None,
            length: 0,
            compiled: None,
        }
    }
}

/// The result of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeResult {
    /// dbt's unique id.
    pub unique_id: String,
    /// Short name.
    pub name: String,
    /// `model`, `seed`, `test`, `unit_test`, `source`.
    pub resource_type: String,
    /// `table`, `view`, `incremental`, `ephemeral`; empty for tests.
    pub materialized: String,
    /// How it ended.
    pub status: Status,
    /// Rows of the table after the run, where there is one.
    pub rows: Option<u64>,
    /// Failing rows of a test.
    pub failures: Option<u64>,
    /// Seconds of work.
    pub seconds: f64,
    /// A few words: `2 days`, `unchanged`, `all persons`, …
    pub message: String,
    /// What went wrong.
    pub problem: Option<Problem>,
    /// Name of the table with a test's failing rows, when they were kept.
    pub failures_table: Option<String>,
    /// What it cost, where the engine charges for bytes.
    pub cost: Option<Cost>,
}

/// Bytes that a node read in a warehouse that charges for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Bytes read, or to be read.
    pub bytes_processed: u64,
    /// Bytes that are paid for.
    pub bytes_billed: u64,
}

/// What is about to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPlan {
    /// dbt-like command: `build`, `run`, `test`, `seed`.
    pub command: String,
    /// Target name.
    pub target: String,
    /// Models, seeds, data tests, unit tests selected.
    pub counts: [usize; 4],
    /// Threads used.
    pub threads: usize,
}

/// The results of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// `build`, `run`, `test`, `seed`.
    pub command: String,
    /// In the order in which the nodes ended.
    pub results: Vec<NodeResult>,
    /// Seconds from start to end.
    pub seconds: f64,
}

impl RunSummary {
    /// Whether every node is well.
    ///
    /// # Errors
    /// The first node's problem.
    pub(crate) fn sound(self) -> Result<()> {
        let problem = self.results.into_iter().find_map(|result| result.problem);
        problem.map_or(Ok(()), |problem| Err(PipelineError::Located(Box::new(problem))))
    }

    /// Results with a status.
    pub fn count(&self, status: Status) -> usize {
        self.results.iter().filter(|result| result.status == status).count()
    }

    /// Whether anything failed: exit code 1.
    pub fn failed(&self) -> bool {
        self.results.iter().any(|result| matches!(result.status, Status::Error | Status::Fail))
    }
}

/// Told of progress while a command runs; called from several threads.
pub trait Reporter: Sync {
    /// Before the first node.
    fn planned(&self, plan: &RunPlan) {
        let _ = plan;
    }

    /// A node has begun.
    fn started(&self, unique_id: &str, name: &str) {
        let _ = (unique_id, name);
    }

    /// Work done on a node out of a total, in arbitrary units.
    fn progress(&self, unique_id: &str, done: usize, total: usize) {
        let _ = (unique_id, done, total);
    }

    /// A node has ended.
    fn finished(&self, result: &NodeResult) {
        let _ = result;
    }

    /// Something worth knowing that is no failure.
    fn note(&self, text: &str) {
        let _ = text;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {}
