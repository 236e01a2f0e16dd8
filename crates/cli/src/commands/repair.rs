//! `repair`: puts damaged parts of the event log aside, so that the rest can be read.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use clicktrail_eventlog::RealDisk;
use clicktrail_pipeline::{Clock, Live, PipelineError};

use crate::args::ProjectArgs;
use crate::failure::Outcome;
use crate::output::stdout;
use crate::session::Session;
use crate::settings;

/// Flags of `repair`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Repairs the log of the project; nothing is deleted, damaged bytes go to the quarantine folder.
///
/// # Errors
/// A log in use; a disk that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let settings = settings::settings(&args.project, false, session)?;
    let live = Live::open(settings, Arc::clone(&session.clock) as Arc<dyn Clock>)?;
    let (log, quarantine) = (live.log_dir(), live.log_dir().with_file_name("quarantine"));
    let report =
        clicktrail_eventlog::repair(&RealDisk, &log, &quarantine).map_err(PipelineError::from)?;
    let mut out = stdout();
    if report.losses.is_empty() {
        writeln!(out, "the log is sound: {} frames, nothing to repair", report.kept_frames)?;
    }
    for loss in &report.losses {
        let lost = match &loss.lost {
            Some(lost) => format!("frames {} to {} are lost", lost.start(), lost.end()),
            None => "no acknowledged frame was in it".into(),
        };
        writeln!(
            out,
            "{}: {} bytes from {} on: {}; {lost}",
            loss.file.display(),
            loss.bytes,
            loss.offset,
            loss.reason
        )?;
    }
    if !report.losses.is_empty() {
        writeln!(
            out,
            "{} frames kept; the damaged bytes are in {}",
            report.kept_frames,
            quarantine.display()
        )?;
    }
    out.flush()?;
    Ok(Outcome::Done)
}
