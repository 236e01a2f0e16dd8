//! `source freshness`: how old the newest rows of each source are.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat};
use clicktrail_engine::datafusion::Embedded;
use clicktrail_project::{
    Adapter, AdapterRelations, Freshness, Period, Relations, ResourceType, SelectArgs, Source,
};

use crate::artifacts;
use crate::catalog::Catalog;
use crate::error::{PipelineError, Result};
use crate::feeds::{ExportFeed, Feeds};
use crate::report::{NodeResult, Problem, Reporter, RunSummary, Status};
use crate::run::blank;
use crate::workspace::Workspace;

/// Name of the command in `sources.json`.
const COMMAND: &str = "source freshness";

impl Workspace {
    /// Age of the selected sources; writes `target/sources.json`.
    ///
    /// As in dbt, a source with `freshness` and without any row is infinitely old, and one that is too old has
    /// the status `error`; only a result with a [`Problem`] could not be measured.
    ///
    /// # Errors
    /// A source that can't be read.
    pub fn freshness(&self, select: &SelectArgs, reporter: &dyn Reporter) -> Result<RunSummary> {
        let start = self.clock.seconds();
        let selected = self.project.select(select)?;
        let sources: Vec<(&Source, &Freshness)> = self
            .project
            .manifest
            .sources
            .values()
            .filter(|source| selected.contains(&source.unique_id))
            .filter_map(|source| {
                Some((source, source.freshness.as_ref().filter(|rule| has_limit(rule))?))
            })
            .collect();
        if sources.is_empty() {
            reporter.note("no selected source has a `freshness` rule");
        }
        let engine = self.engine()?;
        let feeds = Feeds::find(&self.project)?;
        let catalog = Catalog::new(&self.project, &self.warehouse, &feeds, false);
        let mut results = Vec::new();
        for (source, rule) in sources {
            let result = self.age_of(source, rule, &engine, &catalog, reporter);
            reporter.finished(&result);
            results.push(result);
        }
        let summary = RunSummary {
            command: COMMAND.to_owned(),
            results,
            seconds: self.clock.seconds() - start,
        };
        let id = &self.settings.load.invocation_id;
        artifacts::write_results(
            &self.project,
            artifacts::SOURCES,
            &summary,
            self.clock.now_micros(),
            id,
        )?;
        Ok(summary)
    }

    fn age_of(
        &self,
        source: &Source,
        rule: &Freshness,
        engine: &Embedded,
        catalog: &Catalog<'_>,
        reporter: &dyn Reporter,
    ) -> NodeResult {
        let mut result = blank(&source.unique_id, "");
        result.resource_type = ResourceType::Source.as_str().to_owned();
        reporter.started(&result.unique_id, &result.name);
        let start = self.clock.seconds();
        match newest(source, rule, engine, catalog) {
            Ok(newest) => {
                (result.status, result.message) = judge(newest, self.clock.now_micros(), rule)
            }
            Err(error) => {
                result.status = Status::Error;
                result.problem = Some(problem(source, &error));
            }
        }
        result.seconds = self.clock.seconds() - start;
        result
    }
}

fn has_limit(rule: &Freshness) -> bool {
    rule.warn_after.is_some() || rule.error_after.is_some()
}

/// An error at the table's own line of the YAML file, unless it knows a better place.
fn problem(source: &Source, error: &PipelineError) -> Problem {
    let mut problem = crate::problem::of_node(error, &source.original_file_path, None);
    if problem.file.is_none() {
        problem.file = Some(source.original_file_path.clone());
    }
    if problem.file.as_ref() == Some(&source.original_file_path) && problem.line.is_none() {
        problem.line = Some(source.line).filter(|line| *line > 0);
    }
    problem
}

/// Time of the newest row, microseconds since 1970; `None` when there is no row.
fn newest(
    source: &Source,
    rule: &Freshness,
    engine: &Embedded,
    catalog: &Catalog<'_>,
) -> Result<Option<i64>> {
    let field = source.loaded_at_field.as_deref().ok_or_else(|| PipelineError::Setting {
        message: format!(
            "source `{}.{}` has `freshness` but no `loaded_at_field`",
            source.source_name, source.name
        ),
        hint: Some(
            "name the column, or write the expression, that says when a row was loaded".into(),
        ),
    })?;
    let field = catalog.compile_text(field)?.sql;
    let relation = AdapterRelations(Adapter::Clicktrail).source(source);
    let mut sql = format!("select max({field}) as newest from {relation}");
    if let Some(filter) = &rule.filter {
        sql.push_str(&format!(" where ({})", catalog.compile_text(filter)?.sql));
    }
    let session = engine.session()?;
    if let Some(name) = Feeds::name_of(source)
        && let Some(feed) = newest_day(catalog.feeds, &name)?
    {
        session.add_feed(&name, feed, None)?;
        let newest = instant(&session.query(&sql)?.1, source)?;
        if newest.is_some() {
            return Ok(newest);
        }
    }
    // No days in the file names, or no row of the newest day that the filter lets pass.
    catalog.register(&session, &source.unique_id, &mut BTreeSet::new())?;
    instant(&session.query(&sql)?.1, source)
}

