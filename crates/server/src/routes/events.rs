//! `POST /v1/events`: export-shaped rows, one a line.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use clicktrail_ingest::collect;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName};
use serde_json::json;

use super::Shared;
use super::names::{PRODUCER, PRODUCER_OFFSET};
use super::store::{Route, all_refused, arrive, listed, malformed, text};
use crate::problem::{Fault, Problem};
use crate::producer::Verdict;

const PATH: &str = "/v1/events";

/// Content types of lines of JSON; pages send with `sendBeacon`, which says `text/plain`.
const TYPES: &[&str] = &[
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json",
    "text/plain",
];

/// Longest name of a producer.
const PRODUCER_CHARS: usize = 128;

/// 200 with counts when everything in the request is on disk.
pub(super) async fn rows(State(app): Shared, request: Request) -> Result<Response, Problem> {
    let route = Route { path: PATH, types: TYPES, most: app.settings.bounds.rows_bytes };
    let arrival = arrive(&app, request, None, route).await?;
    let position = position(&arrival.headers)?;
    arrival.check_lines(app.settings.bounds.rows)?;
    let parse =
        |_: &str, body: &[u8], receipt: &_, limits: &_| collect::rows(body, receipt, limits);
    let mut parsed = arrival.parse(&app, parse).await?;
    let turn = match position.filter(|_| parsed.malformed.is_none()) {
        None => None,
        Some((producer, offset)) => {
            let rows = parsed.received as u64;
            match app.producers.judge(&producer, offset, rows).await {
                Verdict::New(turn) => Some(turn),
                Verdict::Known => {
                    let seq = app.log.figures().durable_seq;
                    return Ok(answer(&json!({
                        "accepted": 0, "duplicate": rows, "rejected": [], "seq": seq,
                        "already_exists": true,
                    })));
                }
                Verdict::Gap { expected } => {
                    let detail = format!("the producer's next offset is {expected}, not {offset}");
                    return Err(Problem::new(Fault::Gap, detail)
                        .hint(format!("send the events from offset {expected} on"))
                        .with("expected_offset", expected));
                }
            }
        }
    };
    let stored = arrival.store(&app, PATH, &mut parsed, turn).await?;
    if let Some(whole) = &parsed.malformed {
        return Err(malformed(whole));
    }
    if parsed.accepted.is_empty() {
        return Err(all_refused(&parsed.rejected, stored.seq));
    }
    Ok(answer(&json!({
        "accepted": stored.accepted,
        "duplicate": stored.duplicate,
        "rejected": listed(&parsed.rejected),
        "seq": stored.seq,
    })))
}

fn answer(json: &serde_json::Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], json.to_string()).into_response()
}

/// Who numbers the events, and the number of the first one.
fn position(headers: &HeaderMap) -> Result<Option<(String, u64)>, Problem> {
    let producer = text(headers, &HeaderName::from_static(PRODUCER))?;
    let offset = text(headers, &HeaderName::from_static(PRODUCER_OFFSET))?;
    let bad = |detail: &'static str| Err(Problem::new(Fault::Parameter, detail));
    match (producer, offset) {
        (None, None) => Ok(None),
        (Some(producer), Some(offset)) => {
            let visible = |char: char| !char.is_control() && !char.is_whitespace();
            if producer.is_empty()
                || producer.chars().count() > PRODUCER_CHARS
                || !producer.chars().all(visible)
            {
                return bad("the producer's name is empty, too long, or has spaces in it");
            }
            match offset.parse() {
                Ok(number) if offset.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Ok(Some((producer, number)))
                }
                _ => bad("the producer's offset is not a whole number"),
            }
        }
        _ => bad("a producer and its offset belong together, one of the two headers is missing"),
    }
}
