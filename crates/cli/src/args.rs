//! The command line: parsed without doing anything.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, Parser, ValueEnum};

use crate::commands::Command;

/// Marketing attribution on Google Analytics 4 data: a dbt project, an engine and its tables in
/// one binary.
#[derive(Debug, Parser)]
#[command(name = "clicktrail", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Start with `clicktrail init shop --demo`. \
    Each flag that names CLICKTRAIL_… can be set there too; the flag wins.")]
pub(crate) struct Cli {
    /// How to talk.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct OutputArgs {
    /// Tell only problems and the result
    #[arg(short, long, global = true, env = "CLICKTRAIL_QUIET", hide_env_values = true,
        value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Tell more: log lines go to stderr too; twice for debug
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Shape of messages on stderr and of the log file; json is one event per line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "CLICKTRAIL_LOG_FORMAT",
        hide_env_values = true,
        default_value = "text"
    )]
    pub(crate) log_format: TextOrJson,
    /// No colours (as NO_COLOR, or TERM=dumb; CLICOLOR_FORCE forces them)
    #[arg(long, global = true, alias = "no-use-colors")]
    pub(crate) no_color: bool,
}

/// Where the project is and how it is read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Project")]
pub(crate) struct ProjectArgs {
    /// Folder with dbt_project.yml; by default this folder or the nearest above it
    #[arg(long, value_name = "DIR", env = "CLICKTRAIL_PROJECT_DIR", hide_env_values = true)]
    pub(crate) project_dir: Option<PathBuf>,
    /// Folder with profiles.yml
    #[arg(long, value_name = "DIR", env = "CLICKTRAIL_PROFILES_DIR", hide_env_values = true)]
    pub(crate) profiles_dir: Option<PathBuf>,
    /// Profile, instead of the project's
    #[arg(long, value_name = "NAME", env = "CLICKTRAIL_PROFILE", hide_env_values = true)]
    pub(crate) profile: Option<String>,
    /// Target, instead of the profile's
    #[arg(short, long, value_name = "NAME", env = "CLICKTRAIL_TARGET", hide_env_values = true)]
    pub(crate) target: Option<String>,
    /// Project vars as YAML or JSON, e.g. '{ga4_export: "export/*.parquet"}'
    #[arg(long, value_name = "YAML", env = "CLICKTRAIL_VARS", hide_env_values = true)]
    pub(crate) vars: Option<String>,
    /// Threads, instead of the target's; 0 means all cores
    #[arg(long, value_name = "N", env = "CLICKTRAIL_THREADS", hide_env_values = true)]
    pub(crate) threads: Option<usize>,
    /// Memory the engine may hold before it spills to disk, e.g. 512M or 4G
    #[arg(long, value_name = "BYTES", env = "CLICKTRAIL_MEMORY", hide_env_values = true,
        value_parser = parse_bytes)]
    pub(crate) memory: Option<usize>,
}

/// Which nodes a command is about.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct SelectFlags {
    /// Nodes: +name, name+, @name, tag:…, path:…, source:…, state:modified+, result:error+, *;
    /// space is union, comma is intersection
    #[arg(short, long, value_name = "SELECTOR", num_args = 1.., alias = "models",
        short_alias = 'm')]
    pub(crate) select: Vec<String>,
    /// Nodes to leave out, in the same words
    #[arg(long, value_name = "SELECTOR", num_args = 1..)]
    pub(crate) exclude: Vec<String>,
    /// Name of a selector in selectors.yml
    #[arg(long, value_name = "NAME", conflicts_with_all = ["select", "exclude"])]
    pub(crate) selector: Option<String>,
    /// Folder with the manifest.json and run_results.json of an earlier run
    #[arg(long, value_name = "DIR", env = "CLICKTRAIL_STATE", hide_env_values = true)]
    pub(crate) state: Option<PathBuf>,
    /// Do nothing, successfully, when the selection is empty
    #[arg(long)]
    pub(crate) allow_empty: bool,
}

/// Text for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// `--output` of commands that report.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct ReportArgs {
    /// What goes to stdout; json is one document
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub(crate) output: TextOrJson,
}

impl ReportArgs {
    /// Whether stdout gets JSON.
    pub(crate) fn json(self) -> bool {
        self.output == TextOrJson::Json
    }
}

/// A number of bytes: `123`, `512M`, `4G`; the letters are powers of 1024.
///
/// # Errors
/// Text that is no such number, in words for the user.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let lower = text.trim().to_ascii_lowercase();
    let unit = lower.trim_end_matches("ib").trim_end_matches('b');
    let bytes = scaled(unit, [1 << 10, 1 << 20, 1 << 30])
        .ok_or_else(|| format!("`{text}` is no size; write e.g. 512M or 4G"))?;
    usize::try_from(bytes).map_err(|_| format!("`{text}` is more than this machine can address"))
}

/// A number of things: `120000`, `120k`, `20M`, `1G`; the letters are powers of 1000.
///
/// # Errors
/// Text that is no such number, in words for the user.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase().replace('_', "");
    scaled(&lower, [1_000, 1_000_000, 1_000_000_000])
        .ok_or_else(|| format!("`{text}` is no count; write e.g. 120000, 120k or 20M"))
}

/// Whole number with an optional `k`, `m` or `g`; a fraction only with a letter (`1.5m`).
fn scaled(text: &str, factors: [u64; 3]) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], factors[0]),
        (at, 'm') => (&text[..at], factors[1]),
        (at, 'g') => (&text[..at], factors[2]),
        _ => return text.parse().ok(),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let fraction = number.parse::<f64>().ok().filter(|value| (0.0..1e9).contains(value))?;
    Some((fraction * factor as f64).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!(parse_bytes("4G"), Ok(4 << 30));
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert_eq!(parse_count("20M"), Ok(20_000_000));
        assert_eq!(parse_count("1.5k"), Ok(1500));
        assert_eq!(parse_count("120_000"), Ok(120_000));
        for wrong in ["", "many", "-1", "1.5", "5X", "99999999999G"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
            assert!(parse_count(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn several_selectors_after_one_flag() {
        let cli = Cli::parse_from(["clicktrail", "build", "-s", "+a", "tag:b", "--exclude", "c"]);
        let Command::Build(build) = cli.command else { panic!("not a build") };
        assert_eq!(build.select.select, ["+a", "tag:b"]);
        assert_eq!(build.select.exclude, ["c"]);
    }
}
