//! What can go wrong with a project, where, and what to do about it.
//!
//! Every error has a stable code (`E1xxx`), a kind that says what the caller should do, and, when
//! known, the file, line and column of the user's text. Drawing is the business of the CLI.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::hint;
pub(crate) use crate::hint::nearest;

/// What the caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The user should fix a file or an argument.
    Project,
    /// Rows failed a check. (Not produced by this crate; listed so that all crates agree.)
    Data,
    /// Something outside could not be reached: try again.
    Unavailable,
    /// Our bug.
    Internal,
}

/// A place in one of the user's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Location {
    /// Path relative to the project folder when inside it.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: Option<usize>,
    /// Column in characters, counted from 1.
    pub column: Option<usize>,
}

impl Location {
    /// A whole file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), line: None, column: None }
    }

    /// A line of a file.
    pub fn line(file: impl Into<PathBuf>, line: usize) -> Self {
        Self { file: file.into(), line: Some(line), column: None }
    }

    /// A line and column of a file.
    pub fn point(file: impl Into<PathBuf>, line: usize, column: usize) -> Self {
        Self { file: file.into(), line: Some(line), column: Some(column) }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// The error of this crate: a kind of fault, its place and its hint.
#[derive(Debug, thiserror::Error)]
#[error("{fault}{}", place(.at))]
pub struct ProjectError {
    /// What is wrong.
    #[source]
    pub fault: Box<Fault>,
    /// Where, when known.
    pub at: Option<Location>,
    /// What to do, when we can say it better than the fault itself.
    pub advice: Option<String>,
}

fn place(at: &Option<Location>) -> String {
    at.as_ref().map(|at| format!(" in {at}")).unwrap_or_default()
}

/// Result of this crate.
pub type Result<T, E = ProjectError> = std::result::Result<T, E>;

/// What is wrong, without its place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The folder holds no `dbt_project.yml`.
    #[error("no `dbt_project.yml` in {}", dir.display())]
    NoProject {
        /// Where we looked.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {verb} `{}`: {source}", path.display())]
    Io {
        /// `read`, `write`, `list`.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is not valid YAML.
    #[error("invalid YAML: {detail}")]
    Yaml {
        /// The parser's words.
        detail: String,
    },
    /// A key nobody knows.
    #[error("unknown key `{key}` under {place}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The mapping it stands in, in words.
        place: String,
        /// The nearest known key.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("{place} has no `{key}`")]
    MissingKey {
        /// The key.
        key: String,
        /// The mapping, in words.
        place: String,
    },
    /// A value of the wrong type or outside the allowed set.
    #[error("`{key}` must be {expected}, not {found}")]
    BadValue {
        /// The key.
        key: String,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// No `profiles.yml` in any of the places searched.
    #[error("no `profiles.yml` found")]
    NoProfiles {
        /// The folders searched, in order.
        searched: Vec<PathBuf>,
    },
    /// A name that must be one of a known list is not: profile, target, adapter, selector, …
    #[error("unknown {what} `{name}`")]
    UnknownName {
        /// `profile`, `target`, `adapter type`, `selector`, `data test`, `macro`, `model`, …
        what: &'static str,
        /// The name given.
        name: String,
        /// The nearest known name.
        nearest: Option<String>,
        /// Known names, when the list is short.
        known: Vec<String>,
    },
    /// `ref()` names no model or seed.
    #[error("unknown ref `{name}`")]
    UnknownRef {
        /// The name.
        name: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// `source()` names no source table.
    #[error("unknown source `{name}`")]
    UnknownSource {
        /// `source.table`.
        name: String,
        /// The nearest known source table.
        nearest: Option<String>,
    },
    /// `ref()` or `source()` names a disabled node.
    #[error("`{name}` is disabled")]
    DisabledRef {
        /// The name.
        name: String,
    },
    /// Two nodes carry one name.
    #[error("duplicate {what} `{name}`")]
    Duplicate {
        /// `model`, `macro`, `source`, …
        what: &'static str,
        /// The name.
        name: String,
        /// Where the first one is.
        first: Location,
    },
    /// Models that need each other.
    #[error("models form a ring: {}", ring_text(ring))]
    Cycle {
        /// Name and file of each member; the first comes again at the end.
        ring: Vec<(String, PathBuf)>,
    },
    /// Jinja that does not parse.
    #[error("invalid Jinja: {detail}")]
    JinjaSyntax {
        /// The template engine's words.
        detail: String,
    },
    /// Jinja that fails while it renders.
    #[error("{detail}")]
    JinjaRender {
        /// What happened.
        detail: String,
    },
    /// A variable without value and default.
    #[error("var `{name}` is not set and has no default")]
    MissingVar {
        /// The variable.
        name: String,
        /// The nearest known variable.
        nearest: Option<String>,
    },
    /// An environment variable without value and default.
    #[error("environment variable `{name}` is not set and has no default")]
    MissingEnv {
        /// The variable.
        name: String,
    },
    /// Something dbt can do and we cannot.
    #[error("{what} is not supported")]
    Unsupported {
        /// The feature.
        what: String,
    },
    /// `exceptions.raise_compiler_error`.
    #[error("{message}")]
    Raised {
        /// The project's own words.
        message: String,
    },
    /// A selector that does not parse.
    #[error("invalid selector `{spec}`: {detail}")]
    SelectorSyntax {
        /// The text.
        spec: String,
        /// What is wrong.
        detail: String,
    },
    /// A selector that matches nothing.
    #[error("selector `{spec}` matches nothing")]
    NothingSelected {
        /// The text.
        spec: String,
        /// Names close to it.
        nearest: Vec<String>,
    },
    /// A selector that needs `--state` without it.
    #[error("selector `{spec}` needs {needs}")]
    SelectorNeeds {
        /// The text.
        spec: String,
        /// What it needs.
        needs: &'static str,
    },
    /// An artifact (`manifest.json`, `run_results.json`) we cannot understand.
    #[error("cannot read artifact: {source}")]
    Artifact {
        /// The cause.
        source: serde_json::Error,
    },
    /// Our bug.
    #[error("internal fault: {detail}")]
    Internal {
        /// What we believed and was not so.
        detail: String,
    },
}

fn ring_text(ring: &[(String, PathBuf)]) -> String {
    ring.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(" → ")
}

impl Fault {
    /// Gives the fault a place.
    pub fn at(self, at: Location) -> ProjectError {
        ProjectError { fault: Box::new(self), at: Some(at), advice: None }
    }
}

impl From<Fault> for ProjectError {
    fn from(fault: Fault) -> Self {
        Self { fault: Box::new(fault), at: None, advice: None }
    }
}

impl ProjectError {
    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        match *self.fault {
            Fault::Internal { .. } => ErrorKind::Internal,
            _ => ErrorKind::Project,
        }
    }

    /// The file at fault, relative to the project folder when inside it.
    pub fn file(&self) -> Option<&Path> {
        self.at.as_ref().map(|at| at.file.as_path())
    }

    /// The line at fault, counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.at.as_ref().and_then(|at| at.line)
    }

    /// The column at fault, counted from 1.
    pub fn column(&self) -> Option<usize> {
        self.at.as_ref().and_then(|at| at.column)
    }

    /// The message without its place.
    pub fn message(&self) -> String {
        self.fault.to_string()
    }

    /// Adds or replaces the hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.advice = Some(hint.into());
        self
    }

    /// Sets the place when there is none yet.
    #[must_use]
    pub fn or_at(mut self, at: Location) -> Self {
        self.at.get_or_insert(at);
        self
    }

    /// Stable code, `E1xxx`.
    pub fn code(&self) -> &'static str {
        match *self.fault {
            Fault::NoProject { .. } => "E1001",
            Fault::Io { .. } => "E1002",
            Fault::Yaml { .. } => "E1003",
            Fault::UnknownKey { .. } => "E1004",
            Fault::MissingKey { .. } => "E1005",
            Fault::BadValue { .. } => "E1006",
            Fault::NoProfiles { .. } => "E1010",
            Fault::UnknownName { .. } => "E1011",
            Fault::UnknownRef { .. } => "E1020",
            Fault::UnknownSource { .. } => "E1021",
            Fault::DisabledRef { .. } => "E1022",
            Fault::Duplicate { .. } => "E1023",
            Fault::Cycle { .. } => "E1024",
            Fault::JinjaSyntax { .. } => "E1030",
            Fault::JinjaRender { .. } => "E1031",
            Fault::MissingVar { .. } => "E1032",
            Fault::MissingEnv { .. } => "E1033",
            Fault::Unsupported { .. } => "E1034",
            Fault::Raised { .. } => "E1035",
            Fault::SelectorSyntax { .. } => "E1040",
            Fault::NothingSelected { .. } => "E1041",
            Fault::SelectorNeeds { .. } => "E1042",
            Fault::Artifact { .. } => "E1050",
            Fault::Internal { .. } => "E1099",
        }
    }

    /// What to do about it, one line, without the word `hint`.
    pub fn hint(&self) -> Option<String> {
        if self.advice.is_some() {
            return self.advice.clone();
        }
        hint::of(&self.fault)
    }
}
