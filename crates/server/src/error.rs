//! What keeps the server from starting, and a client from being served.

use std::net::SocketAddr;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fix a setting.
    Project,
    /// Events or a query are not as expected.
    Data,
    /// Try again: port in use, server not reached, queue full.
    Unavailable,
    /// A fault of Clicktrail.
    Internal,
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Everybody on the network could write events.
    #[error("{address} can be reached from other machines, and no write secret is set")]
    Unprotected {
        /// What was asked for.
        address: SocketAddr,
    },
    /// A setting has a value that makes no sense.
    #[error("{message}")]
    Setting {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: &'static str,
    },
    /// No answer came from the server, however often it was tried.
    #[error("no answer from {url} after {attempts} attempts: {reason}")]
    Unreachable {
        /// Where to, without secrets.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What happened the last time.
        reason: String,
    },
    /// The server understood and said no.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// Where to, without secrets.
        url: String,
        /// HTTP status.
        status: u16,
        /// Code of the problem, where the answer had one.
        problem: Option<String>,
        /// The answer's explanation.
        detail: String,
        /// The answer's hint.
        hint: Option<String>,
    },
    /// What answers there is not this server.
    #[error("{url} gave an answer that is not understood: {reason}")]
    Answer {
        /// Where to, without secrets.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Result of this crate.
pub type Result<T, E = ServerError> = std::result::Result<T, E>;

impl ServerError {
    /// What the caller should do.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unprotected { .. } | Self::Setting { .. } => Kind::Project,
            Self::Bind { .. } | Self::Unreachable { .. } => Kind::Unavailable,
            Self::Refused { status: 401 | 403, .. } => Kind::Project,
            Self::Refused { status: 400..=499, .. } => Kind::Data,
            Self::Refused { status: 503, .. } => Kind::Unavailable,
            Self::Refused { .. } | Self::Answer { .. } => Kind::Internal,
        }
    }

    /// A stable code. A refusal carries the code that the server gave.
    pub fn code(&self) -> &str {
        match self {
            Self::Bind { .. } => "E6001",
            Self::Unprotected { .. } => "E6002",
            Self::Setting { .. } => "E6003",
            Self::Unreachable { .. } => "E6004",
            Self::Refused { problem, .. } => problem.as_deref().unwrap_or("E6005"),
            Self::Answer { .. } => "E6006",
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("stop the other process, or choose another port".into())
            }
            Self::Bind { .. } => None,
            Self::Unprotected { .. } => {
                Some("set a write secret, or listen on 127.0.0.1 only".into())
            }
            Self::Setting { hint, .. } => Some((*hint).into()),
            Self::Unreachable { .. } => {
                Some("is the server running, and is the address right?".into())
            }
            Self::Refused { hint, .. } => hint.clone(),
            Self::Answer { .. } => Some("is this the address of a clicktrail server?".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_code_of_the_answer() {
        let refused = |status, problem: Option<&str>| ServerError::Refused {
            url: "http://127.0.0.1:1/v1/events".into(),
            status,
            problem: problem.map(str::to_owned),
            detail: "no".into(),
            hint: None,
        };
        assert_eq!(refused(403, Some("E6103")).code(), "E6103");
        assert_eq!(refused(500, None).code(), "E6005");
        assert_eq!(refused(403, None).kind(), Kind::Project);
        assert_eq!(refused(409, None).kind(), Kind::Data);
        assert_eq!(refused(503, None).kind(), Kind::Unavailable);
        assert_eq!(refused(500, None).kind(), Kind::Internal);
    }
}
