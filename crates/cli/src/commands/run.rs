//! `build`, `run`, `test`, `seed`: one set of flags, four verbs.

use anyhow::Result;
use clap::builder::FalseyValueParser;
use clicktrail_pipeline::{Reporter, RunRequest, RunSummary, Verb};
use serde_json::{Value, json};

use crate::args::{ProjectArgs, ReportArgs, SelectFlags};
use crate::failure::Outcome;
use crate::output::{JsonReporter, Source, TextReporter, closing, counts, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Flags of the four verbs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which nodes.
    #[command(flatten)]
    pub(crate) select: SelectFlags,
    /// How they run.
    #[command(flatten)]
    pub(crate) run: RunFlags,
    /// Which project.
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// How nodes run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunFlags {
    /// Rebuild incremental models from nothing
    #[arg(short, long, env = "CLICKTRAIL_FULL_REFRESH", hide_env_values = true,
        value_parser = FalseyValueParser::new())]
    full_refresh: bool,
    /// Stop at the first failure
    #[arg(short = 'x', long, env = "CLICKTRAIL_FAIL_FAST", hide_env_values = true,
        value_parser = FalseyValueParser::new())]
    fail_fast: bool,
    /// Treat warnings as errors
    #[arg(long, env = "CLICKTRAIL_WARN_ERROR", hide_env_values = true,
        value_parser = FalseyValueParser::new())]
    warn_error: bool,
    /// Keep the failing rows of tests as tables
    #[arg(long, env = "CLICKTRAIL_STORE_FAILURES", hide_env_values = true,
        value_parser = FalseyValueParser::new())]
    store_failures: bool,
    /// BigQuery: run nothing, tell the bytes and the price of each node
    #[arg(long)]
    dry_run: bool,
    /// BigQuery: the most that the whole run may bill, e.g. 50G; more stops it before it starts
    #[arg(long, value_name = "BYTES", env = "CLICKTRAIL_MAX_BYTES", hide_env_values = true,
        value_parser = crate::args::parse_bytes)]
    max_bytes: Option<usize>,
    /// Read the last N days of the export again, even when its files look unchanged
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        env = "CLICKTRAIL_REBUILD_DAYS",
        hide_env_values = true
    )]
    rebuild_days: u32,
}

/// Runs the verb over the selected nodes.
///
/// # Errors
/// What stopped the run as a whole.
pub(crate) fn run(verb: Verb, args: &Args, session: &Session) -> Result<Outcome> {
    let flags = &args.run;
    let workspace = settings::open(&args.project, flags.full_refresh, session)?;
    if flags.warn_error {
        settings::refuse_warnings(&workspace)?;
    }
    let request = RunRequest {
        verb,
        select: settings::selection(&args.select),
        full_refresh: flags.full_refresh,
        fail_fast: flags.fail_fast,
        rebuild_days: flags.rebuild_days,
        warn_error: flags.warn_error,
        store_failures: flags.store_failures,
        dry_run: flags.dry_run,
        max_bytes: flags.max_bytes.map(|bytes| bytes as u64),
    };
    let summary = with_reporter(session, |reporter| workspace.execute(&request, reporter))?;
    tell(&summary, session)
}

/// Runs something that reports: for people or for programs.
pub(super) fn with_reporter<T>(session: &Session, work: impl FnOnce(&dyn Reporter) -> T) -> T {
    if session.terminal.json_log {
        work(&JsonReporter::new(session))
    } else {
        work(&TextReporter::new(session))
    }
}

/// Tells how a run ended.
///
/// # Errors
/// When stdout can't be written.
pub(super) fn tell(summary: &RunSummary, session: &Session) -> Result<Outcome> {
    let outcome = Outcome::failed_if(summary.failed());
    let counts = counts(summary);
    tracing::info!(command = summary.command, seconds = summary.seconds, %counts, "done");
    if session.terminal.json_log {
        let fields =
            json!({ "command": summary.command, "seconds": summary.seconds, "counts": counts });
        session.event("done", fields);
    } else {
        let source = Source { project_dir: session.project_dir(), inline: None };
        session.terminal.line(&closing(summary, source, &session.terminal));
    }
    if session.json {
        write_document(&document(summary, counts)?)?;
    }
    Ok(outcome)
}

/// The summary as one document.
fn document(summary: &RunSummary, counts: Value) -> Result<Value> {
    Ok(json!({
        "schema_version": SCHEMA_VERSION,
        "command": summary.command,
        "exit_code": u8::from(summary.failed()),
        "seconds": summary.seconds,
        "counts": counts,
        "results": serde_json::to_value(&summary.results)?,
    }))
}
