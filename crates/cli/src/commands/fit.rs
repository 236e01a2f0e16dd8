//! `fit`: Markov and Shapley attribution from counts of paths.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use clicktrail_pipeline::fits::heuristics::{HALF_LIFE_STEPS_DEFAULT, Heuristic, POSITION_DEFAULT};
use clicktrail_pipeline::fits::shapley::{PERMUTATIONS_DEFAULT, Worth};
use clicktrail_pipeline::fits::{
    FitSettings, FittedModel, LOW_VOLUME_DEFAULT, ORDER_DEFAULT, REPLICATES_DEFAULT, SEED_DEFAULT,
};
use clicktrail_pipeline::{
    FitReport, FitRequest, MIN_CONVERSIONS_DEFAULT, PathsFile, RunRequest, Silent, Verb, fit_file,
};
use clicktrail_project::SelectArgs;

use super::query::RowArgs;
use super::run::with_reporter;
use crate::args::ProjectArgs;
use crate::failure::{Outcome, Usage};
use crate::output::count;
use crate::session::Session;
use crate::settings;

/// The seed that keeps the fits, and what reads it.
const READERS: &str = "fit_channel_weights+";

/// An attribution model to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// Removal effects of a Markov chain
    Markov,
    /// Shapley values
    Shapley,
    /// All to the first touch (with --paths)
    First,
    /// All to the last touch (with --paths)
    Last,
    /// Equal parts (with --paths)
    Linear,
    /// 40 % first, 40 % last, 20 % between (with --paths)
    Position,
    /// Half as much for each step before the last touch (with --paths)
    TimeDecay,
}

/// What a coalition of channels is worth to Shapley.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorthArg {
    /// Conversions of journeys that need no other channel
    Journeys,
    /// Conversions that the Markov chain keeps without all other channels
    Chain,
}

/// Flags of `fit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attribution models
    #[arg(
        short,
        long,
        value_name = "MODEL",
        value_delimiter = ',',
        default_value = "markov,shapley"
    )]
    models: Vec<Model>,
    /// Touches that the Markov chain remembers: 1, 2 or 3
    #[arg(long, value_name = "N", default_value_t = ORDER_DEFAULT as u64,
        value_parser = clap::value_parser!(u64).range(1..=3))]
    order: u64,
    /// What a coalition of channels is worth to Shapley
    #[arg(long, value_name = "WORTH", default_value = "journeys")]
    worth: WorthArg,
    /// Take repeats of a channel that follow each other as one touch
    #[arg(long)]
    compact: bool,
    /// Resampled fits behind the intervals; 0: no intervals
    #[arg(long, value_name = "N", default_value_t = REPLICATES_DEFAULT)]
    replicates: usize,
    /// Permutations where Shapley values are sampled
    #[arg(long, value_name = "N", default_value_t = PERMUTATIONS_DEFAULT)]
    permutations: usize,
    /// Seed of resampling and permutations
    #[arg(long, value_name = "N", default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// Paths of the project, and the fit that is stored.
    #[command(flatten)]
    stored: StoredArgs,
    /// A file of paths.
    #[command(flatten)]
    file: FileArgs,
    /// Where the rows go.
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Which project.
    #[command(flatten)]
    project: ProjectArgs,
}

/// Fits of the project's own paths.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fit of the project")]
struct StoredArgs {
    /// Key events; by default all that have paths
    #[arg(long, value_name = "NAME")]
    event: Vec<String>,
    /// Currency of the values shown; by default the only one there is
    #[arg(long, value_name = "CURRENCY")]
    currency: Option<String>,
    /// Leave out key events with fewer conversions
    #[arg(long, value_name = "N", default_value_t = MIN_CONVERSIONS_DEFAULT)]
    min_conversions: u64,
    /// Show the fit and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Build the models that read the fit afterwards
    #[arg(long, conflicts_with = "dry_run")]
    build: bool,
}

/// Paths from elsewhere.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Paths of a file")]
struct FileArgs {
    /// CSV or Parquet file with the columns path, converted, lost, value; nothing is stored
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event", "currency", "dry_run", "build"])]
    paths: Option<PathBuf>,
    /// What parts the channels of a path
    #[arg(long, value_name = "CHAR", default_value_t = '>')]
    separator: char,
}

/// Fits, and writes the rows.
///
/// # Errors
/// Paths that are not there or can't be fitted; rows that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    args.rows.check()?;
    match &args.file.paths {
        Some(path) => of_file(args, path, session),
        None => of_project(args, session),
    }
}

