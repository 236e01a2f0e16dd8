//! `docs generate`: the project's artifacts and its lineage page.

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;
use std::io::Write;

use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::Outcome;
use crate::output::{stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// `docs …`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write manifest.json, catalog.json and index.html into target; the page opens from disk
    Generate(GenerateArgs),
}

#[derive(Debug, clap::Args)]
struct GenerateArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl Args {
    /// Whether stdout owes JSON.
    pub(crate) fn wants_json(&self) -> bool {
        let Action::Generate(args) = &self.action;
        args.report.json()
    }
}

/// Runs it; the page's path goes to stdout.
///
/// # Errors
/// Files that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let Action::Generate(args) = &args.action;
    let page = settings::open(&args.project, false, session)?.generate_docs()?;
    if args.report.json() {
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "page": page }))?;
    } else {
        session.note("Open this file in a browser:");
        let mut out = stdout();
        writeln!(out, "{}", page.display())?;
        out.flush()?;
    }
    Ok(Outcome::Done)
}
