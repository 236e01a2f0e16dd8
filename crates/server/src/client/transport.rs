//! Requests and their repetition.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use super::{BatchReceipt, Position, Retry};
use crate::error::{Result, ServerError};
use crate::live::{Column, LiveStatus, QueryAnswer};
use crate::routes::names::{IDEMPOTENCY_KEY, PRODUCER, PRODUCER_OFFSET};

/// Longest answer that is read: 100,000 rows of a kilobyte.
const ANSWER_BYTES_MAX: u64 = 128 << 20;

/// Connections kept for reuse.
const IDLE_CONNECTIONS: usize = 4;

/// Whom to talk to, and how.
#[derive(Clone)]
pub struct ClientSettings {
    /// `http://host:port`. TLS is the business of a proxy.
    pub url: String,
    /// Secret for writing or reading, as the server's owner gave it.
    pub secret: Option<String>,
    /// When to try again.
    pub retry: Retry,
    /// Time for a connection to be made.
    pub connect_time: Duration,
    /// Time for a request, its answer included. Above the server's own limits.
    pub request_time: Duration,
}

impl ClientSettings {
    /// Settings for a server at this address, without a secret.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            retry: Retry::default(),
            connect_time: Duration::from_secs(5),
            request_time: Duration::from_secs(60),
        }
    }
}

/// Without the secret.
impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSettings").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A client of one server. Keeps its connections; cheap to share between threads.
pub struct Client {
    agent: Agent,
    base: String,
    authorization: Option<String>,
    retry: Retry,
}

/// Without the secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Answers after which a batch is sent again: too slow, too many, busy, or a proxy without its
/// server.
const SEND_AGAIN: &[u16] = &[408, 429, 502, 503, 504];

/// Answers after which a query is sent again.
const QUERY_AGAIN: &[u16] = &[429, 502, 503];

/// What the server says when it says no.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemAnswer {
    code: Option<String>,
    title: String,
    detail: String,
    hint: Option<String>,
}

/// What one attempt gave.
enum Attempt {
    Answered(Response<Body>),
    Again { reason: String, asked: Option<Duration> },
}

