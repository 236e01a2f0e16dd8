//! Errors of the engine and the readers, placed in the files of the project.

use std::path::PathBuf;

use clicktrail_engine::EngineError;
use clicktrail_project::Compiled;

use crate::error::PipelineError;
use crate::report::Problem;

/// How alike two names must be before one is suggested for the other.
const SIMILARITY_MIN: f64 = 0.75;

/// A failed node as a problem; SQL positions are led back to the model's own lines.
pub(crate) fn of_node(
    error: &PipelineError,
    source: &std::path::Path,
    compiled: Option<(&Compiled, PathBuf)>,
) -> Problem {
    let mut problem = error.problem();
    let PipelineError::Engine(engine) = error else { return problem };
    match engine {
        EngineError::Feed(text) => return of_feed(text),
        EngineError::Sql { position, subject, candidates, .. } => {
            problem.file = Some(source.to_path_buf());
            if let Some(name) = subject {
                problem.length = name.chars().count();
                problem.hint =
                    nearest(name, candidates).map(|name| format!("did you mean `{name}`?"));
            }
            if let (Some((line, column)), Some((compiled, path))) = (position, compiled) {
                place(&mut problem, compiled, *line, *column);
                problem.compiled = Some((path, *line));
            }
        }
        _ => {}
    }
    problem
}

/// A failed query as a located error; line and column are those of its own text.
pub(crate) fn of_query(error: EngineError) -> PipelineError {
    let error = PipelineError::from(error);
    let mut problem = error.problem();
    match &error {
        PipelineError::Engine(EngineError::Sql { position, subject, candidates, .. }) => {
            if let Some(name) = subject {
                problem.length = name.chars().count();
                problem.hint =
                    nearest(name, candidates).map(|name| format!("did you mean `{name}`?"));
            }
            (problem.line, problem.column) = position.unzip();
        }
        PipelineError::Engine(EngineError::Feed(text)) => problem = of_feed(text),
        _ => return error,
    }
    PipelineError::Located(Box::new(problem))
}

fn place(problem: &mut Problem, compiled: &Compiled, line: usize, column: usize) {
    // Lines that a macro made belong to the last line before them that the author wrote.
    let origin = (1..=line).rev().find_map(|line| compiled.lines.origin(line).map(|at| (at, line)));
    if let Some(((file, source_line), compiled_line)) = origin {
        problem.file = Some(file.to_path_buf());
        problem.line = Some(source_line);
        problem.column = (compiled_line == line).then_some(column);
    }
}

/// Takes a feed's text apart: `[E2003] what\nhint: what to do`.
fn of_feed(text: &str) -> Problem {
    let (text, hint) = match text.split_once("\nhint: ") {
        Some((text, hint)) => (text, Some(hint.to_owned())),
        None => (text, None),
    };
    let (code, message) = match text.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((code, message)) => (code.to_owned(), message.to_owned()),
        None => ("E3003".to_owned(), text.to_owned()),
    };
    Problem::new(code, message, hint)
}

/// The most alike of some names.
pub(crate) fn nearest<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a String>,
) -> Option<&'a String> {
    names
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}
