//! From the template engine's errors to ours: kind, file, line, column, hint.

use std::error::Error as _;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use minijinja::{Error, ErrorKind};

use super::lines;
use super::scope::{Globals, Scope};
use crate::error::{Fault, Location, ProjectError, nearest};

/// Takes a fault of ours through the template engine.
#[derive(Debug)]
pub(super) struct Carrier(Mutex<Option<(Fault, Option<String>)>>);

impl Carrier {
    pub(super) fn error(fault: Fault, hint: Option<String>) -> Error {
        let text = fault.to_string();
        Error::new(ErrorKind::InvalidOperation, text)
            .with_source(Self(Mutex::new(Some((fault, hint)))))
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("project fault")
    }
}

impl std::error::Error for Carrier {}

/// The texts an error may point into.
pub(super) struct Texts<'a> {
    pub(super) globals: &'a Globals,
    pub(super) scope: &'a Scope,
    /// The text that was rendered.
    pub(super) source: &'a str,
}

impl Texts<'_> {
    /// File and text of a template.
    fn find(&self, template: &str) -> (PathBuf, &str) {
        let mut macros = self.globals.macros.values().chain(self.globals.builtin_macros.values());
        match macros.find(|def| def.template == template) {
            Some(def) => (def.file.clone(), def.source.as_str()),
            None => (self.scope.file.clone(), self.source),
        }
    }
}

/// A syntax error's fault.
pub(super) fn syntax(error: &Error) -> Fault {
    Fault::JinjaSyntax { detail: detail(error) }
}

fn detail(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// The error as the user should see it.
pub(super) fn explain(error: Error, texts: &Texts<'_>) -> ProjectError {
    let (file, source) = texts.find(error.name().unwrap_or_default());
    let inside = error.range().filter(|range| source.get(range.clone()).is_some());
    let at = match (&inside, error.line()) {
        (Some(range), Some(line)) => Location::point(file, line, column(source, range.start)),
        (None, Some(line)) => Location::line(file, line),
        _ => Location::file(file),
    };
    let carried = take_carried(&error);
    let (fault, hint) = carried.unwrap_or_else(|| plain_fault(&error, source, inside, texts.scope));
    let called_from = (at.file != texts.scope.file && !texts.scope.file.as_os_str().is_empty())
        .then(|| format!("called from {}", texts.scope.file.display()));
    let mut error = fault.at(at);
    error.advice = hint;
    if let Some(called_from) = called_from {
        let hint =
            error.hint().map_or(called_from.clone(), |hint| format!("{hint} ({called_from})"));
        error.advice = Some(hint);
    }
    error
}

fn take_carried(error: &Error) -> Option<(Fault, Option<String>)> {
    let mut source = error.source();
    while let Some(current) = source {
        if let Some(carrier) = current.downcast_ref::<Carrier>() {
            return carrier.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        source = current.source();
    }
    None
}

fn plain_fault(
    error: &Error,
    source: &str,
    range: Option<Range<usize>>,
    scope: &Scope,
) -> (Fault, Option<String>) {
    let snippet = range.and_then(|range| source.get(range)).map(lines::plain).unwrap_or_default();
    match error.kind() {
        ErrorKind::SyntaxError => (syntax(error), None),
        ErrorKind::UndefinedError | ErrorKind::UnknownFunction => {
            let name: String = snippet
                .trim_start_matches(['{', '%', '-', ' '])
                .chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
                .collect();
            let root = name.split('.').next().unwrap_or_default();
            if name.is_empty() {
                return (Fault::JinjaRender { detail: "undefined value".into() }, None);
            }
            let hint = nearest(root, scope.known_names())
                .filter(|near| near != root)
                .map(|near| format!("did you mean `{near}`?"));
            (Fault::JinjaRender { detail: format!("`{name}` is undefined") }, hint)
        }
        ErrorKind::InvalidOperation => (Fault::JinjaRender { detail: detail(error) }, None),
        kind => {
            let detail = match error.detail() {
                Some(detail) => format!("{kind}: {detail}"),
                None => kind.to_string(),
            };
            (Fault::JinjaRender { detail }, None)
        }
    }
}

/// The column of a byte position, markers not counted.
fn column(source: &str, position: usize) -> usize {
    let start = source[..position].rfind('\n').map_or(0, |at| at + 1);
    lines::plain(&source[start..position]).chars().count() + 1
}
