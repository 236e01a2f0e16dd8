//! Seeded demo exports: realistic GA4 rows in exact export shape, one file per day.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::{Format, IngestError};

/// Seed when the caller sets none.
pub const SEED_DEFAULT: u64 = 1;
/// Days when the caller sets none: long enough for a 30-day lookback to be complete for half of them.
pub const DAYS_DEFAULT: u32 = 60;
/// Events when the caller sets none: a second or two of work, a few hundred conversions.
pub const EVENTS_DEFAULT: u64 = 200_000;

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
/// [`IngestError::BadSettings`] or [`IngestError::Write`].
pub fn generate(
    settings: &GenerateSettings,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<GenerateReport, IngestError> {
    let _ = (settings, folder, progress);
    Err(IngestError::internal("not written yet"))
}
