//! `stream`: sends events to a running server, generated or from files, as they would come.

#[cfg(feature = "bigquery")]
mod bigquery;
pub(super) mod hits;

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use clicktrail_pipeline::Clock;
use clicktrail_server::PORT_DEFAULT;
use clicktrail_server::client::{Client, ClientSettings, Position, Retry};
use serde_json::json;

use crate::args::{ProjectArgs, ReportArgs, parse_count};
use crate::failure::{Outcome, Usage};
use crate::output::{count, write_document};
use crate::session::{SCHEMA_VERSION, Session};

use hits::{Knobs, demo, from_files};

/// Code of a server that can't be reached.
const UNREACHABLE: &str = "E6004";

/// Refused events that are told in words.
const REFUSALS_TOLD: usize = 5;

/// Which server, and its secret.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Address of the server
    #[arg(long, value_name = "URL", default_value_t = format!("http://127.0.0.1:{PORT_DEFAULT}"),
        env = "CLICKTRAIL_URL", hide_env_values = true)]
    url: String,
    /// Its secret, if it asks for one
    #[arg(long, value_name = "SECRET", env = "CLICKTRAIL_SECRET", hide_env_values = true)]
    secret: Option<String>,
}

/// Flags of `stream`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// New demo events to send, e.g. 10, 20k
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "10", conflicts_with = "file")]
    count: u64,
    /// Files of events to send instead: NDJSON in the shape of the export
    #[arg(long, value_name = "FILE", num_args = 1..)]
    file: Vec<PathBuf>,
    /// Events per second, e.g. 20/s, 5000/s; without it as fast as the server takes them
    #[arg(long, value_name = "N/s", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Events of one request
    #[arg(long, value_name = "N", default_value_t = 25,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Seed of demo events and of the knobs below; by default another one each time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How the stream is disturbed.
    #[command(flatten)]
    disturb: DisturbArgs,
    /// Which server.
    #[command(flatten)]
    server: ServerArgs,
    /// BigQuery: who numbers the events; the same producer and numbers again add nothing
    #[arg(long, value_name = "NAME")]
    producer: Option<String>,
    /// BigQuery: number of the first event
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
    /// BigQuery: send by load jobs, which are free of charge, instead of through the Storage Write API
    #[arg(long, conflicts_with = "insert")]
    load: bool,
    /// BigQuery: send through insertAll, which may add a row twice
    #[arg(long)]
    insert: bool,
    /// With a BigQuery target: the project whose table `events_stream` gets the events.
    #[command(flatten)]
    project: ProjectArgs,
    /// What to print.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// What networks do to a stream.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Disturbances")]
struct DisturbArgs {
    /// Share of events that are sent twice, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    duplicates: f64,
    /// Share of events that happened earlier than they are sent, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = parse_share)]
    late: f64,
    /// How much earlier, at most, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 72)]
    late_by: u32,
    /// Shuffle the events within so many neighbours
    #[arg(long, value_name = "N", default_value_t = 0)]
    reorder: usize,
}

/// Sends the events; exit code 1 when some were refused.
///
/// # Errors
/// No server at that address, a secret that it does not know, files that can't be read.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let seed = args.seed.unwrap_or_else(|| session.clock.now_micros().unsigned_abs());
    #[cfg(feature = "bigquery")]
    if args.project.target.is_some()
        && let Some(outcome) = bigquery::send(args, &lines(args, seed, session)?, seed, session)?
    {
        return Ok(outcome);
    }
    // A server that is not there is told at once; one that goes away later is waited for.
    if let Err(error) = client(&args.server, 1)?.status()
        && error.code() == UNREACHABLE
    {
        return Err(Usage::from(error).into());
    }
    let client = client(&args.server, 60)?;
    let lines = lines(args, seed, session)?;
    let start = session.clock.seconds();
    let mut told = Sent::default();
    for batch in lines.chunks(args.batch as usize) {
        if let Some(rate) = args.rate {
            let due = start + told.sent as f64 / rate;
            let left = due - session.clock.seconds();
            if left > 0.0 {
                sleep(Duration::from_secs_f64(left));
            }
        }
        told.send(&client, batch, args.file.is_empty())?;
    }
    told.tell(session, session.clock.seconds() - start)?;
    Ok(Outcome::failed_if(told.rejected > 0))
}

