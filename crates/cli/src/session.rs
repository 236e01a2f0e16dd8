//! What all commands share while the process lives: terminal, clock, place of the project.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clicktrail_pipeline::{Clock, SystemClock, rfc3339};
use serde_json::{Value, json};

use crate::args::Cli;
use crate::output::Terminal;

/// Version of the JSON documents and events; it grows when a field changes its meaning.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// Passed to every command.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where messages go.
    pub(crate) terminal: Terminal,
    /// The one clock.
    pub(crate) clock: Arc<SystemClock>,
    /// Whether stdout owes one JSON document.
    pub(crate) json: bool,
    project_dir: OnceLock<PathBuf>,
    inline: OnceLock<String>,
}

impl Session {
    /// Looks at flags and environment; touches nothing.
    pub(crate) fn new(cli: &Cli) -> Self {
        Self {
            terminal: Terminal::new(&cli.output),
            clock: Arc::new(SystemClock::default()),
            json: cli.command.wants_json(),
            project_dir: OnceLock::new(),
            inline: OnceLock::new(),
        }
    }

    /// Remembers the project folder, where source lines of problems are looked up.
    pub(crate) fn set_project_dir(&self, dir: &Path) {
        self.project_dir.get_or_init(|| dir.to_owned());
    }

    /// The project folder, once known.
    pub(crate) fn project_dir(&self) -> Option<&Path> {
        self.project_dir.get().map(PathBuf::as_path)
    }

    /// Remembers SQL from the command line, for problems without a file.
    pub(crate) fn set_inline(&self, sql: &str) {
        self.inline.get_or_init(|| sql.to_owned());
    }

    /// SQL from the command line.
    pub(crate) fn inline(&self) -> Option<&str> {
        self.inline.get().map(String::as_str)
    }

    /// A remark for people; an event `note` for programs.
    pub(crate) fn note(&self, text: &str) {
        tracing::info!("{text}");
        if self.terminal.json_log {
            self.event("note", json!({ "text": text }));
        } else if !self.terminal.quiet {
            self.terminal.line(text);
        }
    }

    /// One line of `--log-format json`.
    pub(crate) fn event(&self, name: &str, fields: Value) {
        self.terminal.line(&event_line(name, &rfc3339(self.clock.now_micros()), fields));
    }
}

/// An event as one line of JSON: version, time and name first.
pub(crate) fn event_line(name: &str, time: &str, fields: Value) -> String {
    let mut event = json!({ "schema_version": SCHEMA_VERSION, "time": time, "event": name });
    if let (Value::Object(event), Value::Object(fields)) = (&mut event, fields) {
        event.extend(fields);
    }
    event.to_string()
}
