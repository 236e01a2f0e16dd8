//! From parsed events to the answer that they are on disk.

use std::sync::Arc;

use axum::extract::Request;
use bytes::Bytes;
use clicktrail_eventlog::AppendError;
use clicktrail_ingest::collect::{self, Parsed, Receipt, Rejected};
use hyper::HeaderMap;
use hyper::header::{HeaderName, USER_AGENT};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::names::IDEMPOTENCY_KEY;
use crate::access::Writer;
use crate::app::App;
use crate::body::{self, Lease};
use crate::log::{Batch, Lines};
use crate::net::Peer;
use crate::problem::{Fault, Problem};
use crate::producer::Turn;
use crate::query;
use crate::rate::Sender;
use crate::recent;

/// Refused events that an answer lists: all of them, unless somebody sends tens of thousands.
const LISTED_MAX: usize = 10_000;

/// A route that takes events.
#[derive(Clone, Copy)]
pub(super) struct Route {
    /// Its path, for dead letters and metrics.
    pub(super) path: &'static str,
    /// Content types that it takes; none means all.
    pub(super) types: &'static [&'static str],
    /// Bytes of a body.
    pub(super) most: usize,
}

/// A request that may be served, read whole.
pub(super) struct Arrival {
    pub(super) headers: HeaderMap,
    /// Without secrets.
    pub(super) query: String,
    pub(super) body: Bytes,
    pub(super) receipt: Receipt,
    writer: Writer,
    /// Keeps the memory of the body counted.
    _lease: Lease,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) accepted: usize,
    pub(super) duplicate: usize,
}

/// Admits a request and reads it.
///
/// # Errors
/// Whatever a request can be refused for before its events are looked at.
pub(super) async fn arrive(
    app: &Arc<App>,
    request: Request,
    path_key: Option<&str>,
    route: Route,
) -> Result<Arrival, Problem> {
    let received_at = app.clock.now_micros();
    let (parts, content) = request.into_parts();
    let headers = parts.headers;
    let raw_query = parts.uri.query().unwrap_or_default();
    let Some(Peer(peer)) = parts.extensions.get() else {
        return Err(Problem::new(Fault::Internal, "the connection has no address"));
    };
    let prefix = app.rules.prefix(&headers, *peer);
    let writer = app.rules.writer(&headers, raw_query, path_key, prefix)?;
    // A sender without tokens is told before it has sent its body.
    charge(app, &writer.senders, 0)?;
    check_type(&headers, route.types)?;
    let mut lease = app.memory.lease();
    let body = if parts.method == hyper::Method::GET {
        Vec::new()
    } else {
        body::read(&headers, content, route.most, &app.settings.bounds, &app.workers, &mut lease)
            .await?
    };
    let query = query::without_secrets(raw_query).into_owned();
    let id = query::value(&query, "measurement_id").or_else(|| query::value(&query, "tid"));
    let stream_id = id.map(|id| match app.settings.streams.get(&*id) {
        Some(stream) => stream.clone(),
        None => id.into_owned(),
    });
    let receipt = Receipt {
        received_at,
        time_zone: app.settings.time_zone,
        stream_id,
        user_agent: headers
            .get(USER_AGENT)
            .map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
        trusted: writer.trusted,
        idempotency_key: text(&headers, &HeaderName::from_static(IDEMPOTENCY_KEY))?,
    };
    Ok(Arrival { headers, query, body: body.into(), receipt, writer, _lease: lease })
}

/// Takes tokens.
fn charge(app: &App, senders: &[Sender], events: usize) -> Result<(), Problem> {
    app.buckets.take(senders, events, app.clock.seconds()).map_err(|seconds| {
        Problem::new(Fault::Rate, "more events come than are allowed").retry_after(seconds)
    })
}

fn check_type(headers: &HeaderMap, types: &[&str]) -> Result<(), Problem> {
    let Some(kind) = headers.get(hyper::header::CONTENT_TYPE).filter(|_| !types.is_empty()) else {
        return Ok(());
    };
    let essence = kind.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim();
    if types.iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(Problem::new(Fault::MediaType, "the content type is not one that this path takes")
        .hint(format!("send {}", types.join(" or "))))
}

/// The value of a header that stands at most once.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::new(Fault::Parameter, format!("the header {name} stands twice")));
    }
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Problem::new(Fault::Parameter, format!("the header {name} is not UTF-8"))),
    }
}

impl Arrival {
    /// Refuses a body with more lines than `most`: each of them would be answered on its own.
    ///
    /// # Errors
    /// [`Fault::TooLarge`].
    pub(super) fn check_lines(&self, most: usize) -> Result<(), Problem> {
        // Nearly always: counting line ends is a fraction of looking at lines.
        if memchr::memchr_iter(b'\n', &self.body).count() < most {
            return Ok(());
        }
        let lines = self.body.split(|byte| *byte == b'\n');
        if lines.filter(|line| !line.trim_ascii().is_empty()).nth(most).is_none() {
            return Ok(());
        }
        Err(Problem::new(Fault::TooLarge, format!("the body has more than {most} lines")))
    }

    /// Parses the body on a thread where it holds nobody up.
    pub(super) async fn parse(
        &self,
        app: &App,
        parse: impl FnOnce(&str, &[u8], &Receipt, &collect::Limits) -> Parsed + Send + 'static,
    ) -> Result<Parsed, Problem> {
        let (query, content) = (self.query.clone(), self.body.clone());
        let (receipt, limits) = (self.receipt.clone(), Arc::clone(&app.limits));
        let work = move || Ok(parse(&query, &content, &receipt, &limits));
        body::off_thread(&app.workers, self.body.len(), work).await
    }