/// A feed of the newest day's files, when the names of all files carry days.
fn newest_day(feeds: &Feeds, name: &str) -> Result<Option<Arc<ExportFeed>>> {
    let files = feeds.files(name);
    if files.is_empty() || files.iter().any(|file| file.day.is_none()) {
        return Ok(None);
    }
    let mut days = feeds.days(&[name.to_owned()])?.days;
    let parts = days.pop_last().and_then(|(_, mut sources)| sources.remove(name));
    Ok(parts.map(|parts| {
        let feed = feeds.empty();
        feed.set(parts);
        feed
    }))
}

/// The one value of a result: a timestamp, a date, a text that is one, or a number of microseconds.
fn instant(batches: &[RecordBatch], source: &Source) -> Result<Option<i64>> {
    let Some(column) =
        batches.iter().find(|batch| batch.num_rows() > 0).map(|batch| batch.column(0))
    else {
        return Ok(None);
    };
    if column.is_null(0) {
        return Ok(None);
    }
    let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let found = cast(column, &wanted).ok().and_then(|column| {
        column.as_primitive::<TimestampMicrosecondType>().iter().next().flatten()
    });
    match found {
        Some(instant) => Ok(Some(instant)),
        None => Err(PipelineError::Setting {
            message: format!(
                "`loaded_at_field` of source `{}.{}` is no timestamp but {}",
                source.source_name,
                source.name,
                column.data_type()
            ),
            hint: Some("write an expression that gives a timestamp, such as `utc_timestamp(event_timestamp)`".into()),
        }),
    }
}

/// Status and words for the newest row as seen at `now`; both in microseconds since 1970.
fn judge(newest: Option<i64>, now: i64, rule: &Freshness) -> (Status, String) {
    let age = newest.map(|newest| now.saturating_sub(newest) / 1_000_000);
    let beyond = |limit: &Option<Period>| {
        limit.clone().filter(|limit| {
            age.is_none_or(|age| age > i64::try_from(limit.seconds()).unwrap_or(i64::MAX))
        })
    };
    let (status, limit) = match (beyond(&rule.error_after), beyond(&rule.warn_after)) {
        (Some(limit), _) => (Status::Error, Some(("error", limit))),
        (None, Some(limit)) => (Status::Warn, Some(("warn", limit))),
        (None, None) => (Status::Pass, None),
    };
    let mut message = match (newest, age) {
        (Some(newest), Some(age)) if age >= 0 => {
            format!("{} old, newest row {}", length(age), utc(newest))
        }
        (Some(newest), _) => format!("newest row {}, ahead of this machine's clock", utc(newest)),
        (None, _) => "no rows".to_owned(),
    };
    if let Some((word, Period { count, period })) = limit {
        let plural = if count == 1 { "" } else { "s" };
        message.push_str(&format!(" ({word} after {count} {period}{plural})"));
    }
    (status, message)
}

/// A length of time in its natural unit, rounded down.
fn length(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn utc(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;
    /// 2021-01-31T23:59:59Z.
    const NEWEST: i64 = 1_612_137_599_000_000;

    fn rule(warn: Option<u64>, error: Option<u64>) -> Freshness {
        let hours = |count: u64| Period { count, period: "hour".into() };
        Freshness { warn_after: warn.map(hours), error_after: error.map(hours), filter: None }
    }

    #[test]
    fn age_is_held_against_both_limits() {
        let both = rule(Some(12), Some(24));
        let at = |hours: i64| judge(Some(NEWEST), NEWEST + hours * HOUR, &both);
        assert_eq!(at(12), (Status::Pass, "12 h old, newest row 2021-01-31T23:59:59Z".into()));
        assert_eq!(
            at(13),
            (
                Status::Warn,
                "13 h old, newest row 2021-01-31T23:59:59Z (warn after 12 hours)".into()
            )
        );
        assert_eq!(at(48).0, Status::Error);
        assert_eq!(judge(Some(NEWEST), NEWEST + 48 * HOUR, &rule(Some(12), None)).0, Status::Warn);
        assert_eq!(judge(Some(NEWEST), NEWEST + 48 * HOUR, &rule(None, Some(49))).0, Status::Pass);
    }

    #[test]
    fn no_row_is_infinitely_old() {
        assert_eq!(
            judge(None, NEWEST, &rule(Some(1), None)),
            (Status::Warn, "no rows (warn after 1 hour)".into())
        );
        assert_eq!(judge(None, NEWEST, &rule(Some(1), Some(2))).0, Status::Error);
    }

    #[test]
    fn rows_from_the_future_pass() {
        let (status, message) = judge(Some(NEWEST), NEWEST - HOUR, &rule(Some(1), Some(2)));
        assert_eq!(status, Status::Pass);
        assert!(message.contains("ahead"), "{message}");
    }

    #[test]
    fn lengths_have_natural_units() {
        let all = [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 days")];
        for (seconds, text) in all {
            assert_eq!(length(seconds), text);
        }
    }
}
