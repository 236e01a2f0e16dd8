//! The selected nodes, several at a time, in the order of the graph.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Fault, FaultKind, fields_of};
use clicktrail_project::{CompileContext, Materialized, Node, ResourceType};

use super::cost::{bytes, dollars};
use super::{Remote, checks, materialize};
use crate::error::{PipelineError, Result};
use crate::report::{Cost, NodeResult, Status};
use crate::run::{blank, seeds, short_name};
use crate::workspace::Verb;

/// State of the nodes of a run.
struct State {
    /// For each node, what must end well before it begins.
    before: BTreeMap<String, BTreeSet<String>>,
    /// Not begun, in the order of the graph.
    open: Vec<String>,
    /// Begun and not ended.
    running: BTreeSet<String>,
    /// Ended badly, or skipped.
    bad: BTreeSet<String>,
}

impl State {
    fn next(&mut self) -> Option<String> {
        let waits = |id: &String| {
            let before = self.before.get(id);
            before
                .into_iter()
                .flatten()
                .any(|one| self.open.contains(one) || self.running.contains(one))
        };
        let index = self.open.iter().position(|id| !waits(id))?;
        let id = self.open.remove(index);
        self.running.insert(id.clone());
        Some(id)
    }
}

impl Remote<'_> {
    /// Runs the selected nodes on so many threads.
    pub(super) fn execute(&self, selected: &BTreeSet<String>, threads: usize) -> Result<()> {
        let order = self.order();
        let open = order.of(selected);
        let before = open.iter().map(|id| (id.clone(), order.before(id))).collect();
        let state = State { before, open, running: BTreeSet::new(), bad: BTreeSet::new() };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work(&state, &changed));
            }
        });
        Ok(())
    }

    fn work(&self, state: &Mutex<State>, changed: &Condvar) {
        let mut now = state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            self.skip_blocked(&mut now);
            if now.open.is_empty() {
                changed.notify_all();
                return;
            }
            let Some(id) = now.next() else {
                now = changed.wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(now);
            let result = self.one(&id);
            now = state.lock().unwrap_or_else(PoisonError::into_inner);
            now.running.remove(&id);
            if matches!(result.status, Status::Error | Status::Fail) {
                now.bad.insert(id);
            }
            self.finish(result);
            changed.notify_all();
        }
    }

    /// Skips nodes that something bad stands before.
    fn skip_blocked(&self, state: &mut State) {
        let stop = self.request.fail_fast && !state.bad.is_empty();
        loop {
            let blocked = |id: &String| {
                stop || (self.request.verb != Verb::Test
                    && state.before.get(id).is_some_and(|before| !before.is_disjoint(&state.bad)))
            };
            let Some(index) = state.open.iter().position(blocked) else { return };
            let id = state.open.remove(index);
            let mut result = self.blank(&id);
            result.status = Status::Skipped;
            result.message = if stop { "stopped by --fail-fast".into() } else { String::new() };
            self.finish(result);
            state.bad.insert(id);
        }
    }

    fn blank(&self, id: &str) -> NodeResult {
        let mut result = blank(id, "");
        if let Some(node) = self.project.manifest.nodes.get(id) {
            result.name.clone_from(&node.name);
            result.resource_type = node.resource_type.as_str().to_owned();
            if node.resource_type != ResourceType::Test {
                result.materialized = node.config.materialized.as_str().to_owned();
            }
        } else if let Some(test) = self.project.manifest.unit_tests.get(id) {
            result.name.clone_from(&test.name);
            result.resource_type = "unit_test".into();
        }
        result
    }

    fn finish(&self, result: NodeResult) {
        self.reporter.finished(&result);
        self.results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    }

    fn one(&self, id: &str) -> NodeResult {
        self.reporter.started(id, short_name(id));
        let start = self.clock.seconds();
        let mut result = self.blank(id);
        let manifest = &self.project.manifest;
        if let Some(test) = manifest.unit_tests.get(id) {
            checks::unit_test(self, test, &mut result);
        } else if let Some(node) = manifest.nodes.get(id) {
            let outcome = match node.resource_type {
                ResourceType::Test => checks::data_test(self, node, &mut result),
                ResourceType::Seed => materialize::seed(self, node).map(|rows| result.rows = rows),
                _ => materialize::model(self, node).map(|rows| result.rows = rows),
            };
            if let Err(error) = outcome {
                result.status = Status::Error;
                result.problem = Some(self.problem(node, &error));
            }
        }
        result.cost = self.budget.of(id);
        if let Some(cost) = result.cost.filter(|cost| cost.bytes_billed > 0) {
            let told = format!("{} ({})", bytes(cost.bytes_billed), dollars(cost.bytes_billed));
            result.message = [result.message, told].join(" ").trim().to_owned();
        }
        result.seconds = self.clock.seconds() - start;
        result
    }

    fn problem(&self, node: &Node, error: &PipelineError) -> crate::report::Problem {
        let compiled = self.compile(node).ok();
        let path = crate::artifacts::compiled_path(self.project, node);
        if let Some(compiled) = &compiled {
            // So that the place in the compiled text can be looked at.
            let _ = crate::artifacts::write(&self.project.dir.join(&path), &compiled.sql);
        }
        crate::problem::of_node(
            error,
            &node.original_file_path,
            compiled.as_ref().map(|compiled| (compiled, path)),
        )
    }

    /// Asks what each node would read, without running any; gives the sum of what is known. A node whose inputs are
    /// not built yet can't be asked about.
    pub(super) fn estimate(
        &self,
        selected: &BTreeSet<String>,
        threads: usize,
        tell: bool,
    ) -> Result<u64> {
        let open = Mutex::new(self.order().of(selected).into_iter().rev().collect::<Vec<_>>());
        let sums = Mutex::new((0u64, 0usize));
        let fault: Mutex<Option<PipelineError>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let next = open.lock().unwrap_or_else(PoisonError::into_inner).pop();
                        let Some(id) = next else { return };
                        match self.estimate_one(&id, tell) {
                            Ok(Some(read)) => {
                                sums.lock().unwrap_or_else(PoisonError::into_inner).0 += read;
                            }
                            Ok(None) => sums.lock().unwrap_or_else(PoisonError::into_inner).1 += 1,
                            Err(error) => {
                                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                                open.lock().unwrap_or_else(PoisonError::into_inner).clear();
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let (sum, unknown) = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        if tell {
            let mut told = format!("  in all {} ({})", bytes(sum), dollars(sum));
            if unknown > 0 {
                told.push_str(&format!(
                    "; {unknown} nodes not known before what they read is built"
                ));
            }
            self.reporter.note(&told);
            self.budget.check(sum)?;
        }
        Ok(sum)
    }

    /// A node's SQL with the views it reads written out: a view costs what its readers read, and need not be there yet.
    fn inlined(&self, node: &Node) -> Result<String> {
        let mut names = BTreeMap::new();
        for id in self.order().parents(&node.unique_id) {
            let Some(parent) = self.project.manifest.nodes.get(id) else { continue };
            let is_view = parent.config.materialized == Materialized::View;
            if is_view && parent.resource_type == ResourceType::Model {
                names.insert(id.clone(), format!("(\n{}\n)", self.inlined(parent)?));
            } else if parent.resource_type == ResourceType::Seed && self.kind(parent).is_none() {
                // Small enough to count as nothing, and not there before the first build.
                let fields = fields_of(&seeds::read(self.project, parent)?.0)?;
                names.insert(id.clone(), format!("({})", checks::fixture(&fields, &[])?));
            }
        }
        let context = CompileContext { relations: self, names: Some(&names), overrides: None };
        Ok(self.project.compile(node, &context)?.sql)
    }

    /// Bytes of one node; `None` when they can't be known yet.
    fn estimate_one(&self, id: &str, tell: bool) -> Result<Option<u64>> {
        let mut result = self.blank(id);
        let Some(node) = self.project.manifest.nodes.get(id) else { return Ok(Some(0)) };
        let free = node.resource_type == ResourceType::Seed
            || node.config.materialized == Materialized::Ephemeral;
        let read = if free {
            Some(0)
        } else {
            let asked = match self.client.dry_run(&self.inlined(node)?) {
                // A view's columns named by the view's own name, which is gone when it is written out.
                Err(EngineError::Sql { .. }) => self.client.dry_run(&self.compile(node)?.sql),
                other => other,
            };
            match asked {
                // Making a view reads nothing.
                Ok(_)
                    if node.config.materialized == Materialized::View
                        && node.resource_type == ResourceType::Model =>
                {
                    Some(0)
                }
                Ok(done) => Some(done.bytes_processed),
                Err(EngineError::Remote(Fault { kind: FaultKind::NotFound, .. })) => None,
                // The run itself tells it.
                Err(_) if !tell => None,
                Err(error) => {
                    result.status = Status::Error;
                    result.problem = Some(self.problem(node, &error.into()));
                    self.finish(result);
                    return Ok(Some(0));
                }
            }
        };
        if tell {
            match read {
                Some(read) => {
                    result.cost = Some(Cost { bytes_processed: read, bytes_billed: 0 });
                    result.message = format!("{} ({})", bytes(read), dollars(read));
                }
                None => {
                    result.status = Status::Skipped;
                    result.message = "reads what is not built yet".into();
                }
            }
            self.finish(result);
        }
        Ok(read)
    }
}