impl Client {
    /// # Errors
    /// [`ServerError::Setting`] for a URL that is not `http://`.
    pub fn new(settings: ClientSettings) -> Result<Self> {
        let base = settings.url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") || base.contains(['?', '#', '@']) {
            return Err(ServerError::Setting {
                message: format!("`{}` is not the address of a server", settings.url),
                hint: "write http://host:port; for TLS put a proxy on this machine",
            });
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(settings.connect_time))
            .timeout_global(Some(settings.request_time))
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            // Secrets do not go to whatever proxy the environment names.
            .proxy(None)
            .build()
            .new_agent();
        let authorization = settings.secret.map(|secret| format!("Bearer {secret}"));
        Ok(Self { agent, base, authorization, retry: settings.retry })
    }

    /// Sends NDJSON lines to `/v1/events` until they are on disk.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`] after the last attempt, [`ServerError::Refused`] when trying
    /// again is of no use. A batch whose events were all refused is no error here: see
    /// [`BatchReceipt::rejected`].
    pub fn send(&self, lines: &[u8], position: &Position) -> Result<BatchReceipt> {
        let url = format!("{}/v1/events", self.base);
        let build = || {
            let request = self.request("POST", &url).header("content-type", "application/x-ndjson");
            let request = match position {
                Position::Key(key) => request.header(IDEMPOTENCY_KEY, key),
                Position::Producer { producer, offset } => {
                    request.header(PRODUCER, producer).header(PRODUCER_OFFSET, offset.to_string())
                }
                Position::Events => request,
            };
            request.body(lines)
        };
        let answer = self.answer(&url, SEND_AGAIN, || self.agent.run(build()?))?;
        let status = answer.status().as_u16();
        let text = read(&url, answer)?;
        // All refused: the answer is a problem, and the receipt stands in it.
        if status == 200 || status == 400 && text.contains("\"accepted\":0") {
            return parse(&url, &text);
        }
        Err(refused(&url, status, &text))
    }

    /// How far the server's tables are. One attempt.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`], [`ServerError::Refused`], [`ServerError::Answer`].
    pub fn status(&self) -> Result<LiveStatus> {
        #[derive(Deserialize)]
        struct Envelope {
            data: LiveStatus,
        }
        let url = format!("{}/api/v1/status", self.base);
        let sent = self.request("GET", &url).body(()).map_err(ureq::Error::from);
        let answer = match attempt(sent.and_then(|request| self.agent.run(request)), &[]) {
            Attempt::Answered(answer) => answer,
            Attempt::Again { reason, .. } => {
                return Err(ServerError::Unreachable { url, attempts: 1, reason });
            }
        };
        self.json::<Envelope>(&url, answer).map(|envelope| envelope.data)
    }

    /// The rows of a query, waiting until the tables hold `min_seq`.
    ///
    /// # Errors
    /// [`ServerError::Unreachable`], [`ServerError::Refused`], [`ServerError::Answer`].
    pub fn query(
        &self,
        sql: &str,
        min_seq: Option<u64>,
        limit: Option<usize>,
    ) -> Result<QueryAnswer> {
        #[derive(Deserialize)]
        struct Meta {
            seq: u64,
            columns: Vec<Column>,
            truncated: bool,
        }
        #[derive(Deserialize)]
        struct Envelope {
            data: Vec<Value>,
            meta: Meta,
        }
        let url = format!("{}/api/v1/query", self.base);
        let asked = json!({ "sql": sql, "min_seq": min_seq, "limit": limit }).to_string();
        let answer = self.answer(&url, QUERY_AGAIN, || {
            let request = self.request("POST", &url).header("content-type", "application/json");
            self.agent.run(request.body(asked.as_bytes())?)
        })?;
        let Envelope { data, meta } = self.json(&url, answer)?;
        let Meta { seq, columns, truncated } = meta;
        Ok(QueryAnswer { seq, columns, rows: data, truncated })
    }

    fn request(&self, method: &str, url: &str) -> ureq::http::request::Builder {
        let request = Request::builder().method(method).uri(url);
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// Sends until there is an answer that does not ask for another attempt.
    fn answer(
        &self,
        url: &str,
        again: &[u16],
        send: impl Fn() -> std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (reason, asked) = match attempt(send(), again) {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Again { reason, asked } => (reason, asked),
            };
            if attempts >= self.retry.attempts {
                return Err(ServerError::Unreachable { url: url.to_owned(), attempts, reason });
            }
            let pause = self.retry.pause(attempts, asked);
            tracing::debug!(attempts, reason, pause_ms = pause.as_millis(), "trying again");
            sleep(pause);
        }
    }

    fn json<T: DeserializeOwned>(&self, url: &str, answer: Response<Body>) -> Result<T> {
        let status = answer.status().as_u16();
        let text = read(url, answer)?;
        if status == 200 { parse(url, &text) } else { Err(refused(url, status, &text)) }
    }
}

/// Whether there is an answer, or it has to be tried again: the connection failed, or the server is
/// busy, slow to receive, or asks for fewer events per second.
fn attempt(sent: std::result::Result<Response<Body>, ureq::Error>, again: &[u16]) -> Attempt {
    let mut answer = match sent {
        Ok(answer) => answer,
        Err(error) => return Attempt::Again { reason: error.to_string(), asked: None },
    };
    let status = answer.status().as_u16();
    if !again.contains(&status) {
        return Attempt::Answered(answer);
    }
    let asked = answer.headers().get("retry-after").and_then(|seconds| seconds.to_str().ok());
    let asked = asked.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let problem = problem(&text.unwrap_or_default());
    Attempt::Again { reason: format!("{status} {}", problem.detail), asked }
}

fn problem(text: &str) -> ProblemAnswer {
    serde_json::from_str(text).unwrap_or_default()
}

fn refused(url: &str, status: u16, text: &str) -> ServerError {
    let ProblemAnswer { code, title, detail, hint } = problem(text);
    let detail = if detail.is_empty() { title } else { detail };
    ServerError::Refused { url: url.to_owned(), status, problem: code, detail, hint }
}

fn read(url: &str, mut answer: Response<Body>) -> Result<String> {
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    text.map_err(|error| ServerError::Answer { url: url.to_owned(), reason: error.to_string() })
}

fn parse<T: DeserializeOwned>(url: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| ServerError::Answer { url: url.to_owned(), reason: error.to_string() })
}
