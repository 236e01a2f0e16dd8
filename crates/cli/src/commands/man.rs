//! `man`: the manual page, or one page per command.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::Cli;
use crate::failure::Outcome;
use crate::output::stdout;

/// Flags of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write one page per command into this folder instead
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the page or pages.
///
/// # Errors
/// When they can't be written.
pub(crate) fn run(args: &Args) -> Result<Outcome> {
    let command = Cli::command();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .with_context(|| format!("cannot write {}", folder.display()))?;
        return Ok(Outcome::Done);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    let mut out = stdout();
    out.write_all(&page)?;
    out.flush()?;
    Ok(Outcome::Done)
}
