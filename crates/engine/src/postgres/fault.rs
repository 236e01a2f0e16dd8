//! Errors of PostgreSQL, by what to do about them.

use std::error::Error;
use std::fmt;

use postgres::error::{DbError, SqlState};

use crate::error::Kind;

/// What kind of error an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A user or password that is not accepted.
    Credentials,
    /// The user may not do this.
    Denied,
    /// A database, role or schema that does not exist.
    NotFound,
    /// No answer, or a connection that was lost.
    Unreachable,
    /// A connection that can't be made secure.
    Tls,
    /// Something else holds what is needed: a lock, a place among the connections, space.
    Busy,
    /// A table, view or column that must not be replaced.
    InTheWay,
    /// A setting of the target that makes no sense.
    Setting,
    /// Everything else that was refused.
    Refused,
}

/// An error of PostgreSQL, or on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// PostgreSQL's words.
    pub message: String,
    /// What to do, where more is known than the kind says.
    pub hint: Option<String>,
}

impl Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FaultKind::Credentials => "PostgreSQL does not accept the credentials",
            FaultKind::Denied => "PostgreSQL denies access",
            FaultKind::NotFound => "not found in PostgreSQL",
            FaultKind::Unreachable => "PostgreSQL can't be reached",
            FaultKind::Tls => "no secure connection to PostgreSQL",
            FaultKind::Busy => "PostgreSQL is busy",
            FaultKind::InTheWay | FaultKind::Setting => return f.write_str(&self.message),
            FaultKind::Refused => "PostgreSQL refuses",
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

    /// The same, of one table.
    #[must_use]
    pub(super) fn of_table(mut self, name: &str) -> Self {
        self.message = format!("`{name}`: {}", self.message);
        self
    }

    /// What to do next.
    pub fn advice(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let text = match self.kind {
            FaultKind::Credentials => {
                "check `user` and `password` of the target, and the server's pg_hba.conf"
            }
            FaultKind::Denied => {
                "the user needs CREATE on the schema, and owns the tables or may SELECT, INSERT and DELETE: docs/publish.md"
            }
            FaultKind::NotFound => "check `dbname`, `role` and `schema` of the target",
            FaultKind::Unreachable => {
                "check `host` and `port` of the target, then run this again: tables are all as before, or all new"
            }
            FaultKind::Tls => {
                "name the authority's certificate as `sslrootcert`; `sslmode: require` encrypts without asking who answers"
            }
            FaultKind::Busy => "run this again later; all tables are as before",
            FaultKind::InTheWay | FaultKind::Setting | FaultKind::Refused => return None,
        };
        Some(text.to_owned())
    }

    /// Who can do something about it.
    pub(crate) fn whose(&self) -> Kind {
        match self.kind {
            FaultKind::Unreachable | FaultKind::Busy => Kind::Unavailable,
            _ => Kind::Project,
        }
    }

    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FaultKind::Credentials => "E3201",
            FaultKind::Denied => "E3202",
            FaultKind::NotFound => "E3203",
            FaultKind::Unreachable => "E3204",
            FaultKind::Tls => "E3205",
            FaultKind::Busy => "E3206",
            FaultKind::InTheWay => "E3207",
            FaultKind::Setting => "E3208",
            FaultKind::Refused => "E3209",
        }
    }
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        match error.as_db_error() {
            Some(answer) => of_server(answer),
            None => Self::new(of_connection(&error), chain(&error)),
        }
    }
}

/// An error that `CopyInWriter` wraps.
impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        let text = error.to_string();
        match error.into_inner().map(|inner| inner.downcast::<postgres::Error>()) {
            Some(Ok(inner)) => (*inner).into(),
            _ => Self::new(FaultKind::Unreachable, text),
        }
    }
}

fn of_server(answer: &DbError) -> Fault {
    let mut message = answer.message().to_owned();
    if let Some(detail) = answer.detail() {
        message.push_str(": ");
        message.push_str(&detail.lines().collect::<Vec<_>>().join("; "));
    }
    let fault = Fault::new(of_state(answer.code()), message);
    match fault.kind {
        FaultKind::InTheWay => fault.hinted(
            "a view reads a column that the new rows lack: drop the view, publish, make it again",
        ),
        FaultKind::Refused => match answer.hint() {
            Some(hint) => fault.hinted(hint),
            None => fault,
        },
        _ => fault,
    }
}

fn of_state(state: &SqlState) -> FaultKind {
    match state.code() {
        "28P01" | "28000" => FaultKind::Credentials,
        "42501" => FaultKind::Denied,
        // The last is that of `set role` for a role that is not there.
        "3D000" | "3F000" | "22023" => FaultKind::NotFound,
        "2BP01" => FaultKind::InTheWay,
        // A lock that does not come, a deadlock, a cancelled statement.
        "55P03" | "40P01" | "40001" | "57014" => FaultKind::Busy,
        code if code.starts_with("53") || code.starts_with("57P") => FaultKind::Busy,
        code if code.starts_with("08") => FaultKind::Unreachable,
        _ => FaultKind::Refused,
    }
}

/// The kind of an error without an answer. The client keeps its own kinds to itself, all but the first words.
fn of_connection(error: &postgres::Error) -> FaultKind {
    let text = error.to_string();
    if text.starts_with("error performing TLS handshake") {
        return FaultKind::Tls;
    }
    if text.starts_with("authentication error") || text.starts_with("invalid configuration") {
        return FaultKind::Credentials;
    }
    FaultKind::Unreachable
}

/// An error and what caused it, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
