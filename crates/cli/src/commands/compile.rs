//! `compile`: Jinja-SQL → SQL.

use std::io::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::args::{ProjectArgs, ReportArgs, SelectFlags};
use crate::failure::Outcome;
use crate::output::{count, stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Flags of `compile`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which nodes.
    #[command(flatten)]
    select: SelectFlags,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Compiles; the SQL of a single selected node goes to stdout as well.
///
/// # Errors
/// The first fault.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let nodes = workspace.compile(&settings::selection(&args.select))?;
    if args.report.json() {
        let nodes: Vec<Value> = nodes
            .iter()
            .map(|node| {
                json!({
                    "unique_id": node.unique_id, "name": node.name, "path": node.path,
                    "compiled": node.sql,
                })
            })
            .collect();
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "nodes": nodes }))?;
        return Ok(Outcome::Done);
    }
    if let ([node], false) = (nodes.as_slice(), args.select.select.is_empty()) {
        let mut out = stdout();
        writeln!(out, "{}", node.sql.trim_end())?;
        out.flush()?;
    }
    let folder = workspace.project().target_path.join("compiled");
    let compiled = count(nodes.len() as u64, "node", "nodes");
    session.note(&format!("  Compiled {compiled} into {}", folder.display()));
    Ok(Outcome::Done)
}
