//! `erase`: removes a person from everything that the warehouse keeps, and proves it.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};
use clicktrail_pipeline::{EraseReport, EraseRequest};
use serde_json::json;

use super::run::with_reporter;
use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::{Outcome, Usage};
use crate::output::{count, stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Flags of `erase`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The device id (user_pseudo_id)
    #[arg(value_name = "USER", required_unless_present = "user_id")]
    user: Option<String>,
    /// Rows with this login id (user_id), on any device
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Erases; exit code 1 when something still holds the id.
///
/// # Errors
/// A server or a build at work; tables that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    if !args.yes && !confirmed(session)? {
        session.note("nothing was erased");
        return Ok(Outcome::Failed);
    }
    let request = EraseRequest { user_pseudo_id: args.user.clone(), user_id: args.user_id.clone() };
    let report = with_reporter(session, |reporter| workspace.erase(&request, reporter))?;
    if session.json {
        write_document(&document(&report))?;
    } else {
        print(&report).context("cannot write the report")?;
    }
    session.note(
        "the export files are yours: they still hold this person, and builds leave the person out \
         (erased_persons.csv, keep it with the project)",
    );
    Ok(Outcome::failed_if(!report.is_clean()))
}

/// Rows that go can't be brought back.
fn confirmed(session: &Session) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let hint = "add `--yes`";
        return Err(Usage::new("erasing can't be undone, and nobody can be asked")
            .hint(hint)
            .into());
    }
    session.terminal.line("Erase this person? It can't be undone. Type yes:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(answer.trim() == "yes")
}

fn document(report: &EraseReport) -> serde_json::Value {
    let tables: Vec<serde_json::Value> = report
        .tables
        .iter()
        .map(|table| {
            json!({
                "name": table.name, "rows_before": table.rows_before, "rows_after": table.rows_after,
                "version_before": table.version_before, "version_after": table.version_after,
                "files_deleted": table.files_deleted,
            })
        })
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION, "erasure_id": report.erasure_id,
        "erased_at": report.erased_at, "id_hashes": report.hashes, "is_clean": report.is_clean(),
        "tables": tables, "left_in": report.left_in,
    })
}

fn print(report: &EraseReport) -> std::io::Result<()> {
    let mut out = stdout();
    let width = report.tables.iter().map(|table| table.name.len()).max().unwrap_or(0);
    for table in &report.tables {
        writeln!(
            out,
            "{:<width$}  {:>8} → {:<4} version {} → {}, {} deleted",
            table.name,
            table.rows_before,
            count(table.rows_after, "row", "rows"),
            table.version_before,
            table.version_after,
            count(table.files_deleted, "file", "files"),
        )?;
    }
    for file in &report.left_in {
        writeln!(out, "still holds the id: {}", file.display())?;
    }
    let verdict = if report.is_clean() { "no table holds it any more" } else { "NOT CLEAN" };
    writeln!(out, "erasure {}: {verdict}", report.erasure_id)?;
    out.flush()
}