    /// Puts events and refused events into the log and waits until they are on disk.
    ///
    /// # Errors
    /// [`Fault::Rate`], and what the log answers.
    pub(super) async fn store(
        &self,
        app: &Arc<App>,
        route: &'static str,
        parsed: &mut Parsed,
        turn: Option<Turn>,
    ) -> Result<Stored, Problem> {
        charge(app, &self.writer.senders, parsed.received.max(1))?;
        let dead_letters = self.dead_letters(app, route, parsed);
        let events = Lines { rows: rows(parsed.accepted.len()), payload: parsed.payload() };
        let batch = Batch {
            received_at: self.receipt.received_at,
            events,
            dead_letters,
            producer: turn.as_ref().map(Turn::mark),
        };
        let own = parsed.accepted.iter().filter(|event| !event.derived);
        let stream = self.receipt.stream_id.as_deref().unwrap_or_default();
        let ids = own.clone().filter_map(|event| event.event_id.as_deref());
        let ids = ids.map(|id| recent::id(stream, id)).collect();
        let kept = Kept { route, events: own.count(), ids, turn, start: app.clock.seconds() };
        append(app, batch, kept).await
    }

    /// What is refused, as lines, and counted.
    fn dead_letters(&self, app: &App, route: &str, parsed: &mut Parsed) -> Lines {
        let mut refused = std::mem::take(&mut parsed.rejected);
        let whole = parsed.malformed.take();
        let at = refused.len();
        refused.extend(whole);
        let bytes = refused.iter().map(|one| one.raw.len()).sum();
        if bytes > 0
            && app.buckets.take(&[Sender::DeadLetters], bytes, app.clock.seconds()).is_err()
        {
            app.metrics.cut_dead_letters();
            refused.iter_mut().for_each(|one| one.raw = Vec::new());
        }
        refused.iter().for_each(|one| app.metrics.rejected(one.reason.code()));
        let payload = collect::dead_letters(&refused, route, self.receipt.received_at);
        let lines = Lines { rows: rows(refused.len()), payload };
        parsed.malformed = refused.drain(at..).next();
        parsed.rejected = refused;
        lines
    }
}

/// What has to be remembered of a batch once it is on disk.
struct Kept {
    route: &'static str,
    events: usize,
    ids: Vec<recent::Id>,
    turn: Option<Turn>,
    start: f64,
}

async fn append(app: &Arc<App>, batch: Batch, kept: Kept) -> Result<Stored, Problem> {
    let (tell, told) = oneshot::channel();
    let done = Box::new(move |result| {
        // Nobody listens when the runtime is gone.
        let _ = tell.send(result);
    });
    if app.log.append(batch, done).is_err() {
        return Err(Problem::new(Fault::Busy, "too many bytes wait for the disk"));
    }
    // A task of its own, which goes on when the client has left: its resend is then recognised.
    let work = tokio::spawn({
        let app = Arc::clone(app);
        async move {
            let seq = told.await.unwrap_or(Err(AppendError::Stopped))?;
            if let Some(turn) = kept.turn {
                turn.done();
            }
            let duplicate = app.recent.remember(&kept.ids);
            let accepted = kept.events - duplicate;
            let seconds = app.clock.seconds() - kept.start;
            app.metrics.stored(kept.route, accepted, duplicate, seconds);
            Ok(Stored { seq, accepted, duplicate })
        }
    });
    match timeout(app.settings.bounds.ack_time, work).await {
        Ok(Ok(result)) => result.map_err(refused),
        Ok(Err(_)) => Err(Problem::new(Fault::Internal, "a worker failed")),
        Err(_) => Err(Problem::new(Fault::Unacknowledged, "the disk has not answered in time")),
    }
}

fn refused(error: AppendError) -> Problem {
    match error {
        AppendError::Full => Problem::new(Fault::DiskFull, "there is no space for more events"),
        AppendError::TooLarge { .. } => {
            Problem::new(Fault::TooLarge, "the events are too large for one entry of the log")
        }
        AppendError::Failed(_) => {
            Problem::new(Fault::Stopping, "the log has stopped after an error")
        }
        AppendError::Stopped => Problem::new(Fault::Stopping, "the server is stopping"),
    }
}

fn rows(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A request of which nothing could be read.
pub(super) fn malformed(whole: &Rejected) -> Problem {
    Problem::new(Fault::Malformed, whole.detail.clone())
        .logged(whole.reason.code())
        .with("reason", whole.reason.code())
}

/// Refused events, for their sender.
pub(super) fn listed(rejected: &[Rejected]) -> Value {
    let one = |one: &Rejected| json!({ "i": one.index, "reason": one.reason.code(), "detail": one.detail });
    rejected.iter().take(LISTED_MAX).map(one).collect()
}

/// A request of which every event was refused.
pub(super) fn all_refused(rejected: &[Rejected], seq: u64) -> Problem {
    let detail = match rejected {
        [only] => only.detail.clone(),
        more => format!("all {} events were refused", more.len()),
    };
    Problem::new(Fault::Rejected, detail)
        .logged(rejected.first().map_or("", |first| first.reason.code()))
        .with("accepted", 0)
        .with("duplicate", 0)
        .with("rejected", listed(rejected))
        .with("seq", seq)
}
