//! What a request is told when it is not served: RFC 9457 problem JSON.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use crate::live::{QueryFailure, QueryFailureKind};

/// Why a request is not served. Each has one status, one code and one title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not the HTTP, JSON or gzip it says it is.
    Malformed,
    /// No secret, and one is needed.
    SecretMissing,
    /// Not one of the active secrets.
    SecretWrong,
    /// A page of a site that is not listed.
    Origin,
    /// A loopback server called by a name that is not its own.
    Host,
    /// Nothing to read here without a read secret.
    ReadClosed,
    /// No such path.
    NotFound,
    /// The path has other methods.
    Method,
    /// The body does not come fast enough.
    Slow,
    /// A producer left something out.
    Gap,
    /// A body of unknown length.
    Length,
    /// A body over its bound.
    TooLarge,
    /// A content type or encoding that is not understood.
    MediaType,
    /// Too many events per second.
    Rate,
    /// A queue is full.
    Busy,
    /// The disk is full.
    DiskFull,
    /// The log takes nothing any more.
    Stopping,
    /// Not known in time whether the events are on disk.
    Unacknowledged,
    /// None of the events was good.
    Rejected,
    /// The tables are not ready, or not current.
    NotReady,
    /// A value in the query string, a header or a JSON body.
    Parameter,
    /// Request line over its bound.
    UriTooLarge,
    /// Header fields over their bound.
    HeadTooLarge,
    /// No such table.
    TableUnknown,
    /// Keys of a page's address.
    Keys,
    /// A state of the tables that is not kept any more.
    Expired,
    /// No conversion, event, node or dimension of that name.
    Unknown,
    /// A query failed; the code is that of the failure.
    Query(QueryFailureKind),
    /// Our bug.
    Internal,
}

impl Fault {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Rejected | Self::Parameter => StatusCode::BAD_REQUEST,
            Self::SecretMissing => StatusCode::UNAUTHORIZED,
            Self::SecretWrong | Self::Origin | Self::Host | Self::ReadClosed => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound | Self::TableUnknown => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Gap => StatusCode::CONFLICT,
            Self::Length => StatusCode::LENGTH_REQUIRED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy
            | Self::DiskFull
            | Self::Stopping
            | Self::Unacknowledged
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::UriTooLarge => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Keys => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Expired => StatusCode::GONE,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Query(kind) => match kind {
                QueryFailureKind::Query => StatusCode::BAD_REQUEST,
                QueryFailureKind::NotFound => StatusCode::NOT_FOUND,
                QueryFailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
                QueryFailureKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                QueryFailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            },
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Malformed => "E6101",
            Self::SecretMissing => "E6102",
            Self::SecretWrong => "E6103",
            Self::Origin => "E6104",
            Self::Host => "E6105",
            Self::ReadClosed => "E6106",
            Self::NotFound => "E6107",
            Self::Method => "E6108",
            Self::Slow => "E6109",
            Self::Gap => "E6110",
            Self::Length => "E6111",
            Self::TooLarge => "E6112",
            Self::MediaType => "E6113",
            Self::Rate => "E6114",
            Self::Busy => "E6115",
            Self::DiskFull => "E6116",
            Self::Stopping => "E6117",
            Self::Unacknowledged => "E6118",
            Self::Rejected => "E6119",
            Self::NotReady => "E6120",
            Self::Parameter => "E6121",
            Self::UriTooLarge => "E6122",
            Self::HeadTooLarge => "E6123",
            Self::TableUnknown => "E6124",
            Self::Query(_) => "E6125",
            Self::Internal => "E6126",
            Self::Keys => "E6127",
            Self::Expired => "E6128",
            Self::Unknown => "E6129",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "malformed request",
            Self::SecretMissing => "secret missing",
            Self::SecretWrong => "secret not accepted",
            Self::Origin => "origin not allowed",
            Self::Host => "host name not allowed",
            Self::ReadClosed => "reading is not allowed",
            Self::NotFound => "no such path",
            Self::Method => "method not allowed",
            Self::Slow => "request too slow",
            Self::Gap => "gap in the producer's offsets",
            Self::Length => "length required",
            Self::TooLarge => "body too large",
            Self::MediaType => "content not supported",
            Self::Rate => "too many events",
            Self::Busy => "busy",
            Self::DiskFull => "disk full",
            Self::Stopping => "not accepting events",
            Self::Unacknowledged => "not acknowledged in time",
            Self::Rejected => "no event was accepted",
            Self::NotReady => "not ready",
            Self::Parameter => "invalid parameter",
            Self::UriTooLarge => "request line too long",
            Self::HeadTooLarge => "header fields too long",
            Self::TableUnknown => "no such table",
            Self::Query(_) => "query failed",
            Self::Internal => "internal error",
            Self::Keys => "keys of the address are not understood",
            Self::Expired => "expired link",
            Self::Unknown => "unknown",
        }
    }

    /// What to do next, where nobody knows better.
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::SecretMissing => {
                Some("send `Authorization: Bearer …`, or `api_secret` in the query")
            }
            Self::SecretWrong => Some("use one of the server's active secrets"),
            Self::Origin => Some("add the site to the server's `origins`"),
            Self::Host => {
                Some("call the server 127.0.0.1 or localhost, or add the name to its `hosts`")
            }
            Self::ReadClosed => Some("set a read secret, or read on the server's own machine"),
            Self::Slow => Some("send smaller batches"),
            Self::TooLarge => Some("send smaller batches"),
            Self::Length => Some("send Content-Length, or Transfer-Encoding: chunked"),
            Self::Busy | Self::Rate | Self::NotReady => {
                Some("try again after the time in Retry-After")
            }
            Self::Keys => Some("`keys` says what each takes; docs/api.md lists all"),
            Self::Expired => Some("leave `snap` out to see the newest numbers"),
            Self::DiskFull => Some("free disk space on the server; reading still works"),
            Self::Stopping => Some("send the same request again when the server is back"),
            Self::Unacknowledged => Some("send the same request again: duplicates are recognised"),
            Self::Internal => Some("this is a bug in clicktrail: please report it"),
            _ => None,
        }
    }

    /// Seconds after which to try again, where no better number is known.
    fn retry_after(self) -> Option<u32> {
        match self {
            Self::Busy | Self::Unacknowledged | Self::Rate => Some(1),
            Self::NotReady | Self::Stopping => Some(2),
            Self::DiskFull => Some(30),
            Self::Query(QueryFailureKind::Unavailable) => Some(1),
            _ => None,
        }
    }
}

