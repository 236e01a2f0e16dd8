//! The engine's errors in the reader's terms: what, where, and what would have been right.

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::parser::ParserError;

use super::feed::FeedFailure;
use crate::error::EngineError;

/// An error found while reading SQL, with its place where the engine knows it.
pub(crate) fn planning_failure(error: &DataFusionError, sql: &str) -> EngineError {
    if let Some(failure) = known_cause(error) {
        return failure;
    }
    let message = plain(error);
    let (subject, candidates) = names(error, &message);
    let position = position_in(&message)
        .or_else(|| span_of(error))
        .or_else(|| subject.as_deref().and_then(|name| position_of_name(sql, name)));
    EngineError::Sql {
        message: without_position(&message),
        position,
        subject,
        candidates,
        planning: true,
    }
}

/// An error of rows that were met while running.
pub(crate) fn running_failure(error: &DataFusionError) -> EngineError {
    known_cause(error).unwrap_or_else(|| EngineError::Sql {
        message: plain(error),
        position: None,
        subject: None,
        candidates: Vec::new(),
        planning: false,
    })
}

/// A feed's text or an I/O error at the bottom of a chain of wrappers.
fn known_cause(error: &DataFusionError) -> Option<EngineError> {
    if let DataFusionError::ResourcesExhausted(text) = error.find_root() {
        // The first sentence says who asked; a list of all that hold memory follows it.
        tracing::info!(text, "out of memory");
        let message = text.lines().next().unwrap_or_default();
        let message = message.split(" with top memory consumers").next().unwrap_or(message);
        return Some(EngineError::Memory { message: lower_first(message) });
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(FeedFailure(text)) = current.downcast_ref() {
            return Some(EngineError::Feed(text.clone()));
        }
        if let Some(DataFusionError::External(inner)) = current.downcast_ref::<DataFusionError>()
            && let Some(FeedFailure(text)) = inner.downcast_ref()
        {
            return Some(EngineError::Feed(text.clone()));
        }
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            let source = std::io::Error::new(io.kind(), io.to_string());
            return Some(EngineError::Io {
                action: "spill",
                path: std::path::PathBuf::from("temporary files"),
                source,
            });
        }
        cause = current.source();
    }
    None
}

/// The first line, without wrappers that say nothing to an author of SQL.
fn plain(error: &DataFusionError) -> String {
    let text = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => schema.to_string(),
        root => root.strip_backtrace(),
    };
    let mut line = text.lines().next().unwrap_or_default();
    for prefix in [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Execution error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
        "Optimizer rule ",
    ] {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    let line = line
        .strip_prefix("ParserError(\"")
        .and_then(|line| line.strip_suffix("\")"))
        .unwrap_or(line)
        .replace("'datafusion.public.", "'")
        .replace("'datafusion.", "'");
    lower_first(&line)
}

/// House style: lower case, no full stop.
fn lower_first(line: &str) -> String {
    let mut chars = line.chars();
    match chars.next() {
        Some(first) => format!("{}{}", first.to_lowercase(), chars.as_str().trim_end_matches('.')),
        None => String::new(),
    }
}

/// The unknown name of an error and the names that exist.
fn names(error: &DataFusionError, message: &str) -> (Option<String>, Vec<String>) {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => (
                Some(field.name.clone()),
                valid_fields.iter().map(|column| column.name.clone()).collect(),
            ),
            SchemaError::AmbiguousReference { field } => (Some(field.name.clone()), Vec::new()),
            _ => (None, Vec::new()),
        },
        DataFusionError::SQL(parser, _) => match parser.as_ref() {
            ParserError::ParserError(_)
            | ParserError::TokenizerError(_)
            | ParserError::RecursionLimitExceeded => (None, Vec::new()),
        },
        _ => {
            let quoted = message
                .split('\'')
                .nth(1)
                .filter(|_| message.contains("not found") || message.contains("nvalid function"));
            (quoted.map(|name| name.rsplit('.').next().unwrap_or(name).to_owned()), Vec::new())
        }
    }
}

/// `at Line: 3, Column: 9` of the parser's messages.
fn position_in(message: &str) -> Option<(usize, usize)> {
    let (_, rest) = message.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.trim().parse().ok()?, column.parse().ok()?))
}

fn without_position(message: &str) -> String {
    match message.rfind(" at Line: ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

/// The place that the planner attached to its message.
fn span_of(error: &DataFusionError) -> Option<(usize, usize)> {
    let span = error.iter().find_map(|error| match error {
        DataFusionError::Diagnostic(diagnostic, _) => diagnostic.span,
        _ => None,
    })?;
    Some((usize::try_from(span.start.line).ok()?, usize::try_from(span.start.column).ok()?))
}

/// The first place where a name stands as a word.
fn position_of_name(sql: &str, name: &str) -> Option<(usize, usize)> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    for (index, line) in sql.lines().enumerate() {
        let code = line.split("--").next().unwrap_or_default();
        let lower = code.to_lowercase();
        let mut from = 0;
        while let Some(found) = lower[from..].find(&name.to_lowercase()) {
            let start = from + found;
            let end = start + name.len();
            let before = lower[..start].chars().next_back().is_some_and(is_word);
            let after = lower.get(end..).and_then(|rest| rest.chars().next()).is_some_and(is_word);
            if !before && !after {
                return Some((index + 1, lower[..start].chars().count() + 1));
            }
            from = end;
        }
    }
    None
}