impl Args {
    fn settings(&self) -> FitSettings {
        FitSettings {
            order: self.order as usize,
            worth: match self.worth {
                WorthArg::Journeys => Worth::Journeys,
                WorthArg::Chain => Worth::Chain,
            },
            permutations: self.permutations,
            replicates: self.replicates,
            seed: self.seed,
            low_volume: LOW_VOLUME_DEFAULT,
        }
    }

    fn fitted(&self) -> Vec<FittedModel> {
        let fitted = |model: &Model| match model {
            Model::Markov => Some(FittedModel::Markov),
            Model::Shapley => Some(FittedModel::Shapley),
            _ => None,
        };
        self.models.iter().filter_map(fitted).collect()
    }

    fn heuristics(&self) -> Vec<Heuristic> {
        let heuristic = |model: &Model| match model {
            Model::First => Some(Heuristic::First),
            Model::Last => Some(Heuristic::Last),
            Model::Linear => Some(Heuristic::Linear),
            Model::Position => Some(Heuristic::Position { weights: POSITION_DEFAULT }),
            Model::TimeDecay => {
                Some(Heuristic::TimeDecay { half_life_steps: HALF_LIFE_STEPS_DEFAULT })
            }
            Model::Markov | Model::Shapley => None,
        };
        self.models.iter().filter_map(heuristic).collect()
    }
}

fn of_file(args: &Args, path: &Path, session: &Session) -> Result<Outcome> {
    let (rows, told) = fit_file(&PathsFile {
        path: path.to_owned(),
        separator: args.file.separator,
        heuristics: args.heuristics(),
        fitted: args.fitted(),
        settings: args.settings(),
        compact: args.compact,
        threads: settings::threads(args.project.threads.unwrap_or(0)),
    })?;
    session.note(&told);
    args.rows.write(&rows, session)?;
    Ok(Outcome::Done)
}

fn of_project(args: &Args, session: &Session) -> Result<Outcome> {
    if !args.heuristics().is_empty() {
        let hint = "SQL models compute these from the journeys: look at `fct_credits`";
        return Err(Usage::new("only markov and shapley are fitted to a project")
            .hint(hint)
            .into());
    }
    let workspace = settings::open(&args.project, false, session)?;
    let request = FitRequest {
        models: args.fitted(),
        settings: args.settings(),
        compact: args.compact,
        event_names: args.stored.event.clone(),
        currency: args.stored.currency.clone(),
        min_conversions: args.stored.min_conversions,
        dry_run: args.stored.dry_run,
    };
    let report = workspace.fit(&request, &Silent)?;
    tell(&report, args, session);
    args.rows.write(&report.rows, session)?;
    if !args.stored.build {
        return Ok(Outcome::Done);
    }
    // Opened anew: the seed is part of the project since a moment ago.
    let workspace = settings::open(&args.project, false, session)?;
    let request = RunRequest {
        select: SelectArgs { select: vec![READERS.to_owned()], ..SelectArgs::default() },
        ..RunRequest::new(Verb::Build)
    };
    let summary = with_reporter(session, |reporter| workspace.execute(&request, reporter))?;
    Ok(Outcome::failed_if(summary.failed()))
}

/// What was fitted, for people.
fn tell(report: &FitReport, args: &Args, session: &Session) {
    for event in &report.events {
        session.note(&format!(
            "{}: {} of {} converted, {} distinct paths",
            event.event_name,
            event.conversions,
            count(event.journeys, "journey", "journeys"),
            event.paths,
        ));
        let low = event.fits.iter().flat_map(|fit| &fit.channels);
        let mut low: Vec<&str> =
            low.filter(|one| one.is_low_volume).map(|one| one.channel.as_str()).collect();
        low.sort_unstable();
        low.dedup();
        if !low.is_empty() {
            session.note(&format!(
                "warning: fewer than {LOW_VOLUME_DEFAULT} conversions touched {}: look at the intervals",
                low.join(", ")
            ));
        }
    }
    for (event, why) in &report.skipped {
        session.note(&format!("warning: {event} is left out: {why}"));
    }
    let unused = report.unused.join(" and ");
    if report.stored.is_some() && !unused.is_empty() {
        session.note(&format!(
            "{unused} not in `fct_credits` yet: add them to `attribution_models` in dbt_project.yml"
        ));
    }
    match &report.stored {
        None => session.note("dry run: nothing is stored"),
        Some(file) if args.stored.build => session.note(&format!("fit {} → {file}", report.fit_id)),
        Some(file) => session.note(&format!(
            "fit {} → {file}; `clicktrail build -s {READERS}` applies it",
            report.fit_id
        )),
    }
}
