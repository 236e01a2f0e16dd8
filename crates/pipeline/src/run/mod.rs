//! Runs the selected nodes in the order of the graph.
//!
//! Models with the same live key that follow each other form a segment ([`segment`]) and are computed
//! together, range of keys by range of keys; every other model is computed on its own ([`single`]).
//! Data tests run as soon as all they read is built, and hold back what depends on it when they fail.

pub(crate) mod order;
pub(crate) mod seeds;
pub(crate) mod segment;
pub(crate) mod single;
pub(crate) mod tests;
pub(crate) mod unit_tests;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Mutex;

use clicktrail_engine::datafusion::Embedded;
use clicktrail_engine::delta::Snapshot;
use clicktrail_project::{Materialized, Node, ResourceType};

use self::order::Order;
use crate::catalog::{Catalog, live_key};
use crate::clock::Clock;
use crate::error::{PipelineError, Result};
use crate::report::{NodeResult, Reporter, Status};
use crate::workspace::{RunRequest, Verb};

/// What a table was before this run touched it, for those that read it later in the run.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) before: Option<Snapshot>,
    pub(crate) after: Snapshot,
    /// The keys whose rows changed, when they are known: (key column, values).
    pub(crate) keys: Option<(String, std::sync::Arc<BTreeSet<String>>)>,
}

/// One command at work.
pub(crate) struct Run<'a> {
    pub(crate) catalog: &'a Catalog<'a>,
    pub(crate) engine: &'a Embedded,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) request: &'a RunRequest,
    /// Tables written by this run, by name.
    pub(crate) changes: Mutex<BTreeMap<String, Change>>,
    pub(crate) results: Mutex<Vec<NodeResult>>,
    /// What unit tests know of the columns of models.
    pub(crate) schemas: Mutex<Option<unit_tests::Schemas>>,
}

/// Stack of a thread that plans: nested views recurse deeply.
const STACK_BYTES: usize = 16 << 20;

/// State of the nodes of a run.
struct Progress {
    /// For each node, what must end well before it begins: parents, and the tests that gate it.
    before: BTreeMap<String, BTreeSet<String>>,
    /// Not ended yet, in the order of the graph.
    open: Vec<String>,
    /// Ended badly, or skipped.
    bad: BTreeSet<String>,
    /// Models that asked for a key but are not local to it.
    demoted: BTreeSet<String>,
}

