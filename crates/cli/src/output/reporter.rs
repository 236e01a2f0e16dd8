//! Tells of a run while it goes on: lines and bars for people, events for programs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clicktrail_pipeline::{NodeResult, Reporter, RunPlan, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::terminal::Terminal;
use super::text::{node_line, plan_line};
use crate::session::Session;

/// How often a spinner turns: often enough to look alive, rarely enough to cost nothing.
const TICK: Duration = Duration::from_millis(120);

/// For people: one line per finished node; on a terminal, the running nodes below it.
pub(crate) struct TextReporter<'a> {
    session: &'a Session,
    bars: Option<MultiProgress>,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl<'a> TextReporter<'a> {
    /// Draws bars only where the terminal can.
    pub(crate) fn new(session: &'a Session) -> Self {
        let target = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bars = session.terminal.bars.then(target);
        Self { session, bars, running: Mutex::default() }
    }

    fn terminal(&self) -> &Terminal {
        &self.session.terminal
    }

    /// A line above the bars.
    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| self.terminal().line(text)),
            None => self.terminal().line(text),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for TextReporter<'_> {
    fn planned(&self, plan: &RunPlan) {
        tracing::info!(?plan, "planned");
        if !self.terminal().quiet {
            self.line(&plan_line(plan));
        }
    }

    fn started(&self, unique_id: &str, name: &str) {
        tracing::debug!(unique_id, "started");
        let Some(bars) = &self.bars else { return };
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {msg} {elapsed}"));
        bar.set_message(name.to_owned());
        bar.enable_steady_tick(TICK);
        self.running().insert(unique_id.to_owned(), bar);
    }

    fn progress(&self, unique_id: &str, done: usize, total: usize) {
        let running = self.running();
        let Some(bar) = running.get(unique_id) else { return };
        if bar.length().is_none() {
            bar.set_style(style("  {spinner} {msg} {elapsed} {bar:24} {pos}/{len}"));
        }
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    fn finished(&self, result: &NodeResult) {
        log_result(result);
        if let Some(bar) = self.running().remove(&result.unique_id) {
            bar.finish_and_clear();
        }
        let fine = matches!(result.status, Status::Success | Status::Pass);
        if !(self.terminal().quiet && fine) {
            self.line(&node_line(result, self.terminal()));
        }
    }

    fn note(&self, text: &str) {
        tracing::info!("{text}");
        if !self.terminal().quiet {
            self.line(&format!("  {text}"));
        }
    }
}

/// A template of ours; a mistake in it must not stop a build.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// For programs: one event per line.
pub(crate) struct JsonReporter<'a> {
    session: &'a Session,
}

impl<'a> JsonReporter<'a> {
    /// Writes to the session's stderr.
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session }
    }
}

impl Reporter for JsonReporter<'_> {
    fn planned(&self, plan: &RunPlan) {
        let [models, seeds, tests, unit_tests] = plan.counts;
        self.session.event(
            "planned",
            json!({
                "command": plan.command, "target": plan.target, "threads": plan.threads,
                "models": models, "seeds": seeds, "tests": tests, "unit_tests": unit_tests,
            }),
        );
    }

    fn started(&self, unique_id: &str, _name: &str) {
        self.session.event("node_started", json!({ "unique_id": unique_id }));
    }

    fn finished(&self, result: &NodeResult) {
        log_result(result);
        self.session.event("node_finished", json!({ "result": result }));
    }

    fn note(&self, text: &str) {
        self.session.note(text);
    }
}

/// The line in the log file.
fn log_result(result: &NodeResult) {
    let (unique_id, seconds) = (&result.unique_id, result.seconds);
    match (&result.problem, result.status) {
        (Some(problem), _) => {
            tracing::error!(unique_id, seconds, ?problem, "{}", problem.message);
        }
        (None, status) => {
            tracing::info!(unique_id, seconds, rows = result.rows, ?status, "{}", result.message);
        }
    }
}
