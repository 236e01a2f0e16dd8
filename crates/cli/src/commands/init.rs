//! `init`: writes the embedded project, ready for the next command.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clicktrail_ingest::generate::GenerateSettings;

use super::generate;
use crate::failure::{Outcome, Usage};
use crate::output::stdout;
use crate::session::Session;
use crate::settings::PROJECT_FILE;

/// Path in the project and content of each file of `demo/`, listed by the build script.
const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/demo_files.rs"));

/// Where `--demo` puts its data, relative to the project.
const DEMO_DATA: &str = "data/ga4";
/// The var that says where the export is.
const EXPORT_VAR: &str = "ga4_export";
/// Its value without `--demo`.
const EXPORT_PLACEHOLDER: &str = "path/to/your/export/events_*.parquet";

/// Flags of `init`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the new project, empty or not there yet
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Generate data to play with
    #[arg(long)]
    demo: bool,
    /// Go on with `clicktrail build` in the new project
    #[arg(long, requires = "demo")]
    build: bool,
}

/// Writes the project; the next command goes to stdout.
///
/// # Errors
/// A folder that is not empty, or can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    refuse_used(&args.dir)?;
    if args.demo {
        generate::write(&generate::demo_settings()?, &args.dir.join(DEMO_DATA), session)?;
    }
    files(&args.dir, args.demo)?;
    if args.build {
        return build(&args.dir);
    }
    let mut out = stdout();
    writeln!(out, "{}", next(&args.dir, args.demo))?;
    out.flush()?;
    Ok(Outcome::Done)
}

/// A demo project with this data.
///
/// # Errors
/// As [`run`].
pub(super) fn demo(dir: &Path, data: &GenerateSettings, session: &Session) -> Result<()> {
    refuse_used(dir)?;
    generate::write(data, &dir.join(DEMO_DATA), session)?;
    files(dir, true)
}

/// The project's files; `dbt_project.yml` last, as it says that the rest is there.
fn files(dir: &Path, demo: bool) -> Result<()> {
    let (project, others): (Vec<_>, Vec<_>) =
        FILES.iter().partition(|(name, _)| *name == PROJECT_FILE);
    for (name, content) in others {
        write(&dir.join(name), content)?;
    }
    for (name, content) in project {
        let text = project_file(&String::from_utf8_lossy(content), demo);
        write(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// Builds the new project as a user would: by a command of its own, with its own settings and log.
fn build(dir: &Path) -> Result<Outcome> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let status = std::process::Command::new(program)
        .args(["build", "--project-dir"])
        .arg(dir)
        .status()
        .context("cannot start the build")?;
    Ok(Outcome::failed_if(!status.success()))
}

/// A folder with anything but version control in it belongs to someone.
fn refuse_used(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(format!("cannot read {}", dir.display())),
    };
    let used = entries.flatten().any(|entry| entry.file_name() != ".git");
    if !used {
        return Ok(());
    }
    let hint = "choose a new folder: clicktrail init my_project";
    Err(Usage::new(format!("`{}` is not empty", dir.display())).hint(hint).into())
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `dbt_project.yml` with the var [`EXPORT_VAR`] set for the data that is there, or is to come.
fn project_file(text: &str, demo: bool) -> String {
    let mut written = String::with_capacity(text.len() + 128);
    for line in text.split_inclusive('\n') {
        let indent = &line[..line.len() - line.trim_start().len()];
        if !line.trim_start().starts_with(&format!("{EXPORT_VAR}:")) {
            written.push_str(line);
        } else if demo {
            written.push_str(&format!("{indent}{EXPORT_VAR}: {DEMO_DATA}/events_*.parquet\n"));
        } else {
            written.push_str(&format!(
                "{indent}# Set this to your own export, then run `clicktrail debug`.\n\
                 {indent}{EXPORT_VAR}: {EXPORT_PLACEHOLDER}\n"
            ));
        }
    }
    written
}

/// The next command: with data it is the build, without it `debug` says what is missing.
fn next(dir: &Path, demo: bool) -> String {
    let command = if demo { "clicktrail build" } else { "clicktrail debug" };
    let dir = dir.display().to_string();
    match dir.as_str() {
        "." | "./" | "" => command.to_owned(),
        plain if plain.chars().all(|c| c.is_alphanumeric() || "/._-~".contains(c)) => {
            format!("cd {plain} && {command}")
        }
        odd => format!("cd '{}' && {command}", odd.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> String {
        let (_, content) = FILES.iter().find(|(name, _)| *name == PROJECT_FILE).unwrap();
        String::from_utf8(content.to_vec()).unwrap()
    }

    #[test]
    fn the_export_var_is_set_once() {
        for (demo, value) in [(true, "data/ga4/events_*.parquet"), (false, EXPORT_PLACEHOLDER)] {
            let text = project_file(&embedded(), demo);
            assert_eq!(text.matches("\n  ga4_export: ").count(), 1, "{text}");
            assert!(text.contains(&format!("\n  ga4_export: {value}\n")), "{text}");
        }
    }

    #[test]
    fn nothing_generated_is_embedded() {
        assert!(FILES.iter().any(|(name, _)| *name == "models/sources.yml"));
        for (name, _) in FILES {
            let first = name.split('/').next().unwrap();
            assert!(!["target", "warehouse", "data"].contains(&first), "{name}");
        }
    }

    #[test]
    fn the_next_command() {
        assert_eq!(next(Path::new("."), true), "clicktrail build");
        assert_eq!(next(Path::new("shop"), false), "cd shop && clicktrail debug");
        assert_eq!(next(Path::new("my shop"), true), "cd 'my shop' && clicktrail build");
    }
}
