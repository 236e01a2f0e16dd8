//! The log file `target/logs/clicktrail.log`, and the same lines on stderr with `-v`.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::Terminal;
use crate::settings::PROJECT_FILE;

/// Filter for the log file, e.g. `debug` or `info,datafusion=debug`.
const FILTER_VARIABLE: &str = "CLICKTRAIL_LOG";
/// A log file of this size is put aside, so that two of them bound the disk used: 10 MB.
const LOG_BYTES_MAX: u64 = 10_000_000;

/// Starts logging for a project. A folder that is no project gets no log, and a log that can't be
/// written is no reason to stop.
pub(crate) fn start(project_dir: &Path, terminal: &Terminal) {
    let file = project_dir.join(PROJECT_FILE).exists().then(|| open(project_dir)).flatten();
    let file_layer = file.map(|file| layer(Mutex::new(file), terminal.json_log, file_filter()));
    let stderr_layer = (terminal.verbose > 0).then(|| {
        let level = if terminal.verbose > 1 { LevelFilter::DEBUG } else { LevelFilter::INFO };
        let filter = Targets::new().with_target("clicktrail", level);
        layer(std::io::stderr, terminal.json_log, filter)
    });
    // Fails only when logging has already started.
    let _ = tracing_subscriber::registry().with(file_layer).with(stderr_layer).try_init();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), arguments = ?arguments(), "start");
}

/// The command line, but for ids of persons to erase.
fn arguments() -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(erase) = arguments.iter().position(|argument| argument == "erase") {
        arguments.truncate(erase + 1);
    }
    arguments
}

/// One destination of log lines.
fn layer<S, W>(writer: W, json: bool, filter: Targets) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> tracing_subscriber::fmt::MakeWriter<'writer> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    if json { layer.json().with_filter(filter).boxed() } else { layer.with_filter(filter).boxed() }
}

/// What the log file gets: our own lines, and warnings of libraries.
fn file_filter() -> Targets {
    std::env::var(FILTER_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        Targets::new().with_default(LevelFilter::WARN).with_target("clicktrail", LevelFilter::INFO)
    })
}

/// The log file, opened to append.
fn open(project_dir: &Path) -> Option<File> {
    let folder = project_dir.join("target/logs");
    fs::create_dir_all(&folder).ok()?;
    let path = folder.join("clicktrail.log");
    if fs::metadata(&path).is_ok_and(|file| file.len() > LOG_BYTES_MAX) {
        let _ = fs::rename(&path, folder.join("clicktrail.log.1"));
    }
    OpenOptions::new().create(true).append(true).open(path).ok()
}
