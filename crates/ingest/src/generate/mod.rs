//! Seeded demo exports: realistic GA4 rows in exact export shape, one file per day.
//!
//! A visitor follows from (seed, index, day of arrival) alone, and arrival days own ranges of
//! indexes. The file of a day is therefore made without the days before it: it asks every visitor
//! who arrived within the horizon whether a visit or a refund of theirs falls on the day. Memory
//! holds one chunk of visits per thread, days run in parallel, a session over midnight has its rows
//! in both files.
//!
//! `user` plans, `visit` simulates `event`s, `day` orders, `rows` and `table` make columns, `file`
//! writes.

mod calendar;
mod catalog;
mod day;
mod event;
mod file;
mod random;
mod rows;
mod table;
mod traffic;
mod user;
mod visit;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{Datelike as _, NaiveDate};
use chrono_tz::Tz;

pub use self::random::Random;

use self::calendar::Calendar;
use self::user::HORIZON_DAYS;

use crate::{Format, IngestError};

/// Seed when the caller sets none.
pub const SEED_DEFAULT: u64 = 1;
/// Days when the caller sets none: long enough for a 30-day lookback to be complete for half of
/// them.
pub const DAYS_DEFAULT: u32 = 60;
/// Events when the caller sets none: a second or two of work, a few hundred conversions.
pub const EVENTS_DEFAULT: u64 = 200_000;

/// Most days: a hundred years.
const DAYS_MAX: u32 = 36_525;
/// Events of a visitor over their whole life, duplicates included; a test measures it.
const EVENTS_PER_USER: f64 = 19.0;

/// Whether the last day also, or only, comes as an intraday file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Intraday {
    /// Daily files only.
    #[default]
    None,
    /// The last day comes twice: as `events_intraday_…` and as `events_…`.
    Beside,
    /// The last day comes as `events_intraday_…` only, as on a running day.
    Instead,
}

/// What to generate. Equal settings give byte-identical files on every platform, except that
/// `threads` never matters.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateSettings {
    /// Seed of all randomness.
    pub seed: u64,
    /// First `event_date`.
    pub first_day: NaiveDate,
    /// Number of consecutive days, one file each; at least 1.
    pub days: u32,
    /// Target number of events over all days; the real number differs by a few percent.
    pub events: u64,
    /// Encoding of the files.
    pub format: Format,
    /// Time zone of the property, which decides `event_date`.
    pub timezone: Tz,
    /// The last day's intraday file.
    pub intraday: Intraday,
    /// Threads to use, at least 1; a file is written by one thread.
    pub threads: usize,
}

impl GenerateSettings {
    /// Default settings for a period that starts on `first_day`: Parquet, UTC, one thread.
    pub fn starting(first_day: NaiveDate) -> Self {
        Self {
            seed: SEED_DEFAULT,
            first_day,
            days: DAYS_DEFAULT,
            events: EVENTS_DEFAULT,
            format: Format::Parquet,
            timezone: Tz::UTC,
            intraday: Intraday::None,
            threads: 1,
        }
    }
}

/// What was generated. Counts cover the daily rows; an intraday file beside its daily one repeats
/// rows and is not counted again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GenerateReport {
    /// The files written, sorted.
    pub files: Vec<PathBuf>,
    /// Rows, duplicates included.
    pub events: u64,
    /// Distinct `user_pseudo_id`.
    pub users: u64,
    /// Sessions with at least one row; a session over midnight counts once.
    pub sessions: u64,
    /// Purchase rows before duplication, reloads included.
    pub purchases: u64,
    /// Purchase rows that repeat the transaction id of another by a page reload.
    pub repeated_orders: u64,
    /// Refund rows before duplication.
    pub refunds: u64,
    /// Exact copies of another row.
    pub duplicates: u64,
    /// Rows that stand far behind their time in the file.
    pub late: u64,
    /// Rows without user_pseudo_id.
    pub without_consent: u64,
}

/// Called after each finished file with its path and the rows in it.
pub type Progress<'a> = &'a (dyn Fn(&Path, u64) + Sync);

