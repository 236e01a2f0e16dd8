//! Errors of BigQuery, by what to do about them.

use std::fmt;

use serde_json::Value;

use crate::error::Kind;

/// What kind of error an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No credentials, or ones that are not accepted.
    Credentials,
    /// The account may not do this.
    Denied,
    /// A project, dataset, table or job that does not exist there.
    NotFound,
    /// A quota or rate is used up.
    Quota,
    /// No answer, or the service's own failure, after several attempts.
    Unreachable,
    /// More bytes than the limit allows.
    TooExpensive,
    /// Stopped, or longer than it may take.
    Stopped,
    /// A setting of the target that makes no sense.
    Setting,
    /// Everything else that was refused.
    Refused,
}

/// An error of BigQuery, or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// BigQuery's words, first line.
    pub message: String,
    /// What to do, where more is known than the kind says.
    pub hint: Option<String>,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Credentials => "BigQuery does not accept the credentials",
            FaultKind::Denied => "BigQuery denies access",
            FaultKind::NotFound => "not found in BigQuery",
            FaultKind::Quota => "a quota of BigQuery is used up",
            FaultKind::Unreachable => "BigQuery can't be reached",
            FaultKind::TooExpensive => "too many bytes",
            FaultKind::Stopped => "the job was stopped",
            FaultKind::Setting => return f.write_str(&self.message),
            FaultKind::Refused => "BigQuery refuses",
        };
        write!(f, "{what}: {}", self.message)
    }
}

impl Fault {
    /// A fault of a kind with its words.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// The same with a hint of its own.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let text = match self.kind {
            FaultKind::Credentials => {
                "sign in with `gcloud auth application-default login`, or name a `keyfile` in the target"
            }
            FaultKind::Denied => {
                "the account needs the roles BigQuery Job User on the project, Data Viewer on the export's dataset and \
                 Data Editor on the target's: docs/bigquery.md"
            }
            FaultKind::NotFound => {
                "check `project`, `dataset` and `location` of the target: `clicktrail debug --target …`"
            }
            FaultKind::Quota => {
                "wait, or ask for more quota; `clicktrail retry` goes on where it stopped"
            }
            FaultKind::Unreachable => "check the network, then run `clicktrail retry`",
            FaultKind::TooExpensive => {
                "read fewer days (vars `ga4_from`, `ga4_to`), or raise `--max-bytes` or `maximum_bytes_billed`"
            }
            FaultKind::Stopped => {
                "raise `job_execution_timeout_seconds` of the target, or read fewer days"
            }
            FaultKind::Setting | FaultKind::Refused => return None,
        };
        Some(text.to_owned())
    }

    /// Who can do something about it.
    pub(crate) fn whose(&self) -> Kind {
        match self.kind {
            FaultKind::Unreachable | FaultKind::Quota | FaultKind::Stopped => Kind::Unavailable,
            _ => Kind::Project,
        }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Credentials => "E3101",
            FaultKind::Denied => "E3102",
            FaultKind::NotFound => "E3103",
            FaultKind::Quota => "E3104",
            FaultKind::Unreachable => "E3105",
            FaultKind::TooExpensive => "E3106",
            FaultKind::Stopped => "E3107",
            FaultKind::Setting => "E3108",
            FaultKind::Refused => "E3109",
        }
    }
}

/// Whether an error of this reason goes away by itself: the request may be sent again.
pub(super) fn passes(status: u16, reason: &str) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
        || matches!(
            reason,
            "backendError"
                | "internalError"
                | "rateLimitExceeded"
                | "jobRateLimitExceeded"
                | "jobBackendError"
                | "jobInternalError"
        )
}

/// Reason and message of an error body `{"error": {…}}`, or of an `errorResult`.
pub(super) fn reason_of(error: &Value) -> (String, String) {
    let first = error.pointer("/errors/0").unwrap_or(error);
    let reason = first["reason"].as_str().or(error["status"].as_str()).unwrap_or_default();
    let message = error["message"].as_str().or(first["message"].as_str()).unwrap_or_default();
    (reason.to_owned(), first_line(message))
}

/// The kind of an error by BigQuery's reason, else by HTTP status; `None` when it is the SQL's fault.
pub(super) fn kind_of(status: u16, reason: &str) -> Option<FaultKind> {
    Some(match reason {
        "invalidQuery" | "resourcesExceeded" => return None,
        "accessDenied" | "forbidden" | "PERMISSION_DENIED" => FaultKind::Denied,
        "notFound" | "NOT_FOUND" => FaultKind::NotFound,
        "quotaExceeded"
        | "rateLimitExceeded"
        | "jobRateLimitExceeded"
        | "billingTierLimitExceeded" => FaultKind::Quota,
        "bytesBilledLimitExceeded" => FaultKind::TooExpensive,
        "stopped" | "timeout" => FaultKind::Stopped,
        "authError" | "required" | "UNAUTHENTICATED" => FaultKind::Credentials,
        "backendError" | "internalError" | "jobBackendError" | "jobInternalError" => {
            FaultKind::Unreachable
        }
        "billingNotEnabled" | "accountDisabled" => FaultKind::Denied,
        _ => match status {
            401 => FaultKind::Credentials,
            403 => FaultKind::Denied,
            404 => FaultKind::NotFound,
            429 => FaultKind::Quota,
            500.. => FaultKind::Unreachable,
            _ => FaultKind::Refused,
        },
    })
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Line and column of `… at [3:14]` or `… at 3:14`.
pub(super) fn position(message: &str) -> Option<(usize, usize)> {
    let start = message.rfind("at [").map(|at| at + 4)?;
    let inside = &message[start..message[start..].find(']').map(|end| start + end)?];
    let (line, column) = inside.split_once(':')?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_reasons_are_found() {
        assert_eq!(position("Unrecognized name: a at [12:3]"), Some((12, 3)));
        assert_eq!(position("no place"), None);
        let body = serde_json::json!({"code": 403, "message": "Quota exceeded\nmore",
            "errors": [{"reason": "quotaExceeded", "message": "x"}]});
        assert_eq!(reason_of(&body), ("quotaExceeded".into(), "Quota exceeded".into()));
        assert_eq!(kind_of(403, "quotaExceeded"), Some(FaultKind::Quota));
        assert_eq!(kind_of(400, "invalidQuery"), None);
        assert!(
            passes(503, "") && passes(403, "rateLimitExceeded") && !passes(403, "quotaExceeded")
        );
    }
}