/// The events to send, disturbed as wanted.
fn lines(args: &Args, seed: u64, session: &Session) -> Result<Vec<Vec<u8>>> {
    let mut lines = match args.file.is_empty() {
        true => demo(args.count, seed, session.clock.now_micros())?,
        false => from_files(&args.file)?,
    };
    let knobs = Knobs {
        duplicates: args.disturb.duplicates,
        late: args.disturb.late,
        late_by_hours: args.disturb.late_by,
        reorder: args.disturb.reorder,
    };
    knobs.apply(&mut lines, seed)?;
    Ok(lines)
}

/// A client of the server; gives up after so many attempts.
pub(super) fn client(args: &ServerArgs, attempts: u32) -> Result<Client> {
    let settings = ClientSettings {
        secret: args.secret.clone(),
        retry: Retry { attempts, ..Retry::default() },
        ..ClientSettings::new(&args.url)
    };
    Ok(Client::new(settings).map_err(Usage::from)?)
}

#[derive(Default)]
struct Sent {
    sent: u64,
    accepted: u64,
    duplicate: u64,
    rejected: u64,
    seq: u64,
    refusals: Vec<String>,
}

impl Sent {
    fn send(&mut self, client: &Client, batch: &[Vec<u8>], is_demo: bool) -> Result<()> {
        let mut body = Vec::new();
        for line in batch {
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        // Every demo event has a time of its own; of a file's events that is not known.
        let position = match is_demo || self.sent > 0 || has_time(batch) {
            true => Position::Events,
            false => Position::Key(format!("{:016x}", hits::hash(&body))),
        };
        let receipt = client.send(&body, &position).map_err(Usage::from)?;
        self.sent += batch.len() as u64;
        self.accepted += receipt.accepted;
        self.duplicate += receipt.duplicate;
        self.rejected += receipt.rejected.len() as u64;
        self.seq = self.seq.max(receipt.seq);
        for refused in receipt.rejected.iter().take(REFUSALS_TOLD) {
            if self.refusals.len() < REFUSALS_TOLD {
                let line = self.sent - batch.len() as u64 + refused.index + 1;
                self.refusals.push(format!("line {line}: {} ({})", refused.reason, refused.detail));
            }
        }
        Ok(())
    }

    fn tell(&self, session: &Session, seconds: f64) -> Result<()> {
        for refusal in &self.refusals {
            session.note(refusal);
        }
        if session.json {
            return write_document(&json!({
                "schema_version": SCHEMA_VERSION, "sent": self.sent, "accepted": self.accepted,
                "duplicate": self.duplicate, "rejected": self.rejected, "seq": self.seq,
                "seconds": seconds,
            }))
            .context("cannot write the result");
        }
        let rejected = match self.rejected {
            0 => String::new(),
            some => format!(", {some} refused (table events_dead_letter)"),
        };
        session.note(&format!(
            "sent {} in {seconds:.2} s: {} accepted, {} sent before{rejected}; on disk up to {}",
            count(self.sent, "event", "events"),
            self.accepted,
            self.duplicate,
            self.seq
        ));
        Ok(())
    }
}

fn has_time(batch: &[Vec<u8>]) -> bool {
    let name = b"\"event_timestamp\"";
    batch.iter().all(|line| line.windows(name.len()).any(|part| part == name))
}

/// `20`, `20/s`, `5k/s`.
fn parse_rate(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("/s").trim();
    match parse_count(number) {
        Ok(rate) if rate > 0 => Ok(rate as f64),
        _ => Err(format!("`{text}` is no rate; write e.g. 20/s or 5000/s")),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no share; write e.g. 0.1"))?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(format!("`{text}` is not between 0 and 1")),
    }
}
