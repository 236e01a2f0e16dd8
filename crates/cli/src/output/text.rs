//! The words for results: one line per node, and how a run ended.

use clicktrail_pipeline::{NodeResult, RunPlan, RunSummary, Status};
use serde_json::{Value, json};

use super::frame::{Source, draw};
use super::terminal::{Color, Terminal};

/// Problems drawn in full; the others are in run_results.json.
const PROBLEMS_DRAWN_MAX: usize = 10;

/// `218,404`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `218,404 rows`
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `0.31s`, `1m 05s`
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 59.995 {
        return format!("{seconds:.2}s");
    }
    let whole = seconds.round() as u64;
    format!("{}m {:02}s", whole / 60, whole % 60)
}

/// The line before the first node.
pub(crate) fn plan_line(plan: &RunPlan) -> String {
    let [models, seeds, tests, unit_tests] = plan.counts.map(|count| count as u64);
    let parts = [
        (models, "model", "models"),
        (seeds, "seed", "seeds"),
        (tests, "test", "tests"),
        (unit_tests, "unit test", "unit tests"),
    ];
    let nodes: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(*number, one, many))
        .collect();
    let nodes = if nodes.is_empty() { "nothing to do".to_owned() } else { nodes.join(", ") };
    let threads = count(plan.threads as u64, "thread", "threads");
    let version = env!("CARGO_PKG_VERSION");
    format!("  clicktrail {version} · target {} · {nodes} · {threads}", plan.target)
}

/// One finished node.
pub(crate) fn node_line(result: &NodeResult, terminal: &Terminal) -> String {
    let (mark, color) = match result.status {
        Status::Success | Status::Pass => ("✓", Color::Green),
        Status::Warn => ("⚠", Color::Yellow),
        Status::Fail | Status::Error => ("✗", Color::Red),
        Status::Skipped => ("–", Color::Dim),
    };
    let line = format!(
        "  {} {:<6} {:<32} {:<12} {:>14} {:>9}",
        terminal.paint(color, mark),
        result.resource_type.split('_').next().unwrap_or_default(),
        result.name,
        state(result),
        rows(result),
        duration(result.seconds)
    );
    let tail = tail(result);
    if tail.is_empty() { line } else { format!("{line}   {}", terminal.paint(Color::Dim, &tail)) }
}

/// How a table was made; for tests and whatever went wrong, how it ended.
fn state(result: &NodeResult) -> &str {
    match result.status {
        Status::Success if !result.materialized.is_empty() => &result.materialized,
        status => word(status),
    }
}

/// dbt's word.
fn word(status: Status) -> &'static str {
    match status {
        Status::Success => "success",
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
        Status::Error => "error",
        Status::Skipped => "skipped",
    }
}

fn rows(result: &NodeResult) -> String {
    match (result.failures, result.rows) {
        (Some(failures), _) if failures > 0 => count(failures, "row", "rows"),
        (None, Some(rows)) => count(rows, "row", "rows"),
        _ => String::new(),
    }
}

/// What else there is to say: the node's own words, or how to see a test's rows.
fn tail(result: &NodeResult) -> String {
    let found_rows = result.failures.is_some_and(|failures| failures > 0);
    let look = match &result.failures_table {
        Some(table) => format!("→ clicktrail query \"select * from {table}\""),
        None if found_rows => format!("→ clicktrail show -s {}", result.name),
        None => return result.message.clone(),
    };
    if result.message.is_empty() { look } else { format!("{}   {look}", result.message) }
}

/// What follows the last node: problems, then how long it took, then dbt's counts. With `--quiet`
/// a run without problems gets the counts only.
pub(crate) fn closing(summary: &RunSummary, source: Source<'_>, terminal: &Terminal) -> String {
    let mut text = String::new();
    let problems: Vec<_> =
        summary.results.iter().filter_map(|result| result.problem.as_ref()).collect();
    for problem in problems.iter().take(PROBLEMS_DRAWN_MAX) {
        text.push_str(&format!("\n{}\n", draw(problem, source, terminal)));
    }
    if let Some(more) = problems.len().checked_sub(PROBLEMS_DRAWN_MAX).filter(|more| *more > 0) {
        let more = count(more as u64, "more problem", "more problems");
        text.push_str(&format!("\n{more} in target/run_results.json\n"));
    }
    if let Some(skipped) = skipped_line(summary) {
        text.push_str(&format!("{skipped}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    if !terminal.quiet {
        let took = duration(summary.seconds);
        text.push_str(&format!("  Finished {} in {took}\n", summary.command));
    }
    text.push_str(&done_line(summary, terminal));
    text
}

/// What was not run, and how to go on.
fn skipped_line(summary: &RunSummary) -> Option<String> {
    let skipped = |test: bool| {
        let is_test = |result: &&clicktrail_pipeline::NodeResult| {
            result.status == Status::Skipped && result.resource_type.ends_with("test") == test
        };
        summary.results.iter().filter(is_test).count() as u64
    };
    let (models, tests) = (skipped(false), skipped(true));
    let parts = [(models, "model", "models"), (tests, "test", "tests")];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(*number, one, many))
        .collect();
    (!parts.is_empty())
        .then(|| format!("  skipped: {}   after fixing: clicktrail retry", parts.join(", ")))
}

/// Results by dbt's headings.
pub(crate) fn counts(summary: &RunSummary) -> Value {
    let [pass, warn, error, skip] = numbers(summary);
    json!({
        "pass": pass, "warn": warn, "error": error, "skip": skip, "no_op": 0,
        "total": summary.results.len(),
    })
}

fn numbers(summary: &RunSummary) -> [usize; 4] {
    [
        summary.count(Status::Success) + summary.count(Status::Pass),
        summary.count(Status::Warn),
        summary.count(Status::Error) + summary.count(Status::Fail),
        summary.count(Status::Skipped),
    ]
}

fn done_line(summary: &RunSummary, terminal: &Terminal) -> String {
    let [pass, warn, error, skip] = numbers(summary);
    let color = match (error, warn) {
        (0, 0) => Color::Green,
        (0, _) => Color::Yellow,
        _ => Color::Red,
    };
    // NO-OP is dbt's heading for nodes it does nothing for; we have none, tools look for it.
    let text = format!(
        "Done. PASS={pass} WARN={warn} ERROR={error} SKIP={skip} NO-OP=0 TOTAL={}",
        summary.results.len()
    );
    format!("  {}", terminal.paint(color, &text))
}

#[cfg(test)]
#[path = "text/tests.rs"]
mod tests;
