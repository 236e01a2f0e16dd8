//! How a call ended, when it did not end well.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::percent_decode_str;
use prost::Message;

use super::super::fault::{Fault, FaultKind};
use super::messages::{RpcStatus, STREAM_FINALIZED, StorageError};

/// Codes of gRPC.
pub(super) const CANCELLED: i32 = 1;
const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
pub(super) const NOT_FOUND: i32 = 5;
pub(super) const ALREADY_EXISTS: i32 = 6;
const PERMISSION_DENIED: i32 = 7;
const RESOURCE_EXHAUSTED: i32 = 8;
const FAILED_PRECONDITION: i32 = 9;
const ABORTED: i32 = 10;
pub(super) const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
pub(super) const UNAUTHENTICATED: i32 = 16;

/// The end of a call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: i32,
    pub(super) message: String,
    /// What BigQuery adds for its streams ([`StorageError::code`]).
    detail: Option<i32>,
}

impl Status {
    /// The connection broke, or was never made.
    pub(super) fn lost(why: impl std::fmt::Display) -> Self {
        Self { code: UNAVAILABLE, message: why.to_string(), detail: None }
    }

    /// An answer that makes no sense: the other side does not speak gRPC as it should.
    pub(super) fn odd(why: impl std::fmt::Display) -> Self {
        Self { code: UNKNOWN, message: why.to_string(), detail: None }
    }

    /// From the end of an HTTP/2 answer; `None` when all is well.
    pub(super) fn of_trailers(headers: &http::HeaderMap) -> Result<Option<Self>, Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let Some(code) = text("grpc-status") else { return Ok(None) };
        let code = code.parse().map_err(|_| Self::odd(format!("grpc-status is `{code}`")))?;
        let status = text("grpc-status-details-bin")
            .and_then(|text| STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok())
            .and_then(|bytes| RpcStatus::decode(bytes.as_slice()).ok());
        let message = percent_decode_str(text("grpc-message").unwrap_or_default());
        let message = message.decode_utf8_lossy().into_owned();
        Ok(Some(Self { code, message, detail: status.as_ref().and_then(detail) }))
    }

    /// From an HTTP status that is not 200, as gRPC maps them.
    pub(super) fn of_http(status: u16) -> Self {
        let code = match status {
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502 | 503 | 504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        Self { code, message: format!("HTTP status {status}"), detail: None }
    }

    /// From a message inside a stream.
    pub(super) fn of_message(status: &RpcStatus) -> Self {
        Self { code: status.code, message: status.message.clone(), detail: detail(status) }
    }

    /// Whether the same call may succeed later.
    pub(super) fn passes(&self) -> bool {
        matches!(
            self.code,
            CANCELLED | DEADLINE_EXCEEDED | RESOURCE_EXHAUSTED | ABORTED | INTERNAL | UNAVAILABLE
        )
    }

    /// Whether the interface as a whole is refused: not allowed, not switched on, not there. Another way may be open.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self.code, PERMISSION_DENIED | UNIMPLEMENTED)
    }

    /// Whether a write stream takes no more rows.
    pub(super) fn is_finalized(&self) -> bool {
        self.detail == Some(STREAM_FINALIZED)
            || (self.code == FAILED_PRECONDITION && self.detail.is_none())
    }

    /// As the rest of the program tells it.
    pub(super) fn fault(self) -> Fault {
        let kind = match self.code {
            UNAUTHENTICATED => FaultKind::Credentials,
            PERMISSION_DENIED => FaultKind::Denied,
            NOT_FOUND => FaultKind::NotFound,
            RESOURCE_EXHAUSTED => FaultKind::Quota,
            CANCELLED | UNKNOWN | DEADLINE_EXCEEDED | ABORTED | INTERNAL | UNAVAILABLE => {
                FaultKind::Unreachable
            }
            _ => FaultKind::Refused,
        };
        let words = self.message.lines().next().unwrap_or_default().trim();
        Fault::new(kind, if words.is_empty() { "it does not say why" } else { words })
    }
}

fn detail(status: &RpcStatus) -> Option<i32> {
    let found = status.details.iter().find(|detail| detail.type_url.ends_with(".StorageError"))?;
    StorageError::decode(found.value.clone()).ok().map(|error| error.code)
}

#[cfg(test)]
mod tests {
    use super::super::messages::Detail;
    use super::*;

    #[test]
    fn ends_of_calls_become_faults() {
        let headers = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let status = Status::of_trailers(&headers(&[
            ("grpc-status", "7"),
            ("grpc-message", "Permission 100%25 denied%3A a%C3%A9%0Amore"),
        ]));
        let status = status.unwrap().unwrap();
        assert!(status.is_refusal() && !status.passes());
        let fault = status.fault();
        assert_eq!(fault.kind, FaultKind::Denied);
        assert_eq!(fault.message, "Permission 100% denied: aé");
        assert_eq!(Status::of_trailers(&headers(&[("x", "y")])), Ok(None));
        assert!(Status::of_trailers(&headers(&[("grpc-status", "good")])).is_err());
        assert!(Status::of_http(404).is_refusal() && Status::of_http(503).passes());
    }

    #[test]
    fn the_end_of_a_write_stream_is_known_by_its_detail() {
        let of = |code: i32, inner: Option<i32>| {
            let details = inner.map(|code| Detail {
                type_url: "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError"
                    .into(),
                value: StorageError { code }.encode_to_vec().into(),
            });
            let status =
                RpcStatus { code, message: "x".into(), details: details.into_iter().collect() };
            Status::of_message(&status).is_finalized()
        };
        assert!(of(3, Some(STREAM_FINALIZED)) && of(FAILED_PRECONDITION, None));
        assert!(!of(3, Some(7)) && !of(FAILED_PRECONDITION, Some(7)) && !of(3, None));
    }
}
