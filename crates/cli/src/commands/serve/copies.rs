//! A target in BigQuery: what is copied from there, and how often.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clicktrail_pipeline::{Clock, CopySettings, Workspace};
use clicktrail_project::Adapter;

use super::Args;
use crate::failure::Usage;
use crate::session::Session;
use crate::settings;

/// Seconds between two looks for tables that changed in BigQuery.
const REFRESH_DEFAULT: u64 = 30;

/// Rows that a table in BigQuery may have to be copied: rows come as JSON, and pages wait for the first copy.
const COPY_ROWS_DEFAULT: u64 = 5_000_000;

/// Copies of a target in BigQuery.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target in BigQuery")]
pub(super) struct CopyArgs {
    /// Seconds between two looks for tables that changed; only those are read again, and no query is paid for [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    refresh: Option<u64>,
    /// Copy this table, too, for queries; int_events: for the events of a journey
    #[arg(long, value_name = "TABLE")]
    also: Vec<String>,
    /// Rows that a table may have to be copied [default: 5000000]
    #[arg(long, value_name = "ROWS")]
    copy_rows: Option<u64>,
}

impl CopyArgs {
    pub(super) fn are_given(&self) -> bool {
        self.refresh.is_some() || self.copy_rows.is_some() || !self.also.is_empty()
    }

    pub(super) fn settings(&self) -> CopySettings {
        let rows_max = self.copy_rows.unwrap_or(COPY_ROWS_DEFAULT);
        CopySettings { also: self.also.clone(), rows_max }
    }

    pub(super) fn every(&self) -> Duration {
        Duration::from_secs(self.refresh.unwrap_or(REFRESH_DEFAULT))
    }
}

/// Whether the target is in BigQuery: its tables are copied then, and shown.
///
/// # Errors
/// A fault of the project; flags about copies for tables that are here.
pub(super) fn in_bigquery(args: &Args, session: &Session) -> Result<bool> {
    let settings = settings::settings(&args.project, false, session)?;
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    let workspace = Workspace::open(settings, clock)?;
    let target = &workspace.project().target;
    match target.adapter {
        Adapter::Bigquery => Ok(true),
        _ if args.copies.are_given() => {
            let text =
                format!("nothing is copied: the target `{}` is not in BigQuery", target.name);
            let hint =
                "leave out `--refresh`, `--also` and `--copy-rows`, or name a target by `--target`";
            Err(Usage::new(text).hint(hint).into())
        }
        _ => Ok(false),
    }
}