/// Writes the demo export into `folder`, which is created when missing; files of the same name are
/// replaced.
///
/// # Errors
/// [`IngestError::BadSettings`] or [`IngestError::Write`]. Files completed before an error stay.
pub fn generate(
    settings: &GenerateSettings,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<GenerateReport, IngestError> {
    let world = World::new(settings)?;
    std::fs::create_dir_all(folder).map_err(|error| IngestError::write(folder, error))?;
    let jobs = jobs(settings);
    let next = AtomicUsize::new(0);
    let state: Mutex<Result<GenerateReport, IngestError>> =
        Mutex::new(Ok(GenerateReport::default()));
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = day::write(&world, job.day, job.is_intraday, folder, settings.format);
            if let Ok((path, report)) = &done {
                progress(path, report.events);
            }
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match (done, state.as_mut()) {
                (Ok((path, report)), Ok(sum)) => sum.add(path, &report, job.is_counted),
                (Err(error), Ok(_)) => *state = Err(error),
                (_, Err(_)) => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..settings.threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut report = state.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    report.files.sort();
    Ok(report)
}

/// One file to write.
struct Job {
    day: i32,
    is_intraday: bool,
    is_counted: bool,
}

fn jobs(settings: &GenerateSettings) -> Vec<Job> {
    let last = settings.days as i32 - 1;
    let daily = |day| Job { day, is_intraday: false, is_counted: true };
    let mut jobs: Vec<Job> = (0..=last).map(daily).collect();
    match settings.intraday {
        Intraday::None => {}
        Intraday::Beside => jobs.push(Job { day: last, is_intraday: true, is_counted: false }),
        Intraday::Instead => jobs[last as usize].is_intraday = true,
    }
    jobs
}

impl GenerateReport {
    fn add(&mut self, path: PathBuf, day: &Self, is_counted: bool) {
        self.files.push(path);
        if !is_counted {
            return;
        }
        self.events += day.events;
        self.users += day.users;
        self.sessions += day.sessions;
        self.purchases += day.purchases;
        self.repeated_orders += day.repeated_orders;
        self.refunds += day.refunds;
        self.duplicates += day.duplicates;
        self.late += day.late;
        self.without_consent += day.without_consent;
    }
}

/// What all days share.
struct World {
    seed: u64,
    calendar: Calendar,
    /// First visitor of each arrival day, from the oldest day of the horizon on, and the end.
    cohorts: Vec<u64>,
}

impl World {
    fn new(settings: &GenerateSettings) -> Result<Self, IngestError> {
        check(settings)?;
        let calendar = Calendar::new(settings.first_day, settings.days, settings.timezone);
        // Visitors also arrive before the period, so that its first days are as busy as its last.
        let arrivals = (-(HORIZON_DAYS as i32)..settings.days as i32)
            .map(|day| calendar.arrivals(day, settings.seed));
        let weight: u64 = arrivals.clone().skip(HORIZON_DAYS as usize).sum();
        let users = settings.events as f64 / EVENTS_PER_USER;
        let mut cohorts = vec![0];
        let mut sum = 0;
        for arrival in arrivals {
            sum += arrival;
            cohorts.push((users * sum as f64 / weight as f64).round() as u64);
        }
        Ok(Self { seed: settings.seed, calendar, cohorts })
    }

    /// Indexes of the visitors who arrive on a day.
    fn cohort(&self, day: i32) -> Range<u64> {
        let index = usize::try_from(day + HORIZON_DAYS as i32).unwrap_or(0);
        match self.cohorts.get(index..index + 2) {
            Some(&[start, end]) => start..end,
            _ => 0..0,
        }
    }
}

fn check(settings: &GenerateSettings) -> Result<(), IngestError> {
    let bad = |setting, reason: String| Err(IngestError::BadSettings { setting, reason });
    if !(1..=DAYS_MAX).contains(&settings.days) {
        return bad("days", format!("{} is not within 1 to {DAYS_MAX}", settings.days));
    }
    if settings.threads == 0 {
        return bad("threads", "0 is not within 1 and up".to_owned());
    }
    let year = settings.first_day.year();
    if !(1971..=2200).contains(&year) {
        return bad("first_day", format!("year {year} is not within 1971 to 2200"));
    }
    Ok(())
}