/// A fault with its particulars, as an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Particulars>);

#[derive(Debug, Clone)]
struct Particulars {
    fault: Fault,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    retry_after: Option<u32>,
    logged: &'static str,
    more: Map<String, Value>,
}

impl Problem {
    /// `detail` is for the client. The log gets it only where it is a text of this program, as
    /// anything else may hold a value of an event.
    pub(crate) fn new(fault: Fault, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self(Box::new(Particulars {
            fault,
            logged: if let Cow::Borrowed(text) = detail { text } else { fault.title() },
            code: fault.code().into(),
            detail,
            hint: fault.hint().map(Cow::Borrowed),
            retry_after: fault.retry_after(),
            more: Map::new(),
        }))
    }

    /// Says what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Says what the log gets.
    pub(crate) fn logged(mut self, text: &'static str) -> Self {
        self.0.logged = text;
        self
    }

    /// Says when to try again, rounded up to seconds.
    pub(crate) fn retry_after(mut self, seconds: f64) -> Self {
        self.0.retry_after = Some(seconds.ceil().clamp(1.0, 3_600.0) as u32);
        self
    }

    /// Adds a member to the JSON.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(name.to_owned(), value.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn fault(&self) -> Fault {
        self.0.fault
    }
}

impl From<QueryFailure> for Problem {
    fn from(failure: QueryFailure) -> Self {
        let mut problem = Self::new(Fault::Query(failure.kind), failure.message);
        problem.0.code = failure.code.into();
        problem.0.hint = failure.hint.map(Cow::Owned);
        problem
    }
}

/// The code of a problem, kept beside its answer for log and metrics.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) code: Cow<'static, str>,
    pub(crate) detail: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Particulars { fault, code, detail, hint, retry_after, logged, more } = *self.0;
        let status = fault.status();
        let mut json = json!({
            "type": format!("urn:clicktrail:problem:{}", code),
            "title": fault.title(),
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
            "docs": format!("clicktrail explain {}", code),
        });
        if let Value::Object(members) = &mut json {
            if let Some(hint) = hint {
                members.insert("hint".into(), hint.into());
            }
            members.extend(more);
        }
        let mut answer = Response::new(Body::from(json.to_string()));
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(fault, Fault::Slow | Fault::TooLarge) {
            // What is left of the request would be taken for the next one.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.extensions_mut().insert(Told { code, detail: logged });
        answer
    }
}
