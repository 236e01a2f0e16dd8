//! `import bigquery`: tables of an export as Parquet files.

use std::path::PathBuf;

use anyhow::Result;
use chrono::NaiveDate;
use clap::{Subcommand, ValueEnum};
use clicktrail_pipeline::{ImportApi, ImportRequest};

use super::run::with_reporter;
use crate::args::ProjectArgs;
use crate::failure::Outcome;
use crate::output::count;
use crate::session::Session;
use crate::settings;

/// Flags of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    from: Origin,
}

/// Where data comes from.
#[derive(Debug, Subcommand)]
enum Origin {
    /// Daily tables of a GA4 export in BigQuery, as Parquet files; what is there already is not fetched again
    Bigquery(BigqueryArgs),
}

/// Flags of `import bigquery`.
#[derive(Debug, clap::Args)]
struct BigqueryArgs {
    /// Tables: `project.analytics_123456789.events_*`, or one table
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// First day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    from: Option<NaiveDate>,
    /// Last day, YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    to: Option<NaiveDate>,
    /// Folder of the files, relative to the project
    #[arg(long, value_name = "DIR", default_value = "data")]
    out: PathBuf,
    /// How rows are read; by default through the Storage Read API, and over REST where that is refused
    #[arg(long, value_name = "API")]
    api: Option<Api>,
    /// Which project; its target says who asks.
    #[command(flatten)]
    project: ProjectArgs,
}

/// How rows are read.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Api {
    /// The Storage Read API: quick, 1.10 USD a TiB
    Storage,
    /// tabledata.list: slower, free of charge
    Rest,
}

/// Fetches.
///
/// # Errors
/// Tables that can't be read, files that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let Origin::Bigquery(args) = &args.from;
    let workspace = settings::open(&args.project, false, session)?;
    let day = |day: Option<NaiveDate>| {
        day.map(|day| day.format("%Y%m%d").to_string()).unwrap_or_default()
    };
    let request = ImportRequest {
        table: args.table.clone(),
        from: day(args.from),
        to: day(args.to),
        out: args.out.clone(),
        api: args.api.map(|api| match api {
            Api::Storage => ImportApi::Storage,
            Api::Rest => ImportApi::Rest,
        }),
    };
    let done = with_reporter(session, |reporter| workspace.import(&request, reporter))?;
    let fetched = count(done.fetched as u64, "table", "tables");
    session.note(&format!(
        "{fetched} fetched ({}), {} kept, in {}",
        count(done.rows, "row", "rows"),
        done.kept,
        args.out.display()
    ));
    Ok(Outcome::Done)
}
