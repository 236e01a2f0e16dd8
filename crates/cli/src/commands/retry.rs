//! `retry`: what failed or was skipped in the last run, again.

use anyhow::Result;

use super::run::{tell, with_reporter};
use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::Outcome;
use crate::session::Session;
use crate::settings;

/// Flags of `retry`; those of the run itself are the last run's.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which project.
    #[command(flatten)]
    pub(crate) project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Runs it.
///
/// # Errors
/// No earlier run, or what stopped this one.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let summary = with_reporter(session, |reporter| workspace.retry(reporter))?;
    tell(&summary, session)
}
