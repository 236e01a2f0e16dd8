//! Targets in BigQuery: the same project, whose nodes are jobs there.
//!
//! | module | what it does |
//! |---|---|
//! | `target` | keys of the profile → a client |
//! | `graph` | the selected nodes, several at a time, in the order of the graph |
//! | `materialize` | a model's SQL → the statements that make its view or table |
//! | `checks` | data tests, unit tests |
//! | `drift` | columns that the newest table of a wildcard lacks |
//! | `cost` | bytes, money, and the limit of a run |
//! | `import` | tables of the export → Parquet files |
//! | `stream` | events → the table `events_stream` |
//! | `producers` | who sends events, how, and up to which number they are in |
//! | `mirror` | tables of the target → copies here, for a server |
//! | `publish` | tables of the embedded engine → BigQuery |
//! | `debug` | the checks of `debug` |
//!
//! Every job has an id of ours, so that a request whose answer was lost can be sent again: BigQuery runs an id once.
//! Tables are replaced by single statements: a failed run leaves the last good version.

mod checks;
mod cost;
mod debug;
mod drift;
mod graph;
mod import;
mod materialize;
mod mirror;
mod producers;
mod publish;
mod stream;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Client, Done, Query, Table, TableId};
use clicktrail_project::{
    Adapter, AdapterRelations, CompileContext, Compiled, Materialized, Node, Project, Relations,
    ResourceType, Source,
};

use self::cost::Budget;
pub(crate) use self::debug::checks as debug_checks;
pub use self::import::{ImportApi, ImportRequest, Imported};
pub(crate) use self::mirror::Mirror;
pub(crate) use self::publish::publish;
pub use self::stream::{SendBy, Sender, Sending, SentRows};
use crate::artifacts;
use crate::clock::Clock;
use crate::error::{PipelineError, Result};
use crate::report::{NodeResult, Reporter, RunSummary};
use crate::run::order::Order;
use crate::workspace::{QueryResult, RunRequest, ShowWhat, Workspace};

/// One command at work in BigQuery.
pub(crate) struct Remote<'a> {
    pub(crate) project: &'a Project,
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) request: &'a RunRequest,
    /// What exists, by name, as it was found or made: `TABLE`, `VIEW`.
    kinds: Mutex<BTreeMap<TableId, String>>,
    budget: Budget,
    jobs: AtomicU64,
    results: Mutex<Vec<NodeResult>>,
}

impl Relations for Remote<'_> {
    fn relation(&self, node: &Node) -> String {
        AdapterRelations(Adapter::Bigquery).relation(node)
    }

    fn source(&self, source: &Source) -> String {
        AdapterRelations(Adapter::Bigquery).source(source)
    }

    fn is_incremental(&self, node: &Node) -> bool {
        let refresh = node.config.full_refresh.unwrap_or(self.request.full_refresh);
        node.config.materialized == Materialized::Incremental
            && !refresh
            && self.kind(node).as_deref() == Some("TABLE")
    }
}

impl Remote<'_> {
    pub(crate) fn order(&self) -> Order<'_> {
        let manifest = &self.project.manifest;
        Order { manifest, verb: self.request.verb, units_need_parents: true }
    }

    fn compile(&self, node: &Node) -> Result<Compiled> {
        Ok(self.project.compile(node, &CompileContext::new(self))?)
    }

    /// Runs a statement for a node; bytes count against the run's limit. `shift` lines stand before the model's own.
    fn statement(&self, node: &str, sql: String, shift: usize, rows: bool) -> Result<Done> {
        let query = self.job(node, sql, rows);
        let done = self.client.query(&query).map_err(|error| shifted(error, shift))?;
        self.spent(node, &done);
        Ok(done)
    }

    /// A job of a node, under a number of its own in the run.
    fn job(&self, node: &str, sql: String, rows: bool) -> Query {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        let name = crate::run::short_name(node);
        let short: String = name.chars().take(60).collect();
        Query {
            sql,
            id: format!("{number}_{short}"),
            labels: vec![("clicktrail_node".into(), name.to_owned())],
            maximum_bytes_billed: self.budget.left(),
            rows,
        }
    }

    /// Counts what a job of a node read, unless an earlier attempt has been counted.
    fn spent(&self, node: &str, done: &Done) {
        if !done.attached {
            self.budget.spend(node, done);
        }
    }

    fn id_of(&self, node: &Node) -> TableId {
        table_id(self.client, node.database.as_deref(), &node.schema, &node.alias)
    }

    fn kind(&self, node: &Node) -> Option<String> {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.get(&self.id_of(node)).cloned()
    }

    fn set_kind(&self, node: &Node, kind: Option<&str>) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Some(kind) => kinds.insert(self.id_of(node), kind.to_owned()),
            None => kinds.remove(&self.id_of(node)),
        };
    }

    /// Looks what is there; makes datasets that are missing, when the run writes.
    fn look_around(&self) -> Result<()> {
        let mut datasets = BTreeSet::new();
        for node in self.project.manifest.nodes.values() {
            if matches!(node.resource_type, ResourceType::Model | ResourceType::Seed) {
                let id = self.id_of(node);
                datasets.insert((id.project, id.dataset));
            }
        }
        for (project, dataset) in datasets {
            if self.client.dataset(&project, &dataset)?.is_none() {
                if !self.request.dry_run {
                    self.client.create_dataset(&project, &dataset)?;
                }
                continue;
            }
            let tables = self.client.tables(&project, &dataset, "")?;
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.extend(tables.into_iter().map(|table| (table.id, table.kind)));
        }
        Ok(())
    }
}

