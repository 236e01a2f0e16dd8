//! Requests over HTTPS, and when they are sent again.

use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use super::fault::{Fault, FaultKind, kind_of, passes, reason_of};

/// Longest answer that is read: BigQuery cuts pages at 10 MB, JSON makes them longer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Pause before the second attempt; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(300);

/// Longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Time for a connection to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Time for a request with its answer; uploads may take long.
const REQUEST_TIME: Duration = Duration::from_secs(300);

/// An HTTPS client.
#[derive(Clone)]
pub(super) struct Transport {
    agent: Agent,
    /// Pauses add up to this at most.
    patience: Duration,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    /// Header fields; the token among them is never shown.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
    /// Whether it may be sent again when it is not known whether it arrived.
    pub(super) repeatable: bool,
}

/// An answer: HTTP status and JSON, `null` where there is none.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    /// Reason and message of an answer that is an error.
    pub(super) fn reason(&self) -> (String, String) {
        let error = if self.body["error"].is_object() { &self.body["error"] } else { &self.body };
        let (reason, message) = reason_of(error);
        if message.is_empty() {
            return (reason, format!("HTTP status {}", self.status));
        }
        (reason, message)
    }
}

impl Transport {
    /// A client that waits for `patience` in all before it gives a request up.
    pub(super) fn new(patience: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIME))
            .timeout_global(Some(REQUEST_TIME))
            .user_agent(concat!("clicktrail/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), patience }
    }

    /// Sends a request until it is answered; errors of the service itself are tried again, with growing pauses.
    ///
    /// # Errors
    /// No answer, or only the service's own errors, for as long as the patience lasts.
    pub(super) fn send(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let mut waited = Duration::ZERO;
        let mut pause = PAUSE_FIRST;
        loop {
            let (fault, again) = match self.once(call) {
                Ok(answer) if answer.status < 400 => return Ok(answer),
                Ok(answer) => {
                    let (reason, message) = answer.reason();
                    if !passes(answer.status, &reason) {
                        return Ok(answer);
                    }
                    let kind = kind_of(answer.status, &reason).unwrap_or(FaultKind::Unreachable);
                    // An error answer of a gateway does not say whether the request arrived.
                    (Fault::new(kind, message), call.repeatable || answer.status == 429)
                }
                Err(fault) => (fault, call.repeatable),
            };
            if !again || waited + pause > self.patience {
                return Err(fault);
            }
            sleep(pause);
            waited += pause;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn once(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let mut request = Request::builder().method(call.method).uri(call.url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let lost = |error: ureq::Error| Fault::new(FaultKind::Unreachable, error.to_string());
        let bad = |error: ureq::http::Error| Fault::new(FaultKind::Setting, error.to_string());
        let response = if call.body.is_empty() && call.method != "POST" {
            self.agent.run(request.body(()).map_err(bad)?)
        } else {
            self.agent.run(request.body(call.body).map_err(bad)?)
        };
        let mut response = response.map_err(lost)?;
        let status = response.status().as_u16();
        let bytes = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = serde_json::from_slice(&bytes.map_err(lost)?).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }
}
