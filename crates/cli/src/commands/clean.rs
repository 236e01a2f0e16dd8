//! `clean`: deletes the project's clean-targets.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::Outcome;
use crate::output::write_document;
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Flags of `clean`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Deletes. No log file is opened: it would stand in a folder that goes.
///
/// # Errors
/// A folder outside the project, or one that can't be deleted.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let settings = settings::settings(&args.project, false, session)?;
    let deleted = settings::open_quietly(settings, session)?.clean()?;
    if args.report.json() {
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "deleted": deleted }))?;
        return Ok(Outcome::Done);
    }
    let inside = |folder: &Path| {
        let dir = session.project_dir().unwrap_or(Path::new("."));
        folder.strip_prefix(dir).unwrap_or(folder).display().to_string()
    };
    match deleted.as_slice() {
        [] => session.note("  Nothing to delete"),
        folders => {
            folders.iter().for_each(|one| session.note(&format!("  Deleted {}", inside(one))))
        }
    }
    Ok(Outcome::Done)
}
