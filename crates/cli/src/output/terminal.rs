//! The terminal: stderr for messages, stdout for data.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde_json::Value;

use crate::args::{OutputArgs, TextOrJson};

/// How to talk; decided once, from flags and environment.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    /// Whether stderr is coloured.
    pub(crate) color: bool,
    /// Whether progress bars are drawn.
    pub(crate) bars: bool,
    /// `--quiet`.
    pub(crate) quiet: bool,
    /// How often `--verbose` was given.
    pub(crate) verbose: u8,
    /// `--log-format json`.
    pub(crate) json_log: bool,
    /// Columns of the terminal at stderr, when it is one.
    pub(crate) width: Option<usize>,
}

/// What of the environment decides about colours.
#[derive(Debug, Clone, Default)]
struct ColorHints {
    no_color: Option<String>,
    force: Option<String>,
    term: Option<String>,
}

impl ColorHints {
    fn read() -> Self {
        let get = |name| std::env::var(name).ok();
        Self { no_color: get("NO_COLOR"), force: get("CLICOLOR_FORCE"), term: get("TERM") }
    }

    fn dumb(&self) -> bool {
        self.term.as_deref() == Some("dumb")
    }

    /// NO_COLOR (no-color.org: any text but the empty one) before CLICOLOR_FORCE before TERM.
    fn wanted(&self, flag_off: bool, terminal: bool) -> bool {
        let set = |value: &Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
        if flag_off || set(&self.no_color) {
            return false;
        }
        if set(&self.force) && self.force.as_deref() != Some("0") {
            return true;
        }
        terminal && !self.dumb()
    }
}

impl Terminal {
    /// Looks at flags, environment and stderr.
    pub(crate) fn new(args: &OutputArgs) -> Self {
        let hints = ColorHints::read();
        let terminal = io::stderr().is_terminal();
        let json_log = args.log_format == TextOrJson::Json;
        Self {
            color: !json_log && hints.wanted(args.no_color, terminal),
            bars: terminal && !hints.dumb() && !args.quiet && args.verbose == 0 && !json_log,
            quiet: args.quiet,
            verbose: args.verbose,
            json_log,
            width: terminal.then(|| width(terminal_size::terminal_size_of(io::stderr()))),
        }
    }

    /// Without colours, bars and terminal: what a pipe gets.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { color: false, bars: false, quiet: false, verbose: 0, json_log: false, width: None }
    }

    /// Writes a line to stderr; a closed stderr is not our business.
    pub(crate) fn line(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Removes what a progress bar left on the current line.
    pub(crate) fn clear_line(&self) {
        if self.bars {
            let _ = write!(io::stderr().lock(), "\r\x1b[J");
        }
    }

    /// Text in a colour, where colours are wanted.
    pub(crate) fn paint(&self, color: Color, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        format!("\x1b[{}m{text}\x1b[0m", color as u8)
    }
}

/// The few colours we use; the numbers are those of SGR.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Color {
    /// What can be skipped.
    Dim = 2,
    /// Bad.
    Red = 31,
    /// Good.
    Green = 32,
    /// Look at it.
    Yellow = 33,
}

/// Columns, or 100 when the terminal does not say.
fn width(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    size.map_or(100, |(width, _)| usize::from(width.0))
}

/// Columns of the terminal at stdout; `None` when it is a pipe or a file.
pub(crate) fn stdout_width() -> Option<usize> {
    io::stdout().is_terminal().then(|| width(terminal_size::terminal_size_of(io::stdout())))
}

/// Stdout, buffered. When the reader has gone (`| head`), the rest is dropped without an error.
pub(crate) fn stdout() -> BufWriter<Pipe> {
    BufWriter::new(Pipe { closed: false })
}

/// Stdout that bears a reader who leaves.
#[derive(Debug)]
pub(crate) struct Pipe {
    closed: bool,
}

impl Pipe {
    fn bear<T>(&mut self, result: io::Result<T>, otherwise: T) -> io::Result<T> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(otherwise)
            }
            other => other,
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Ok(bytes.len());
        }
        self.bear(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        self.bear(io::stdout().flush(), ())
    }
}

/// Writes one JSON document to stdout.
///
/// # Errors
/// When stdout can't be written.
pub(crate) fn write_document(document: &Value) -> io::Result<()> {
    let mut out = stdout();
    writeln!(out, "{document:#}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(no_color: &str, force: &str, term: &str) -> ColorHints {
        let some = |text: &str| (text != "unset").then(|| text.to_owned());
        ColorHints { no_color: some(no_color), force: some(force), term: some(term) }
    }

    #[test]
    fn colours_by_flag_then_environment_then_terminal() {
        let xterm = hints("unset", "unset", "xterm");
        assert!(xterm.wanted(false, true));
        assert!(!xterm.wanted(false, false));
        assert!(!xterm.wanted(true, true));
        assert!(!hints("1", "1", "xterm").wanted(false, true));
        assert!(hints("", "1", "dumb").wanted(false, false));
        assert!(!hints("unset", "0", "xterm").wanted(false, false));
        assert!(!hints("unset", "unset", "dumb").wanted(false, true));
    }
}
