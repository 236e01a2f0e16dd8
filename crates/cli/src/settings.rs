//! Arguments → settings: each value is looked up once, flag before environment before file.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clicktrail_pipeline::{Clock, PipelineError, Settings, Workspace, rfc3339};
use clicktrail_project::{LoadOptions, SelectArgs};

use crate::args::{ProjectArgs, SelectFlags};
use crate::logging;
use crate::session::Session;
use crate::vars;

/// The file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "dbt_project.yml";

/// Settings for the pipeline.
///
/// # Errors
/// `--vars` that is no mapping.
pub(crate) fn settings(
    args: &ProjectArgs,
    full_refresh: bool,
    session: &Session,
) -> Result<Settings> {
    let started = session.clock.now_micros();
    let project_dir = given(&args.project_dir).unwrap_or_else(nearest_project);
    // Absolute, so that paths in messages and table locations do not depend on where we stand.
    let project_dir = std::path::absolute(&project_dir).unwrap_or(project_dir);
    session.set_project_dir(&project_dir);
    let load = LoadOptions {
        project_dir,
        profiles_dir: given(&args.profiles_dir),
        profile: args.profile.clone().filter(|name| !name.is_empty()),
        target: args.target.clone().filter(|name| !name.is_empty()),
        threads: args.threads.map(threads),
        vars: vars::parse(args.vars.as_deref().unwrap_or_default())?,
        full_refresh,
        env: environment(),
        run_started_at: rfc3339(started),
        invocation_id: invocation_id(started, std::process::id()),
        ..LoadOptions::default()
    };
    Ok(Settings { load, memory_bytes: args.memory })
}

/// Reads the project, with the log file open; its warnings are told.
///
/// # Errors
/// The first fault of arguments or project.
pub(crate) fn open(args: &ProjectArgs, full_refresh: bool, session: &Session) -> Result<Workspace> {
    let settings = settings(args, full_refresh, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    open_quietly(settings, session)
}

/// Reads the project with the target that takes published tables; its warnings have been told.
///
/// # Errors
/// The first fault of arguments or project.
pub(crate) fn open_for_publish(args: &ProjectArgs, session: &Session) -> Result<Workspace> {
    let settings = settings(args, false, session)?;
    let clock = Arc::clone(&session.clock) as Arc<dyn Clock>;
    Ok(Workspace::open_for_publish(settings, clock)?)
}

/// Reads the project without a log file.
///
/// # Errors
/// The first fault of the project.
pub(crate) fn open_quietly(settings: Settings, session: &Session) -> Result<Workspace> {
    let workspace = Workspace::open(settings, Arc::clone(&session.clock) as Arc<dyn Clock>)?;
    for warning in &workspace.project().warnings {
        let mut text = format!("warning[{}]: {warning}", warning.code());
        if let Some(hint) = warning.hint() {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        session.note(&text);
    }
    Ok(workspace)
}

/// With `--warn-error`, the first warning of the project is an error.
///
/// # Errors
/// That warning.
pub(crate) fn refuse_warnings(workspace: &Workspace) -> Result<()> {
    let Some(warning) = workspace.project().warnings.first() else { return Ok(()) };
    let mut hint = warning.hint().unwrap_or_default();
    if !hint.is_empty() {
        hint.push_str("; ");
    }
    hint.push_str("a warning stops the run because of --warn-error");
    let problem = clicktrail_pipeline::Problem {
        code: warning.code().to_owned(),
        message: warning.message(),
        hint: Some(hint),
        file: warning.file().map(PathBuf::from),
        line: warning.line(),
        column: warning.column(),
        length: 0,
        compiled: None,
    };
    Err(PipelineError::Located(Box::new(problem)).into())
}

/// The selection flags in the words of the project crate.
pub(crate) fn selection(flags: &SelectFlags) -> SelectArgs {
    SelectArgs {
        select: flags.select.clone(),
        exclude: flags.exclude.clone(),
        selector: flags.selector.clone(),
        state: given(&flags.state),
        allow_empty: flags.allow_empty,
    }
}

/// Threads to use: 0 means all cores.
pub(crate) fn threads(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        some => some,
    }
}

/// A path that is given and not empty, as an empty environment variable is.
fn given(path: &Option<PathBuf>) -> Option<PathBuf> {
    path.clone().filter(|path| !path.as_os_str().is_empty())
}

/// This folder, or the nearest above it that is a project; this folder when none is.
fn nearest_project() -> PathBuf {
    let here = PathBuf::from(".");
    if here.join(PROJECT_FILE).exists() {
        return here;
    }
    let Ok(absolute) = std::env::current_dir() else { return here };
    let above = absolute.ancestors().find(|dir| dir.join(PROJECT_FILE).exists());
    above.map(Path::to_owned).unwrap_or(here)
}

/// The environment; what is no UTF-8 is of no use to Jinja and left out.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// An id for this run in the shape of a UUID; unique enough from time and process id.
fn invocation_id(micros: i64, process: u32) -> String {
    let part = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, micros, process).hash(&mut hasher);
        hasher.finish()
    };
    let (high, low) = (part(0), part(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48) & 0x3fff,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_id_looks_like_a_uuid() {
        let id = invocation_id(1_758_549_727_312_004, 42);
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_ne!(id, invocation_id(1_758_549_727_312_004, 43));
    }
}
