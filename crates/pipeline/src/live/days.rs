//! Days: of instants in the property's time zone, and those that an export has.

use std::collections::BTreeSet;

use arrow::datatypes::Date32Type;

use crate::error::{PipelineError, Result};
use crate::feeds::{Days, Feeds};
use crate::workspace::Workspace;

/// The reporting day of an instant, as days since 1970.
pub(crate) fn day_of(micros: i64, time_zone: chrono_tz::Tz) -> i32 {
    let instant = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    Date32Type::from_naive_date(instant.with_timezone(&time_zone).date_naive())
}

/// The export's files by day.
pub(super) fn exported(feeds: &Feeds) -> Result<Days> {
    feeds.days(&["ga4.events".to_owned(), "ga4.events_intraday".to_owned()])
}

/// Days (since 1970) that an export has the say over [2.25].
pub(super) fn owned_days(exports: &Days) -> BTreeSet<i32> {
    exports
        .days
        .keys()
        .filter_map(|day| chrono::NaiveDate::parse_from_str(day, "%Y%m%d").ok())
        .map(Date32Type::from_naive_date)
        .collect()
}

/// The property's reporting time zone.
///
/// # Errors
/// A var that names no zone.
pub(crate) fn time_zone(workspace: &Workspace) -> Result<chrono_tz::Tz> {
    let vars = workspace.vars();
    let name = vars.get("timezone").and_then(|zone| zone.as_str()).unwrap_or("UTC");
    name.parse().map_err(|_| PipelineError::Setting {
        message: format!("var `timezone` is `{name}`, which is no IANA time zone"),
        hint: Some("as in `Europe/Paris`".into()),
    })
}