impl Run<'_> {
    /// Runs everything in `selected`; the results are in the order in which nodes ended.
    pub(crate) fn execute(&self, selected: &BTreeSet<String>) -> Result<()> {
        let open = self.order().of(selected);
        let before = open.iter().map(|id| (id.clone(), self.order().before(id))).collect();
        let mut progress =
            Progress { before, open, bad: BTreeSet::new(), demoted: BTreeSet::new() };
        while !progress.open.is_empty() {
            if self.request.fail_fast && !progress.bad.is_empty() {
                let rest = std::mem::take(&mut progress.open);
                rest.iter().for_each(|id| self.skip(id, "stopped by --fail-fast"));
                break;
            }
            let ready = self.ready(&progress);
            if self.skip_blocked(&mut progress) {
                continue;
            }
            let Some(first) = self.next(&ready, &progress) else {
                return Err(PipelineError::Setting {
                    message: "the graph can't be ordered".into(),
                    hint: None,
                });
            };
            match first {
                Step::Alone(id) if self.is_unit_test(&id) => self.unit_tests(&ready, &mut progress),
                Step::Alone(id) => {
                    let result = self.alone(&id);
                    self.end(&mut progress, result);
                }
                Step::Segment(key, ids) => self.segment(&key, ids, &mut progress)?,
            }
        }
        Ok(())
    }

    fn is_unit_test(&self, id: &str) -> bool {
        self.catalog.project.manifest.unit_tests.contains_key(id)
    }

    /// Runs the unit tests among nodes that are ready, as many at a time as there are threads: they read no table, and
    /// nearly all they do is planning, which is the work of one thread.
    fn unit_tests(&self, ready: &[String], progress: &mut Progress) {
        let tests: Vec<&String> = ready.iter().filter(|id| self.is_unit_test(id)).collect();
        for together in tests.chunks(self.engine.threads().max(1)) {
            if self.request.fail_fast && !progress.bad.is_empty() {
                return;
            }
            let results: Vec<NodeResult> = std::thread::scope(|scope| {
                let begun: Vec<_> = together
                    .iter()
                    .map(|id| {
                        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                        (*id, thread.spawn_scoped(scope, || self.alone(id)))
                    })
                    .collect();
                let ended = begun.into_iter().map(|(id, thread)| match thread {
                    Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                    // No more threads: this one is as good.
                    Err(_) => self.alone(id),
                });
                ended.collect()
            });
            for result in results {
                self.end(progress, result);
            }
        }
    }

    fn order(&self) -> Order<'_> {
        let manifest = &self.catalog.project.manifest;
        Order { manifest, verb: self.request.verb, units_need_parents: false }
    }

    fn ready(&self, progress: &Progress) -> Vec<String> {
        let open: BTreeSet<&String> = progress.open.iter().collect();
        progress
            .open
            .iter()
            .filter(|id| {
                progress
                    .before
                    .get(*id)
                    .is_none_or(|before| before.iter().all(|id| !open.contains(id)))
            })
            .cloned()
            .collect()
    }

    /// Skips nodes whose parents ended badly; true when there were any.
    fn skip_blocked(&self, progress: &mut Progress) -> bool {
        let blocked: Vec<String> =
            progress.open.iter().filter(|id| self.is_blocked(id, progress)).cloned().collect();
        for id in &blocked {
            self.skip(id, "");
            progress.bad.insert(id.clone());
        }
        progress.open.retain(|id| !blocked.contains(id));
        !blocked.is_empty()
    }

    fn is_blocked(&self, id: &str, progress: &Progress) -> bool {
        self.request.verb != Verb::Test
            && progress.before.get(id).is_some_and(|before| !before.is_disjoint(&progress.bad))
    }

    /// The next thing to do among nodes that are ready.
    fn next(&self, ready: &[String], progress: &Progress) -> Option<Step> {
        // Whatever stands alone goes first: it may let a segment grow.
        let key_of = |id: &String| {
            let node = self.catalog.node(id)?;
            let keyed = node.resource_type == ResourceType::Model && !progress.demoted.contains(id);
            live_key(node).filter(|_| keyed).map(str::to_owned)
        };
        if let Some(alone) = ready.iter().find(|id| key_of(id).is_none()) {
            return Some(Step::Alone(alone.clone()));
        }
        let key = key_of(ready.first()?)?;
        let mut members: Vec<String> =
            ready.iter().filter(|id| key_of(id).as_deref() == Some(&key)).cloned().collect();
        // Models below join when all that they still wait for is in the segment or tests of its members.
        loop {
            let inside: BTreeSet<&String> = members.iter().collect();
            let open: BTreeSet<&String> = progress.open.iter().collect();
            let more: Vec<String> = progress
                .open
                .iter()
                .filter(|id| !inside.contains(id) && key_of(id).as_deref() == Some(&key))
                .filter(|id| {
                    let before = progress.before.get(*id);
                    before.into_iter().flatten().filter(|before| open.contains(before)).all(
                        |before| {
                            inside.contains(before)
                                || (self.order().is_test(before)
                                    && self.order().all_parents(before).iter().all(|parent| {
                                        inside.contains(parent) || !open.contains(parent)
                                    }))
                        },
                    )
                })
                .cloned()
                .collect();
            if more.is_empty() {
                break;
            }
            members.extend(more);
        }
        let order: Vec<String> =
            progress.open.iter().filter(|id| members.contains(id)).cloned().collect();
        Some(Step::Segment(key, order))
    }

    fn alone(&self, id: &str) -> NodeResult {
        let manifest = &self.catalog.project.manifest;
        self.reporter.started(id, short_name(id));
        let start = self.clock.seconds();
        let mut result = if let Some(test) = manifest.unit_tests.get(id) {
            unit_tests::run(self, test)
        } else if let Some(node) = self.catalog.node(id) {
            match node.resource_type {
                ResourceType::Seed => self.settle(node, seeds::load(self, node)),
                ResourceType::Test => tests::run(self, node),
                _ => self.settle(node, single::build(self, node)),
            }
        } else {
            blank(id, "")
        };
        result.seconds = self.clock.seconds() - start;
        result
    }

    /// The result of a model or seed.
    pub(crate) fn settle(&self, node: &Node, built: Result<Built>) -> NodeResult {
        let mut result = blank(&node.unique_id, node.config.materialized.as_str());
        result.resource_type = node.resource_type.as_str().to_owned();
        result.name.clone_from(&node.name);
        match built {
            Ok(built) => {
                result.rows = built.rows;
                result.message = built.message;
            }
            Err(error) => {
                result.status = Status::Error;
                result.problem = Some(self.problem(node, &error));
            }
        }
        result
    }

    pub(crate) fn problem(&self, node: &Node, error: &PipelineError) -> crate::report::Problem {
        let compiled = self.catalog.compile(node).ok();
        let path = crate::artifacts::compiled_path(self.catalog.project, node);
        crate::problem::of_node(
            error,
            &node.original_file_path,
            compiled.as_ref().map(|compiled| (compiled, path)),
        )
    }

    fn segment(&self, key: &str, ids: Vec<String>, progress: &mut Progress) -> Result<()> {
        let members: Vec<&Node> = ids.iter().filter_map(|id| self.catalog.node(id)).collect();
        for node in &members {
            self.reporter.started(&node.unique_id, &node.name);
        }
        let outcome = segment::compute(self, key, &members);
        if let Some((id, why)) = outcome.not_local {
            self.reporter.note(&format!(
                "{} is not local to `{key}`: {why}; it is rebuilt as a whole and can't be kept up to date live",
                short_name(&id)
            ));
            progress.demoted.insert(id);
            return Ok(());
        }
        // Tables become visible in the order of the graph, each only when nothing before it failed.
        let mut drafts = outcome.drafts;
        for node in members {
            if !progress.open.contains(&node.unique_id) {
                continue;
            }
            self.run_ready_tests(progress);
            if self.is_blocked(&node.unique_id, progress)
                || (self.request.fail_fast && !progress.bad.is_empty())
            {
                if let Some(draft) = drafts.remove(&node.unique_id) {
                    draft.discard(self, node);
                }
                self.skip(&node.unique_id, "");
                progress.bad.insert(node.unique_id.clone());
                progress.open.retain(|id| *id != node.unique_id);
                continue;
            }
            let result = match drafts.remove(&node.unique_id) {
                Some(draft) => {
                    let seconds = draft.seconds;
                    let mut result = self.settle(node, draft.publish(self, node));
                    result.seconds = seconds;
                    result
                }
                None => self.settle(
                    node,
                    Err(PipelineError::Setting {
                        message: "the segment gave no result for this model".into(),
                        hint: None,
                    }),
                ),
            };
            self.end(progress, result);
        }
        Ok(())
    }

    fn run_ready_tests(&self, progress: &mut Progress) {
        let tests: Vec<String> = self
            .ready(progress)
            .into_iter()
            .filter(|id| {
                self.catalog.node(id).is_some_and(|node| node.resource_type == ResourceType::Test)
                    && !self.is_blocked(id, progress)
            })
            .collect();
        for id in tests {
            let result = self.alone(&id);
            self.end(progress, result);
        }
    }

    fn end(&self, progress: &mut Progress, result: NodeResult) {
        progress.open.retain(|id| *id != result.unique_id);
        if matches!(result.status, Status::Error | Status::Fail) {
            progress.bad.insert(result.unique_id.clone());
        }
        self.finish(result);
    }

    fn finish(&self, result: NodeResult) {
        self.reporter.finished(&result);
        self.results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(result);
    }

    fn skip(&self, id: &str, why: &str) {
        let mut result = blank(id, "");
        if let Some(node) = self.catalog.node(id) {
            result.materialized = node.config.materialized.as_str().to_owned();
            result.name.clone_from(&node.name);
            result.resource_type = node.resource_type.as_str().to_owned();
        }
        result.status = Status::Skipped;
        result.message = why.to_owned();
        self.finish(result);
    }

    /// Remembers that this run wrote a table.
    pub(crate) fn changed(&self, name: &str, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(name.to_owned(), change);
    }

    pub(crate) fn change_of(&self, name: &str) -> Option<Change> {
        self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(name).cloned()
    }
}

enum Step {
    Alone(String),
    Segment(String, Vec<String>),
}

/// What became of a model or seed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Built {
    /// Rows of the table afterwards.
    pub(crate) rows: Option<u64>,
    /// A few words for the line.
    pub(crate) message: String,
}

/// A result to be filled in.
pub(crate) fn blank(id: &str, materialized: &str) -> NodeResult {
    NodeResult {
        unique_id: id.to_owned(),
        name: short_name(id).to_owned(),
        resource_type: id.split('.').next().unwrap_or_default().to_owned(),
        materialized: materialized.to_owned(),
        status: Status::Success,
        rows: None,
        failures: None,
        seconds: 0.0,
        message: String::new(),
        problem: None,
        failures_table: None,
        cost: None,
    }
}

/// The name in `model.project.name` or `test.project.name.hash`.
pub(crate) fn short_name(id: &str) -> &str {
    id.splitn(3, '.').nth(2).unwrap_or(id)
}

/// Whether a model's rows only pass through: views and ephemeral models.
pub(crate) fn passes_through(node: &Node) -> bool {
    matches!(node.config.materialized, Materialized::View | Materialized::Ephemeral)
}
