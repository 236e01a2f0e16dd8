//! `debug`: is everything there that a build needs?

use std::io::Write;

use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;
use clicktrail_pipeline::{Check, Workspace};
use serde_json::{Value, json};

use crate::args::{ProjectArgs, ReportArgs};
use crate::failure::Outcome;
use crate::logging;
use crate::output::{Color, Terminal, stdout, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// Arguments whose origin is told, with the environment variable of each.
const ORIGINS: [(&str, &str, &str); 7] = [
    ("project_dir", "--project-dir", "CLICKTRAIL_PROJECT_DIR"),
    ("profiles_dir", "--profiles-dir", "CLICKTRAIL_PROFILES_DIR"),
    ("profile", "--profile", "CLICKTRAIL_PROFILE"),
    ("target", "--target", "CLICKTRAIL_TARGET"),
    ("vars", "--vars", "CLICKTRAIL_VARS"),
    ("threads", "--threads", "CLICKTRAIL_THREADS"),
    ("memory", "--memory", "CLICKTRAIL_MEMORY"),
];

/// Flags of `debug`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read every file of the warehouse's tables too, and compare it with its checksum
    #[arg(long)]
    files: bool,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// A setting that does not come from a file.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    name: &'static str,
    value: String,
    from: &'static str,
}

/// Checks, and prints one line per check to stdout.
///
/// # Errors
/// Arguments that make no sense; a bad project is a line of its own.
pub(crate) fn run(args: &Args, matches: &ArgMatches, session: &Session) -> Result<Outcome> {
    let settings = settings::settings(&args.project, false, session)?;
    logging::start(&settings.load.project_dir, &session.terminal);
    let origins = matches.subcommand().map(|(_, own)| origins(own)).unwrap_or_default();
    let checks = Workspace::debug(&settings, args.files);
    let failed = checks.iter().filter(|check| !check.ok).count();
    if args.report.json() {
        write_document(&document(&checks, &origins))?;
    } else {
        let mut out = stdout();
        out.write_all(text(&checks, &origins, &stdout_terminal(session)).as_bytes())?;
        out.flush()?;
    }
    Ok(Outcome::failed_if(failed > 0))
}

/// The lines go to stdout: coloured only when stdout is a terminal too.
fn stdout_terminal(session: &Session) -> Terminal {
    let color = session.terminal.color && crate::output::stdout_width().is_some();
    Terminal { color, ..session.terminal.clone() }
}

/// Settings that flags or environment decided.
fn origins(matches: &ArgMatches) -> Vec<Origin> {
    let origin = |(id, flag, variable): &(&'static str, &'static str, &'static str)| {
        let from = match matches.value_source(id)? {
            ValueSource::CommandLine => *flag,
            ValueSource::EnvVariable => *variable,
            _ => return None,
        };
        let raw = matches.get_raw(id)?.map(|text| text.to_string_lossy()).collect::<Vec<_>>();
        Some(Origin { name: id, value: raw.join(" "), from })
    };
    ORIGINS.iter().filter_map(origin).collect()
}

fn text(checks: &[Check], origins: &[Origin], terminal: &Terminal) -> String {
    let ours = ("clicktrail", env!("CARGO_PKG_VERSION"));
    let width = checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or(0);
    let width = width.max(ours.0.len());
    let mark = |ok: bool| match ok {
        true => terminal.paint(Color::Green, "✓"),
        false => terminal.paint(Color::Red, "✗"),
    };
    let mut text = format!("{} {:<width$}  {}\n", mark(true), ours.0, ours.1);
    for check in checks {
        text.push_str(&format!("{} {:<width$}  {}\n", mark(check.ok), check.subject, check.found));
        if let Some(fix) = check.fix.as_ref().filter(|_| !check.ok) {
            text.push_str(&format!("  {:<width$}  fix: {fix}\n", ""));
        }
    }
    for Origin { name, value, from } in origins {
        text.push_str(&format!("  {name} = {value}  (from {from})\n"));
    }
    let failed = checks.iter().filter(|check| !check.ok).count();
    let end = match failed {
        0 => terminal.paint(Color::Green, "All checks passed"),
        1 => terminal.paint(Color::Red, "1 check failed"),
        some => terminal.paint(Color::Red, &format!("{some} checks failed")),
    };
    text.push_str(&format!("{end}\n"));
    text
}

fn document(checks: &[Check], origins: &[Origin]) -> Value {
    let checks_json: Vec<Value> = checks
        .iter()
        .map(|check| {
            let Check { subject, ok, found, fix } = check;
            json!({ "subject": subject, "ok": ok, "found": found, "fix": fix })
        })
        .collect();
    let origins: Vec<Value> = origins
        .iter()
        .map(|one| json!({ "name": one.name, "value": one.value, "from": one.from }))
        .collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "version": env!("CARGO_PKG_VERSION"),
        "ok": checks.iter().all(|check| check.ok),
        "checks": checks_json,
        "settings": origins,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn a_check_that_fails_shows_its_fix() {
        let check = |subject: &str, ok, fix: Option<&str>| Check {
            subject: subject.into(),
            ok,
            found: "what was found".into(),
            fix: fix.map(str::to_owned),
        };
        let checks = [
            check("project", true, Some("not shown")),
            check("source ga4.events", false, Some("set the var `ga4_export`")),
        ];
        let origin = Origin { name: "target", value: "dev".into(), from: "CLICKTRAIL_TARGET" };
        insta::assert_snapshot!(text(&checks, &[origin], &Terminal::plain()));
    }

    #[test]
    fn flags_tell_where_they_come_from() {
        let matches =
            Cli::command().get_matches_from(["clicktrail", "debug", "-t", "dev", "--threads", "2"]);
        let origins = origins(matches.subcommand().unwrap().1);
        assert_eq!(origins[0], Origin { name: "target", value: "dev".into(), from: "--target" });
        assert_eq!(origins[1].from, "--threads");
        assert_eq!(origins.len(), 2);
    }
}
