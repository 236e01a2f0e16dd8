//! A problem, drawn with the lines of the user's file it is about.

use std::borrow::Cow;
use std::fs;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use clicktrail_pipeline::Problem;

use super::Terminal;

/// Larger files are data, not text that someone wrote: 4 MB.
const SOURCE_BYTES_MAX: u64 = 4_000_000;
/// Longer lines are cut around the mark by the renderer; this is its width without a terminal.
const WIDTH_DEFAULT: usize = 140;
/// What a problem in SQL from the command line is said to be in.
const INLINE_NAME: &str = "<query>";

/// Where source lines are looked up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Source<'a> {
    /// Folder that relative files belong to.
    pub(crate) project_dir: Option<&'a Path>,
    /// SQL from the command line, for problems without a file.
    pub(crate) inline: Option<&'a str>,
}

/// Draws a problem: headline, source lines where they can be read, and what to do next.
pub(crate) fn draw(problem: &Problem, source: Source<'_>, terminal: &Terminal) -> String {
    let (headline, details) =
        problem.message.split_once('\n').unwrap_or((problem.message.as_str(), ""));
    let mut title = Level::ERROR.primary_title(headline);
    if !problem.code.is_empty() {
        title = title.id(problem.code.as_str());
    }
    let mut group = Group::with_title(title);
    if let Some(place) = place(problem, source) {
        group = match place.text {
            Some(window) => group.element(
                Snippet::source(window.text)
                    .line_start(window.first_line)
                    .fold(false)
                    .path(place.name)
                    .annotation(AnnotationKind::Primary.span(window.mark)),
            ),
            None => group.element(origin(place.name, problem)),
        };
    }
    if !details.is_empty() {
        group = group.element(Level::NOTE.no_name().message(details));
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    if let Some((path, line)) = &problem.compiled {
        let text = format!("{}:{line}", path.display());
        group = group.element(Level::NOTE.with_name("compiled").message(text));
    }
    if !problem.code.is_empty() {
        let text = format!("clicktrail explain {}", problem.code);
        group = group.element(Level::NOTE.with_name("more").message(text));
    }
    let renderer = if terminal.color { Renderer::styled() } else { Renderer::plain() };
    renderer
        .decor_style(DecorStyle::Unicode)
        .term_width(terminal.width.unwrap_or(WIDTH_DEFAULT))
        .render(&[group])
}

/// Where a problem is: a name, and the lines to show when they can be read.
struct Place {
    name: String,
    text: Option<Window>,
}

/// The line at fault and the one before it.
struct Window {
    text: String,
    first_line: usize,
    mark: Range<usize>,
}

impl Window {
    fn of(text: &str, line: usize, mark: Range<usize>) -> Self {
        let before = |at: usize| text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let own = before(mark.start);
        let start = if line > 1 { before(own - 1) } else { own };
        let end = text[mark.end..].find('\n').map_or(text.len(), |newline| mark.end + newline);
        Self {
            text: text[start..end].to_owned(),
            first_line: if line > 1 { line - 1 } else { line },
            mark: mark.start - start..mark.end - start,
        }
    }
}

fn place(problem: &Problem, source: Source<'_>) -> Option<Place> {
    let (name, text) = match (&problem.file, source.inline) {
        (Some(file), _) => {
            let path = source.project_dir.map_or_else(|| file.clone(), |dir| dir.join(file));
            (file.display().to_string(), read(&path).map(Cow::Owned))
        }
        (None, Some(inline)) if problem.line.is_some() => {
            (INLINE_NAME.to_owned(), Some(Cow::Borrowed(inline)))
        }
        _ => return None,
    };
    let text = text.and_then(|text| {
        let line = problem.line?;
        let mark = span(&text, line, problem.column, problem.length)?;
        Some(Window::of(&text, line, mark))
    });
    Some(Place { name, text })
}

fn origin(name: String, problem: &Problem) -> Origin<'static> {
    let mut origin = Origin::path(name);
    if let Some(line) = problem.line {
        origin = origin.line(line);
        if let Some(column) = problem.column {
            origin = origin.char_column(column);
        }
    }
    origin
}

/// Text of a file that a person could have written.
fn read(path: &Path) -> Option<String> {
    let small = fs::metadata(path).ok()?.len() <= SOURCE_BYTES_MAX;
    small.then(|| fs::read_to_string(path).ok()).flatten()
}

/// The bytes to mark. Without a length, the word at the column; without a column, the whole line.
fn span(text: &str, line: usize, column: Option<usize>, length: usize) -> Option<Range<usize>> {
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let content = text.get(start..)?.split('\n').next()?.trim_end_matches('\r');
    if start >= text.len() && !text.is_empty() {
        return None;
    }
    let at = |characters: usize| {
        content.char_indices().nth(characters).map_or(content.len(), |(at, _)| at)
    };
    let Some(column) = column.and_then(|column| column.checked_sub(1)) else {
        let indent = content.len() - content.trim_start().len();
        return Some(start + indent..start + content.trim_end().len().max(indent));
    };
    let from = at(column);
    let to = match length {
        0 => from + word(&content[from..]),
        some => at(column.saturating_add(some)),
    };
    Some(start + from..start + to)
}

/// Bytes of the word that the text begins with; at least one character where there is one.
fn word(text: &str) -> usize {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    end.max(text.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn problem() -> Problem {
        Problem {
            code: "E3001".into(),
            message: "column `utm_sorce` does not exist".into(),
            hint: Some("did you mean `utm_source`?".into()),
            file: Some(PathBuf::from("models/stg_sessions.sql")),
            line: Some(3),
            column: Some(5),
            length: 9,
            compiled: Some((PathBuf::from("target/compiled/stg_sessions.sql"), 31)),
        }
    }

    #[test]
    fn a_problem_in_a_model() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("models")).unwrap();
        let sql = "select\n    user_pseudo_id,\n    utm_sorce,\n    ts\nfrom events\n";
        fs::write(dir.path().join("models/stg_sessions.sql"), sql).unwrap();
        let source = Source { project_dir: Some(dir.path()), inline: None };
        insta::assert_snapshot!(draw(&problem(), source, &Terminal::plain()));
    }

    #[test]
    fn a_problem_whose_file_is_gone_still_names_it() {
        insta::assert_snapshot!(draw(&problem(), Source::default(), &Terminal::plain()));
    }

    #[test]
    fn a_problem_in_a_query() {
        let (line, column) = (Some(1), Some(8));
        let problem = Problem { file: None, compiled: None, line, column, length: 0, ..problem() };
        let source = Source { project_dir: None, inline: Some("select utm_sorce from x") };
        insta::assert_snapshot!(draw(&problem, source, &Terminal::plain()));
    }

    #[test]
    fn a_message_of_several_lines() {
        let message = "unit test `t` of `m` gave other rows\n  - {a: 1}\n  + {a: 2}".to_owned();
        let problem = Problem { message, compiled: None, ..problem() };
        insta::assert_snapshot!(draw(&problem, Source::default(), &Terminal::plain()));
    }

    #[test]
    fn marks() {
        let text = "a\n  bc_d, e\r\nö x\n";
        assert_eq!(&text[span(text, 2, Some(3), 0).unwrap()], "bc_d");
        assert_eq!(&text[span(text, 2, None, 0).unwrap()], "bc_d, e");
        assert_eq!(&text[span(text, 3, Some(3), 1).unwrap()], "x");
        assert_eq!(&text[span(text, 2, Some(99), 5).unwrap()], "");
        assert_eq!(span(text, 0, None, 0), None);
        assert_eq!(span(text, 9, None, 0), None);
    }
}