/// Makes a dataset that is missing.
fn ensure_dataset(client: &Client, project: &str, dataset: &str) -> Result<()> {
    if client.dataset(project, dataset)?.is_none() {
        client.create_dataset(project, dataset)?;
    }
    Ok(())
}

/// A name with the target's project where none is stated.
fn table_id(client: &Client, database: Option<&str>, dataset: &str, table: &str) -> TableId {
    TableId {
        project: database.unwrap_or(&client.settings().project).to_owned(),
        dataset: dataset.to_owned(),
        table: table.to_owned(),
    }
}

/// An error whose place is counted from the model's first line.
fn shifted(error: EngineError, lines: usize) -> EngineError {
    match error {
        EngineError::Sql { message, position, subject, candidates, planning } => {
            let position = position.and_then(|(line, column)| {
                Some((line.checked_sub(lines).filter(|line| *line > 0)?, column))
            });
            EngineError::Sql { message, position, subject, candidates, planning }
        }
        other => other,
    }
}

/// Runs the selected nodes.
///
/// # Errors
/// What stops the run as a whole; failures of nodes are in the summary.
pub(crate) fn run(
    workspace: &Workspace,
    selected: &BTreeSet<String>,
    request: &RunRequest,
    reporter: &dyn Reporter,
) -> Result<RunSummary> {
    let start = workspace.clock.seconds();
    let client = target::client(workspace)?;
    let project = drift::adapted(workspace, &client, Some(selected), reporter)?;
    let threads = project.target.threads.max(1);
    reporter.planned(&workspace.run_plan(selected, request, threads));
    let remote = Remote {
        project: &project,
        client: &client,
        clock: workspace.clock.as_ref(),
        reporter,
        request,
        kinds: Mutex::default(),
        budget: Budget::new(request.max_bytes),
        jobs: AtomicU64::new(0),
        results: Mutex::default(),
    };
    remote.look_around()?;
    if request.dry_run {
        remote.estimate(selected, threads, true)?;
    } else {
        if request.max_bytes.is_some() {
            let known = remote.estimate(selected, threads, false)?;
            remote.budget.check(known)?;
        }
        remote.execute(selected, threads)?;
        remote.budget.tell(reporter);
    }
    let results = remote.results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let summary = RunSummary {
        command: request.verb.as_str().to_owned(),
        results,
        seconds: workspace.clock.seconds() - start,
    };
    if !request.dry_run {
        let id = &workspace.settings.load.invocation_id;
        let now = workspace.clock.now_micros();
        artifacts::write_results(&project, artifacts::RUN_RESULTS, &summary, now, id)?;
        project.manifest.write(&artifacts::target_dir(&project).join("manifest.json"))?;
    }
    Ok(summary)
}

/// Runs a query; unqualified names are those of the target's dataset.
///
/// # Errors
/// SQL faults, located in the query's own text.
pub(crate) fn query(workspace: &Workspace, sql: &str) -> Result<QueryResult> {
    let client = target::client(workspace)?;
    rows(&client, sql.to_owned()).map_err(crate::problem::of_query)
}

fn rows(client: &Client, sql: String) -> Result<QueryResult, EngineError> {
    let query = Query { sql, id: "query".into(), ..Query::default() };
    let (schema, batch, _) = client.rows(&query)?;
    Ok(QueryResult { schema, batches: vec![batch] })
}

/// First rows of a node or of Jinja-SQL.
///
/// # Errors
/// As [`query`].
pub(crate) fn show(
    workspace: &Workspace,
    what: ShowWhat<'_>,
    limit: Option<usize>,
) -> Result<QueryResult> {
    let client = target::client(workspace)?;
    let project = drift::adapted(workspace, &client, None, &crate::report::Silent)?;
    let relations = AdapterRelations(Adapter::Bigquery);
    let context = CompileContext::new(&relations);
    let sql = match what {
        ShowWhat::Inline(text) => project.compile_text(text, None, &context)?.sql,
        ShowWhat::Node(id) => match project.manifest.nodes.get(id) {
            Some(node) if node.resource_type == ResourceType::Seed => {
                format!("select * from {}", relations.relation(node))
            }
            Some(node) => project.compile(node, &context)?.sql,
            None => {
                return Err(PipelineError::Setting {
                    message: format!("`{id}` can't be shown"),
                    hint: Some("name a model, a seed or a data test".into()),
                });
            }
        },
    };
    let limit = limit.map(|limit| format!(" limit {limit}")).unwrap_or_default();
    Ok(rows(&client, format!("select * from (\n{sql}\n) as shown{limit}"))
        .map_err(|error| shifted(error, 1))?)
}

/// A table, with its columns, or why it can't be read.
fn known_table(client: &Client, id: &TableId) -> Result<Table> {
    client.table(id)?.ok_or_else(|| PipelineError::Setting {
        message: format!("`{id}` does not exist"),
        hint: Some("build it first: `clicktrail build --select +NAME`".into()),
    })
}

/// Tells seconds since 1970.
fn now(clock: &Arc<dyn Clock>) -> Arc<dyn Fn() -> i64 + Send + Sync> {
    let clock = Arc::clone(clock);
    Arc::new(move || clock.now_micros() / 1_000_000)
}
