//! `clicktrail`: arguments → settings → one file per command.
//!
//! This crate knows arguments, output and exit codes; the work is in `clicktrail-pipeline`.
//! Data goes to stdout, everything else to stderr. Exit codes are listed in [`failure`].

mod args;
mod commands;
mod explain;
mod failure;
mod logging;
mod memory;
mod output;
mod session;
mod settings;
mod vars;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::Cli;
use crate::failure::{EXIT_INTERNAL, Outcome};
use crate::session::Session;

/// Events and rows are many small allocations on several threads: at 100,000 events a second offered on two cores,
/// this allocator acknowledged 87,000 to 100,000 of them where the system's acknowledged 78,000 (`bench/live.py`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    failure::install_panic_hook();
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if matches!(matches.subcommand_name(), Some("serve" | "up")) {
        memory::keep_freed();
    }
    let session = Session::new(&cli);
    failure::install_interrupt_handler(session.terminal.clone());
    let ended = catch_unwind(AssertUnwindSafe(|| match commands::run(&cli, &matches, &session) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::from(failure::EXIT_FAILED),
        Err(error) => failure::tell(&error, &session),
    }));
    match ended {
        Ok(code) if !failure::panicked() => code,
        // The hook has already told the story; a panic on another thread counts as well.
        _ => ExitCode::from(EXIT_INTERNAL),
    }
}
