//! The live stream as server-sent events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, sleep_until};

use super::Shared;
use crate::app::App;
use crate::feed::LiveEvent;
use crate::problem::{Fault, Problem};
use crate::query;

/// Events of one message.
const MESSAGE_EVENTS: usize = 50;
/// Messages of one batch: beyond 5,000 events a second a reader gets gaps.
const BATCH_MESSAGES: usize = 10;
/// Time between batches.
const BATCH: Duration = Duration::from_millis(100);
/// Time between words that the marts moved.
const MARTS: Duration = Duration::from_millis(250);
const PING: Duration = Duration::from_secs(15);
/// Events that a new reader sees first.
const FIRST_EVENTS: usize = 10;
/// Messages on their way to one reader; one that takes none keeps its place in the ring and gets a gap later.
const QUEUE: usize = 16;

/// Messages as they come.
struct Messages(mpsc::Receiver<Bytes>);

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// The stream for one reader.
pub(crate) async fn live(State(app): Shared, request: Request) -> Result<Response, Problem> {
    app.rules.reader(request.headers())?;
    let search = request.uri().query().unwrap_or_default();
    let named = |name: &str| query::value(search, name).filter(|text| !text.is_empty());
    let header = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
    let after = match header.map(str::to_owned).or_else(|| named("after").map(String::from)) {
        None => None,
        Some(text) => Some(text.trim().parse::<u64>().map_err(|_| {
            Problem::new(Fault::Parameter, "`after` is not the number of an event")
        })?),
    };
    let wanted = Wanted {
        name: named("type").map(String::from),
        channel: named("channel").map(String::from),
    };
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        // Whoever goes away ends this by not listening.
        let _ = Reader::new(app, wanted, after, sender).run().await;
    });
    let mut answer = Response::new(Body::new(Messages(receiver)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(answer)
}

struct Wanted {
    name: Option<String>,
    channel: Option<String>,
}

impl Wanted {
    fn takes(&self, event: &LiveEvent) -> bool {
        self.name.as_ref().is_none_or(|name| *name == event.name)
            && self.channel.as_ref().is_none_or(|channel| Some(channel) == event.channel.as_ref())
    }
}

/// The reader went away.
struct Gone;

struct Reader {
    app: Arc<App>,
    wanted: Wanted,
    sender: mpsc::Sender<Bytes>,
    cursor: u64,
    replay_until: u64,
    marts: u64,
    health: Value,
}

impl Reader {
    fn new(app: Arc<App>, wanted: Wanted, after: Option<u64>, sender: mpsc::Sender<Bytes>) -> Self {
        let last = app.feed.last();
        // A number from before a restart says nothing now.
        let after = after.filter(|after| *after <= last);
        let cursor = after.unwrap_or_else(|| app.feed.back(FIRST_EVENTS));
        let marts = app.feed.news(last, 0).marts;
        Self { app, wanted, sender, cursor, replay_until: last, marts, health: Value::Null }
    }

    async fn send(&self, event: &str, id: Option<u64>, data: &Value) -> Result<(), Gone> {
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        let text = format!("event: {event}\n{id}data: {data}\n\n");
        self.sender.send(text.into()).await.map_err(|_| Gone)
    }

    async fn run(mut self) -> Result<(), Gone> {
        let mut moved = self.app.feed.watch();
        self.sender.send("retry: 2000\n\n".into()).await.map_err(|_| Gone)?;
        self.hello().await?;
        self.health().await?;
        self.agg(true).await?;
        let now = Instant::now();
        let (mut next_batch, mut next_marts) = (now, now);
        let mut each_second = interval_at(now + Duration::from_secs(1), Duration::from_secs(1));
        let mut ping = interval_at(now + PING, PING);
        let mut pending = true;
        loop {
            let now = Instant::now();
            let mut wake = None;
            if pending {
                if now < next_batch {
                    wake = Some(next_batch);
                } else {
                    let more = self.batch().await?;
                    next_batch = now + BATCH;
                    wake = more.then_some(next_batch);
                }
                let news = self.app.feed.news(self.cursor, 0);
                if news.closed {
                    return Ok(());
                }
                if news.marts != self.marts {
                    if now >= next_marts {
                        self.marts = news.marts;
                        self.mart(&news.changed).await?;
                        next_marts = now + MARTS;
                    } else {
                        wake = Some(wake.map_or(next_marts, |wake: Instant| wake.min(next_marts)));
                    }
                }
                pending = wake.is_some();
            }
            let at = wake.unwrap_or(now + PING);
            tokio::select! {
                changed = moved.changed() => {
                    if changed.is_err() { return Ok(()); }
                    pending = true;
                }
                () = sleep_until(at), if wake.is_some() => {}
                _ = each_second.tick() => { self.agg(false).await?; self.health().await?; }
                _ = ping.tick() => self.sender.send(": ping\n\n".into()).await.map_err(|_| Gone)?,
            }
        }
    }

    async fn hello(&self) -> Result<(), Gone> {
        let status = self.app.live.status();
        let now = crate::clock::rfc3339(self.app.clock.now_micros());
        let dashboard = self.app.dashboard.as_ref();
        let data = json!({
            "build": self.app.web.build(),
            "snapshot_id": dashboard.and_then(|dashboard| dashboard.snapshot()),
            "seq": self.app.feed.last(), "now": now, "phase": status.phase, "ready": status.ready,
            "stale": status.stale,
            "progress": dashboard.map_or(Value::Null, |dashboard| dashboard.progress()),
        });
        self.send("hello", None, &data).await
    }

    /// Sends what has come; whether there is more for the next batch.
    async fn batch(&mut self) -> Result<bool, Gone> {
        for _ in 0..BATCH_MESSAGES {
            let news = self.app.feed.news(self.cursor, MESSAGE_EVENTS);
            if let Some((from, to)) = news.gap {
                self.send("gap", Some(to), &json!({ "from": from, "to": to })).await?;
            }
            if news.events.is_empty() {
                return Ok(false);
            }
            self.cursor = news.cursor;
            let replayed = news.cursor <= self.replay_until;
            let events: Vec<&LiveEvent> = news
                .events
                .iter()
                .map(|event| &**event)
                .filter(|event| self.wanted.takes(event))
                .collect();
            if !events.is_empty() {
                let data = json!({ "n": events.len(), "replayed": replayed, "e": events });
                self.send("events", Some(news.cursor), &data).await?;
            }
        }
        Ok(true)
    }

    async fn mart(&self, changed: &[String]) -> Result<(), Gone> {
        let snapshot = self.app.dashboard.as_ref().and_then(|dashboard| dashboard.snapshot());
        self.send("mart", None, &json!({ "snapshot_id": snapshot, "changed": changed })).await
    }

    async fn agg(&self, first: bool) -> Result<(), Gone> {
        let status = self.app.live.status();
        let mut data = json!({
            "rate": self.app.feed.rate(), "events": status.events, "late": status.late,
            "duplicate": status.duplicates, "rejected": self.app.metrics.refused(),
            "lag_ms": (status.lag_seconds * 1_000.0).round() as u64, "seq": self.app.feed.last(),
            "frame": status.applied_seq,
        });
        if first {
            data["rates"] = json!(self.app.feed.strip());
        }
        self.send("agg", None, &data).await
    }

    async fn health(&mut self) -> Result<(), Gone> {
        let status = self.app.live.status();
        let dashboard = self.app.dashboard.as_ref();
        let now = json!({
            "ready": status.ready, "phase": status.phase, "stale": status.stale,
            "progress": dashboard.map_or(Value::Null, |dashboard| dashboard.progress()),
            "tests": dashboard.map_or(Value::Null, |dashboard| dashboard.tests()),
            "behind": status.lag_seconds > 5.0,
        });
        if now == self.health {
            return Ok(());
        }
        let mut data = now.clone();
        data["lag_seconds"] = json!(status.lag_seconds);
        self.health = now;
        self.send("health", None, &data).await
    }
}
