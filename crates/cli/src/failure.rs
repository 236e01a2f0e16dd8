//! How a command ends badly, and the exit code that says so.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the user's project, data or machine did not allow it |
//! | 2 | wrong arguments, or a fault of Clicktrail |
//! | 130 | stopped by Ctrl-C |

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Error;
use clicktrail_pipeline::{Kind, PipelineError, Problem};
use clicktrail_server::ServerError;
use serde_json::json;

use crate::output::{Source, Terminal, draw, write_document};
use crate::session::{SCHEMA_VERSION, Session};

/// The user's project or data failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Wrong arguments, or our bug.
pub(crate) const EXIT_INTERNAL: u8 = 2;
/// Stopped by Ctrl-C, as shells count it: 128 + SIGINT.
#[cfg(unix)]
pub(crate) const EXIT_INTERRUPTED: i32 = 130;

/// Where to report a panic.
const REPORT: &str = "this is a bug in clicktrail: please report it with the lines above and \
    target/logs/clicktrail.log";

/// How a command ended when nothing stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1; the reasons have been told.
    Failed,
}

impl Outcome {
    /// Failed when `bad`.
    pub(crate) fn failed_if(bad: bool) -> Self {
        if bad { Self::Failed } else { Self::Done }
    }
}

/// Arguments that make no sense together, or name what can't be used: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage {
    message: String,
    hint: Option<String>,
}

impl Usage {
    /// Text in the house style: lower case, no full stop.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Usage {}

impl From<ServerError> for Usage {
    fn from(error: ServerError) -> Self {
        let usage = Self::new(format!("[{}] {error}", error.code()));
        match error.hint() {
            Some(hint) => usage.hint(hint),
            None => usage,
        }
    }
}

/// Tells an error that stopped the command; gives the exit code.
pub(crate) fn tell(error: &Error, session: &Session) -> ExitCode {
    let code = exit_code(error);
    let problem = problem(error);
    tracing::error!(code = problem.code, exit_code = code, "{}", problem.message);
    if session.terminal.json_log {
        session.event("error", json!({ "problem": problem, "exit_code": code }));
    } else {
        let source = Source { project_dir: session.project_dir(), inline: session.inline() };
        session.terminal.line(&draw(&problem, source, &session.terminal));
    }
    if session.json {
        let document =
            json!({ "schema_version": SCHEMA_VERSION, "exit_code": code, "error": problem });
        // Stdout may be the very thing that failed.
        let _ = write_document(&document);
    }
    ExitCode::from(code)
}

/// The exit code for an error.
fn exit_code(error: &Error) -> u8 {
    if error.downcast_ref::<Usage>().is_some() {
        return EXIT_INTERNAL;
    }
    match error.downcast_ref::<PipelineError>().map(PipelineError::kind) {
        Some(Kind::Project | Kind::Data | Kind::Unavailable) => EXIT_FAILED,
        Some(Kind::Internal) => EXIT_INTERNAL,
        None if error.root_cause().downcast_ref::<std::io::Error>().is_some() => EXIT_FAILED,
        None => EXIT_INTERNAL,
    }
}

/// The error as something that can be drawn; only errors of the crates below have a code.
fn problem(error: &Error) -> Problem {
    if let Some(error) = error.downcast_ref::<PipelineError>() {
        return error.problem();
    }
    let hint = error.downcast_ref::<Usage>().and_then(|usage| usage.hint.clone());
    Problem::new("", format!("{error:#}"), hint)
}

/// Set by the first panic of any thread.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Whether any thread has panicked.
pub(crate) fn panicked() -> bool {
    PANICKED.load(Ordering::SeqCst)
}

/// Turns the report of a panic into two lines; the exit code is set in `main`.
pub(crate) fn install_panic_hook() {
    let verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let first = !PANICKED.swap(true, Ordering::SeqCst);
        tracing::error!("{info}");
        if verbose {
            default(info);
        }
        if !first {
            return;
        }
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload_as_str().unwrap_or("no message");
        let mut stderr = std::io::stderr().lock();
        // A closed stderr must not panic inside the hook.
        let _ = writeln!(stderr, "internal error: {payload} ({place})\n  {REPORT}");
    }));
}

/// Set while a command ends in order by itself on Ctrl-C.
pub(crate) static INTERRUPT_IS_HANDLED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C end the process with 130. Tables are committed whole, so nothing is half written.
#[cfg(unix)]
pub(crate) fn install_interrupt_handler(terminal: Terminal) {
    let mut signals = match signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT]) {
        Ok(signals) => signals,
        Err(error) => return tracing::debug!("no Ctrl-C handler: {error}"),
    };
    let wait = move || {
        for _ in signals.forever() {
            if INTERRUPT_IS_HANDLED.load(Ordering::SeqCst) {
                continue;
            }
            terminal.clear_line();
            terminal.line("interrupted; what was finished is kept, tables are never half written");
            std::process::exit(EXIT_INTERRUPTED);
        }
    };
    let named = std::thread::Builder::new().name("ctrl-c".into());
    if let Err(error) = named.spawn(wait) {
        tracing::debug!("no Ctrl-C handler: {error}");
    }
}

/// Elsewhere the system's own way of ending a process stays.
#[cfg(not(unix))]
pub(crate) fn install_interrupt_handler(_terminal: Terminal) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn each_kind_has_its_exit_code() {
        let adapter = PipelineError::Adapter { target: "prod".into(), adapter: "bigquery".into() };
        assert_eq!(exit_code(&adapter.into()), 1);
        assert_eq!(exit_code(&PipelineError::Locked { path: PathBuf::from("lock") }.into()), 1);
        assert_eq!(exit_code(&Usage::new("no").into()), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("what?")), 2);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(exit_code(&Error::from(full).context("cannot write a.csv")), 1);
    }
}
