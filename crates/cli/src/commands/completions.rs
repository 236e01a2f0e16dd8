//! `completions SHELL`.

use std::io::Write;

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Outcome;
use crate::output::stdout;

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "bash: clicktrail completions bash > \
    ~/.local/share/bash-completion/completions/clicktrail")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When stdout can't be written.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "clicktrail", &mut script);
    let mut out = stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(Outcome::Done)
}
