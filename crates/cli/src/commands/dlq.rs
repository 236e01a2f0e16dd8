//! `dlq`: events that were refused, listed and sent again.

use anyhow::{Context, Result};
use clap::Subcommand;
use clicktrail_ingest::collect::{DeadLetter, Limits, Receipt};
use clicktrail_pipeline::{Clock, LetterFilter, Workspace};
use clicktrail_server::client::Position;
use serde_json::json;

use super::query::RowArgs;
use super::stream::{ServerArgs, client};
use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::{Outcome, Usage};
use crate::output::{count, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Events of one request.
const BATCH: usize = 500;

/// Refusals that are told one by one.
const REFUSALS_TOLD: usize = 5;

/// `dlq …`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Refused events by route and reason, or with a reason or route one by one
    List(ListArgs),
    /// Judge refused events again and send what is good now; what was sent before counts once
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    letters: LetterArgs,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
    #[command(flatten)]
    letters: LetterArgs,
    /// Stream of Measurement Protocol events, whose letters do not hold it
    #[arg(long, value_name = "ID")]
    stream_id: Option<String>,
    /// Only tell what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    report: ReportArgs,
}

/// Which refused events.
#[derive(Debug, clap::Args)]
struct LetterArgs {
    /// Only those refused for this reason, such as future_ts
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those that came by this route, such as /mp/collect
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,
}

impl LetterArgs {
    fn filter(&self) -> LetterFilter {
        LetterFilter { reason: self.reason.clone(), route: self.route.clone() }
    }
}

impl Args {
    /// Whether stdout owes JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match &self.action {
            Action::List(_) => false,
            Action::Replay(args) => args.report.json(),
        }
    }
}

/// Lists or sends; exit code 1 when some events are refused again.
///
/// # Errors
/// A table that can't be read, a server that is not there.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    match &args.action {
        Action::List(args) => list(args, session),
        Action::Replay(args) => replay(args, session),
    }
}

fn list(args: &ListArgs, session: &Session) -> Result<Outcome> {
    args.rows.check()?;
    let workspace = settings::open(&args.project, false, session)?;
    let filter = args.letters.filter();
    let found = match filter.reason.is_none() && filter.route.is_none() {
        true => workspace.dead_letter_counts()?,
        false => workspace.dead_letter_rows(&filter)?,
    };
    let Some(result) = found else {
        session.note("no event was refused up to now; a running server stores them every --publish-every and when it stops");
        return Ok(Outcome::Done);
    };
    args.rows.write(&result, session)?;
    Ok(Outcome::Done)
}

fn replay(args: &ReplayArgs, session: &Session) -> Result<Outcome> {
    let workspace = settings::open(&args.project, false, session)?;
    let letters = workspace.dead_letters(&args.letters.filter())?;
    let (lines, refused) = judged(&letters, args, &workspace, session)?;
    let mut told = Replayed { letters: letters.len(), good: lines.len(), ..Replayed::default() };
    if !args.dry_run && !lines.is_empty() {
        let client = client(&args.server, 10)?;
        for batch in lines.chunks(BATCH) {
            // Every row has its time of receipt at least, so that a copy of it is known.
            let receipt = client.send(&batch.concat(), &Position::Events).map_err(Usage::from)?;
            told.accepted += receipt.accepted;
            told.duplicate += receipt.duplicate;
            told.seq = told.seq.max(receipt.seq);
            told.refused += receipt.rejected.len();
        }
    }
    for refusal in refused.iter().take(REFUSALS_TOLD) {
        session.note(refusal);
    }
    told.refused += refused.len();
    told.tell(args.dry_run, session)?;
    Ok(Outcome::failed_if(told.refused > 0))
}

/// The letters that are good now, as rows; why the others are not.
fn judged(
    letters: &[DeadLetter],
    args: &ReplayArgs,
    workspace: &Workspace,
    session: &Session,
) -> Result<(Vec<Vec<u8>>, Vec<String>)> {
    let now = Receipt {
        stream_id: args.stream_id.clone(),
        ..Receipt::at(session.clock.now_micros(), workspace.time_zone()?)
    };
    let (mut lines, mut refused) = (Vec::new(), Vec::new());
    for letter in letters {
        let parsed = letter.judge_again(&now, &Limits::default());
        for row in parsed.accepted {
            lines.push([row.line, b"\n".to_vec()].concat());
        }
        for again in parsed.rejected.iter().chain(&parsed.malformed) {
            refused.push(format!(
                "{} (event {}): {} ({})",
                letter.route,
                letter.index,
                again.reason.code(),
                again.detail
            ));
        }
    }
    Ok((lines, refused))
}

#[derive(Default)]
struct Replayed {
    letters: usize,
    good: usize,
    accepted: u64,
    duplicate: u64,
    refused: usize,
    seq: u64,
}

impl Replayed {
    fn tell(&self, dry_run: bool, session: &Session) -> Result<()> {
        if session.json {
            return write_document(&json!({
                "schema_version": SCHEMA_VERSION, "letters": self.letters, "good": self.good, "accepted": self.accepted,
                "duplicate": self.duplicate, "refused": self.refused, "seq": self.seq, "dry_run": dry_run,
            }))
            .context("cannot write the result");
        }
        let letters = count(self.letters as u64, "refused event", "refused events");
        let events = count(self.good as u64, "event is good now", "events are good now");
        session.note(&match dry_run {
            true => format!(
                "{letters}: {events}, {} would be refused again; nothing was sent",
                self.refused
            ),
            false => format!(
                "{letters}: {events}; {} accepted, {} sent before, {} refused again",
                self.accepted, self.duplicate, self.refused
            ),
        });
        Ok(())
    }
}
