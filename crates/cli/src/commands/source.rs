//! `source freshness`: how old the source tables are.

use anyhow::Result;
use clap::Subcommand;

use super::run::{tell, with_reporter};
use crate::args::{ProjectArgs, ReportArgs, SelectFlags};
use crate::failure::Outcome;
use crate::session::Session;
use crate::settings;

/// `source …`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compare the newest row of each source with its freshness rule; too old is exit code 1
    Freshness(FreshnessArgs),
}

#[derive(Debug, clap::Args)]
struct FreshnessArgs {
    #[command(flatten)]
    select: SelectFlags,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl Args {
    /// Whether stdout owes JSON.
    pub(crate) fn wants_json(&self) -> bool {
        let Action::Freshness(args) = &self.action;
        args.report.json()
    }
}

/// Runs it.
///
/// # Errors
/// A source that can't be read.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let Action::Freshness(args) = &args.action;
    let workspace = settings::open(&args.project, false, session)?;
    let select = settings::selection(&args.select);
    let summary = with_reporter(session, |reporter| workspace.freshness(&select, reporter))?;
    tell(&summary, session)
}
