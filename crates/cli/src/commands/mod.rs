//! One file per command; a new one is a file, a variant and a line in [`run`].

mod clean;
mod compile;
mod completions;
mod debug;
mod dlq;
mod docs;
mod erase;
mod explain;
mod export;
mod fit;
mod generate;
#[cfg(feature = "bigquery")]
mod import;
mod init;
mod ls;
mod man;
mod publish;
mod query;
mod repair;
mod retry;
mod run;
mod serve;
mod show;
mod source;
mod status;
mod stream;
mod up;
mod version;
mod what_if;

use anyhow::Result;
use clap::{ArgMatches, Subcommand};
use clicktrail_pipeline::Verb;

use crate::args::{Cli, TextOrJson};
use crate::failure::Outcome;
use crate::output::RowFormat;
use crate::session::Session;

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a project, with generated data if wanted
    Init(init::Args),
    /// Check project, profile, warehouse and sources; one line each, with a fix
    Debug(debug::Args),
    /// Load seeds, run models, run tests, in the order of the graph
    Build(run::Args),
    /// Run models
    Run(run::Args),
    /// Run data tests and unit tests
    Test(run::Args),
    /// Load seeds
    Seed(run::Args),
    /// Do again what failed or was skipped in the last run
    Retry(retry::Args),
    /// Write the SQL of models and tests into target/compiled
    Compile(compile::Args),
    /// List nodes
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Show the first rows of a model, a test or inline SQL
    Show(show::Args),
    /// Run a read-only query over the tables of the project
    Query(query::Args),
    /// Fit Markov and Shapley attribution to the paths of the project, or of a file
    Fit(fit::Args),
    /// Show what other vars would move between channels; publishes nothing
    WhatIf(what_if::Args),
    /// Everything in one process: checks, data, tables, dashboard, collector; q quits
    #[command(alias = "dev")]
    Up(up::Args),
    /// Take events over HTTP, keep the marts up to date with them, and serve the dashboard
    ///
    /// Tables of a target in BigQuery are only shown: they are copied, and again where they changed. Events are not taken.
    Serve(serve::Args),
    /// Send events to a running server: new demo events, or files
    Stream(stream::Args),
    /// How far a running server is
    Status(status::Args),
    /// Events that were refused: list them, send them again
    Dlq(dlq::Args),
    /// Put damaged parts of the event log aside
    Repair(repair::Args),
    /// Erase a person from all tables and the event log, and prove it
    Erase(erase::Args),
    /// Look at sources
    Source(source::Args),
    /// Documentation of the project
    Docs(docs::Args),
    /// Delete the clean-targets of the project
    Clean(clean::Args),
    /// Write a generated GA4 export: realistic events from a seed
    Generate(generate::Args),
    /// Fetch an export that lies elsewhere
    #[cfg(feature = "bigquery")]
    Import(import::Args),
    /// Give tables to others: BigQuery, PostgreSQL, files; all of them replaced at once
    Publish(publish::Args),
    /// Print a page's table: overview, models, paths, conversions
    Export(export::Args),
    /// Explain why a conversion was credited as it was, or an error code
    Explain(explain::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
    /// Print the version
    Version,
}

impl Command {
    /// Whether stdout owes one JSON document, even when the command fails.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Self::Build(args) | Self::Run(args) | Self::Test(args) | Self::Seed(args) => {
                args.report.json()
            }
            Self::Debug(args) => args.report.json(),
            Self::Retry(args) => args.report.json(),
            Self::Compile(args) => args.report.json(),
            Self::Clean(args) => args.report.json(),
            Self::Generate(args) => args.report.json(),
            Self::Stream(args) => args.report.json(),
            Self::Status(args) => args.report.json(),
            Self::Source(args) => args.wants_json(),
            Self::Docs(args) => args.wants_json(),
            Self::Dlq(args) => args.wants_json(),
            Self::Show(args) => args.rows.output == Some(RowFormat::Json),
            Self::Fit(args) => args.rows.output == Some(RowFormat::Json),
            Self::WhatIf(args) => args.rows.output == Some(RowFormat::Json),
            Self::Erase(args) => args.report.json(),
            Self::Query(args) => args.rows.output == Some(RowFormat::Json),
            Self::Explain(args) => args.output == TextOrJson::Json,
            #[cfg(feature = "bigquery")]
            Self::Import(_) => false,
            Self::Init(_)
            | Self::Publish(_)
            | Self::Ls(_)
            | Self::Serve(_)
            | Self::Up(_)
            | Self::Export(_)
            | Self::Repair(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Version => false,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What stopped it.
pub(crate) fn run(cli: &Cli, matches: &ArgMatches, session: &Session) -> Result<Outcome> {
    match &cli.command {
        Command::Init(args) => init::run(args, session),
        Command::Debug(args) => debug::run(args, matches, session),
        Command::Build(args) => run::run(Verb::Build, args, session),
        Command::Run(args) => run::run(Verb::Run, args, session),
        Command::Test(args) => run::run(Verb::Test, args, session),
        Command::Seed(args) => run::run(Verb::Seed, args, session),
        Command::Retry(args) => retry::run(args, session),
        Command::Compile(args) => compile::run(args, session),
        Command::Ls(args) => ls::run(args, session),
        Command::Show(args) => show::run(args, session),
        Command::Query(args) => query::run(args, session),
        Command::Fit(args) => fit::run(args, session),
        Command::Up(args) => up::run(args.clone(), session),
        Command::Export(args) => export::run(args, session),
        Command::Serve(args) => serve::run(args, session),
        Command::Stream(args) => stream::run(args, session),
        Command::Status(args) => status::run(args, session),
        Command::Dlq(args) => dlq::run(args, session),
        Command::Repair(args) => repair::run(args, session),
        Command::WhatIf(args) => what_if::run(args, session),
        Command::Erase(args) => erase::run(args, session),
        Command::Source(args) => source::run(args, session),
        Command::Docs(args) => docs::run(args, session),
        Command::Clean(args) => clean::run(args, session),
        Command::Generate(args) => generate::run(args, session),
        #[cfg(feature = "bigquery")]
        Command::Import(args) => import::run(args, session),
        Command::Publish(args) => publish::run(args, session),
        Command::Explain(args) => explain::run(args, session),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Version => version::run(),
    }
}
