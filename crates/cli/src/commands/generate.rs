//! `generate`: a seeded GA4 export.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::ValueEnum;
use clicktrail_ingest::generate::{
    DAYS_DEFAULT, GenerateReport, GenerateSettings, Intraday, SEED_DEFAULT, generate,
};
use clicktrail_ingest::{Format, IngestError};
use clicktrail_pipeline::{Clock, PipelineError};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::args::{ReportArgs, parse_count};
use crate::failure::{Outcome, Usage};
use crate::output::{count, duration, write_document};
use crate::session::{SCHEMA_VERSION, Session};
use crate::settings;

/// First day when the user does not say: fixed, so that two runs give the same bytes.
const FIRST_DAY_DEFAULT: &str = "2026-09-01";
/// Events when the user does not say: under two seconds of work, a few hundred conversions.
const EVENTS_DEFAULT: &str = "120000";

/// Flags of `generate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write into; files of the same name are replaced
    #[arg(long, value_name = "DIR", default_value = "data/ga4")]
    out: PathBuf,
    /// Events over all days, e.g. 120000, 20M; the real number differs by a few percent
    #[arg(long, value_name = "N", default_value = EVENTS_DEFAULT, value_parser = parse_count)]
    events: u64,
    /// Days, one file each
    #[arg(long, value_name = "N", default_value_t = DAYS_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=3660))]
    days: u32,
    /// First day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", default_value = FIRST_DAY_DEFAULT)]
    first_day: NaiveDate,
    /// Equal seeds give equal files
    #[arg(long, value_name = "N", default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// Encoding of the files
    #[arg(long, value_name = "FORMAT", default_value = "parquet")]
    format: FileFormat,
    /// An intraday file for the last day
    #[arg(long, value_name = "HOW", default_value = "none", num_args = 0..=1,
        default_missing_value = "instead")]
    intraday: IntradayChoice,
    /// Threads; 0 means all cores
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        env = "CLICKTRAIL_THREADS",
        hide_env_values = true
    )]
    threads: usize,
    /// Time zone of the property (IANA name)
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: Tz,
    /// What stdout gets.
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Encoding of a file.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum FileFormat {
    /// Apache Parquet
    Parquet,
    /// One JSON object per line
    Ndjson,
    /// The same, compressed
    #[value(name = "ndjson.gz")]
    NdjsonGz,
}

/// Whether the last day has an intraday file.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum IntradayChoice {
    /// Daily files only
    None,
    /// The last day comes twice
    Beside,
    /// The last day comes as an intraday file only, as on a running day
    Instead,
}

/// Generates.
///
/// # Errors
/// Settings that make no sense; files that can't be written.
pub(crate) fn run(args: &Args, session: &Session) -> Result<Outcome> {
    let settings = GenerateSettings {
        seed: args.seed,
        first_day: args.first_day,
        days: args.days,
        events: args.events,
        format: match args.format {
            FileFormat::Parquet => Format::Parquet,
            FileFormat::Ndjson => Format::Ndjson { gzip: false },
            FileFormat::NdjsonGz => Format::Ndjson { gzip: true },
        },
        timezone: args.timezone,
        intraday: match args.intraday {
            IntradayChoice::None => Intraday::None,
            IntradayChoice::Beside => Intraday::Beside,
            IntradayChoice::Instead => Intraday::Instead,
        },
        threads: settings::threads(args.threads),
    };
    let start = session.clock.seconds();
    let report = write(&settings, &args.out, session)?;
    let took = duration(session.clock.seconds() - start);
    session.note(&format!("{} in {took}", told(&report, &args.out)));
    if args.report.json() {
        write_document(&document(&report))?;
    }
    Ok(Outcome::Done)
}

/// The settings that `init --demo` uses: all defaults of this command.
pub(super) fn demo_settings() -> Result<GenerateSettings> {
    let first_day = FIRST_DAY_DEFAULT.parse()?;
    let events = parse_count(EVENTS_DEFAULT).map_err(Usage::new)?;
    let threads = settings::threads(0);
    Ok(GenerateSettings { events, threads, ..GenerateSettings::starting(first_day) })
}

/// Writes the files, with a bar on a terminal.
///
/// # Errors
/// As [`run`].
pub(super) fn write(
    settings: &GenerateSettings,
    folder: &Path,
    session: &Session,
) -> Result<GenerateReport> {
    let bar = match session.terminal.bars {
        true => ProgressBar::new(u64::from(settings.days)).with_style(
            ProgressStyle::with_template("  {bar:32} {pos}/{len} files  {msg}  {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        ),
        false => ProgressBar::hidden(),
    };
    let events = AtomicU64::new(0);
    let progress = |_: &Path, rows: u64| {
        let events = events.fetch_add(rows, Ordering::Relaxed) + rows;
        bar.set_message(count(events, "event", "events"));
        bar.inc(1);
    };
    let report = generate(settings, folder, &progress);
    bar.finish_and_clear();
    report.map_err(|error| match error {
        IngestError::BadSettings { setting, reason } => {
            Usage::new(format!("--{}: {reason}", setting.replace('_', "-"))).into()
        }
        other => PipelineError::from(other).into(),
    })
}

fn told(report: &GenerateReport, folder: &Path) -> String {
    format!(
        "  Generated {} of {} in {} into {}",
        count(report.events, "event", "events"),
        count(report.users, "user", "users"),
        count(report.files.len() as u64, "file", "files"),
        folder.display(),
    )
}

fn document(report: &GenerateReport) -> Value {
    json!({
        "schema_version": SCHEMA_VERSION,
        "files": report.files,
        "events": report.events,
        "users": report.users,
        "sessions": report.sessions,
        "purchases": report.purchases,
        "repeated_orders": report.repeated_orders,
        "refunds": report.refunds,
        "duplicates": report.duplicates,
        "late": report.late,
        "without_consent": report.without_consent,
    })
}
