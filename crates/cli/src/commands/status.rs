//! `status`: how far a running server is.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clicktrail_pipeline::Clock;
use clicktrail_server::LiveStatus;
use serde_json::json;

use super::stream::{ServerArgs, client};
use crate::args::ReportArgs;
use crate::failure::{Outcome, Usage};
use crate::output::{count, stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};

/// Between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(50);

/// Flags of `status`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Wait until the tables are ready and hold every event received; give up after so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    wait: Option<f64>,
    /// Which server.
    #[command(flatten)]
    server: ServerArgs,
    /// What to print.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Prints it; exit code 1 when the tables are not up to date.
///
/// # Errors
/// No server at that address.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let client = client(&args.server, if args.wait.is_some() { 10 } else { 1 })?;
    let start = session.clock.seconds();
    let mut status = client.status().map_err(Usage::from)?;
    if let Some(limit) = args.wait {
        while !is_current(&status) && session.clock.seconds() - start < limit {
            sleep(PAUSE);
            status = client.status().map_err(Usage::from)?;
        }
    }
    if session.json {
        write_document(&json!({ "schema_version": SCHEMA_VERSION, "status": status }))?;
    } else {
        print(&status)?;
    }
    Ok(Outcome::failed_if(!is_current(&status)))
}

fn is_current(status: &LiveStatus) -> bool {
    status.ready && status.applied_seq >= status.durable_seq && status.live_batch_mismatch == 0
}

fn print(status: &LiveStatus) -> Result<()> {
    use std::io::Write;
    let mut out = stdout();
    let ready = if status.ready { "ready" } else { "not ready" };
    writeln!(out, "{ready}: {}", status.phase)?;
    writeln!(
        out,
        "on disk up to {}, in the tables up to {}, lag {:.3} s",
        status.durable_seq, status.applied_seq, status.lag_seconds
    )?;
    writeln!(
        out,
        "{} since the start, {} recognised, {} late; live against build: {}",
        count(status.events, "event", "events"),
        count(status.duplicates, "copy", "copies"),
        status.late,
        match status.live_batch_mismatch {
            0 => "equal".to_owned(),
            many => format!("{many} DIFFERENCES"),
        }
    )?;
    if status.waiting_persons > 0 {
        let persons = count(status.waiting_persons, "person", "persons");
        writeln!(out, "{persons} with very many events, such as a bot, not up to date yet")?;
    }
    for (name, rows) in &status.tables {
        writeln!(out, "  {name:<28} {rows:>12}")?;
    }
    out.flush()?;
    Ok(())
}
