//! Events into BigQuery instead of a server.

use anyhow::{Context, Result};
use clicktrail_pipeline::{Clock, SendBy, Sending, SentRows};
use clicktrail_project::Adapter;
use serde_json::json;

use super::Args;
use crate::failure::Outcome;
use crate::output::{count, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Sends the lines in batches, when the target is in BigQuery; exit code 1 when rows were refused.
///
/// # Errors
/// A target of another kind; a batch that could not be sent.
pub(super) fn send(
    args: &Args,
    lines: &[Vec<u8>],
    seed: u64,
    session: &Session,
) -> Result<Option<Outcome>> {
    let workspace = settings::open(&args.project, false, session)?;
    if workspace.project().target.adapter != Adapter::Bigquery {
        return Ok(None);
    }
    let by = match (args.load, args.insert) {
        (true, _) => SendBy::Load,
        (_, true) => SendBy::Insert,
        _ => SendBy::Storage,
    };
    let mut sender = workspace.sender(by)?;
    let own = format!("{seed:016x}");
    let producer = args.producer.as_deref().unwrap_or(&own);
    let start = session.clock.seconds();
    let mut sum = SentRows::default();
    let mut offset = args.offset;
    for batch in lines.chunks(args.batch as usize) {
        let sent = sender.send(Sending { lines: batch, producer, offset });
        for note in sender.notes() {
            session.note(&note);
        }
        let sent = sent?;
        sum.added += sent.added;
        sum.already += sent.already;
        sum.refused.extend(sent.refused);
        offset += batch.len() as u64;
    }
    // All events are in; a stream that stays open is closed by the next sender.
    if let Err(error) = sender.finish() {
        session.note(&format!("the write stream of `{producer}` stays open: {error}"));
    }
    for (number, why) in sum.refused.iter().take(super::REFUSALS_TOLD) {
        session.note(&format!("event {number}: {why}"));
    }
    let seconds = session.clock.seconds() - start;
    let refused = sum.refused.len();
    if session.json {
        write_document(&json!({
            "schema_version": SCHEMA_VERSION, "sent": lines.len(), "accepted": sum.added,
            "duplicate": sum.already, "rejected": refused, "producer": producer,
            "next_offset": offset, "seconds": seconds,
        }))
        .context("cannot write the result")?;
    } else {
        session.note(&format!(
            "sent {} to {} in {seconds:.2} s: {} added, {} there before, {refused} refused; \
             producer {producer}, next offset {offset}",
            count(lines.len() as u64, "event", "events"),
            sender.table(),
            sum.added,
            sum.already,
        ));
    }
    Ok(Some(Outcome::failed_if(refused > 0)))
}
