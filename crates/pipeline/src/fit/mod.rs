//! Fitted attribution models: counts of paths → Markov and Shapley → a seed of the project.
//!
//! The mathematics is in `clicktrail-attribution`. Here: where the counts come from (the model
//! `mart_paths`, or a file), and where the fit goes: into `seeds/fit_channel_weights.csv`, a table like
//! any other seed, so that builds, live tables and other engines read the same numbers.
//!
//! | module | what it does |
//! |---|---|
//! | `file` | a CSV or Parquet file of paths → counts, in memory that grows with distinct paths only |
//! | `rows` | fits → rows |
//! | `store` | rows → the seed, beside those of the fits before |

mod file;
mod rows;
mod store;

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use clicktrail_attribution::fit::{
    Fit, FitSettings, FittedModel, PathCounts, PathCountsBuilder, fit,
};

use crate::clock::rfc3339;
use crate::error::{PipelineError, Result};
use crate::fingerprint;
use crate::live::arrow_fault;
use crate::report::Reporter;
use crate::workspace::{QueryResult, Workspace};

pub use file::{PathsFile, fit_file};

/// The model that counts paths.
const PATHS: &str = "mart_paths";

/// Conversions below which nothing is fitted when nobody says: shares would be chance.
pub const MIN_CONVERSIONS_DEFAULT: u64 = 30;

/// What to fit, from the project's paths.
#[derive(Debug, Clone)]
pub struct FitRequest {
    /// Attribution models.
    pub models: Vec<FittedModel>,
    /// How.
    pub settings: FitSettings,
    /// Take repeats of a channel that follow each other as one touch.
    pub compact: bool,
    /// Key events; empty: all that have paths `[2.13]`.
    pub event_names: Vec<String>,
    /// Currency of the values reported; `None`: the only one there is `[2.22]`.
    pub currency: Option<String>,
    /// Fewer conversions than these are not fitted.
    pub min_conversions: u64,
    /// Compute and show, store nothing.
    pub dry_run: bool,
}

/// The fits of one key event.
#[derive(Debug, Clone)]
pub struct EventFit {
    /// Key event.
    pub event_name: String,
    /// Currency of the values; `None`: values are not told.
    pub currency: Option<String>,
    /// Distinct paths.
    pub paths: u64,
    /// Journeys.
    pub journeys: u64,
    /// Those of them that converted.
    pub conversions: u64,
    /// One for each attribution model.
    pub fits: Vec<Fit>,
}

/// What was fitted.
#[derive(Debug)]
pub struct FitReport {
    /// Version of the fit.
    pub fit_id: String,
    /// By key event.
    pub events: Vec<EventFit>,
    /// Key events without a fit, with the reason.
    pub skipped: Vec<(String, String)>,
    /// The seed's file, relative to the project; `None` after a dry run.
    pub stored: Option<String>,
    /// Fitted attribution models that `fct_credits` does not hold, by the var `attribution_models`.
    pub unused: Vec<String>,
    /// The rows, as they are stored.
    pub rows: QueryResult,
}

/// A fault of the fit's data or settings, under a code of its own.
pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> PipelineError {
    PipelineError::coded("E4201", message, hint)
}

impl Workspace {
    /// Fits the attribution models to the paths of `mart_paths`, and stores the fit unless told not to.
    ///
    /// # Errors
    /// Paths that are not built; nothing that can be fitted; a warehouse that another process writes.
    pub fn fit(&self, request: &FitRequest, reporter: &dyn Reporter) -> Result<FitReport> {
        let counted = self.count_paths(request)?;
        let wanted = |name: &&String| !counted.contains_key(*name);
        if let Some(missing) = request.event_names.iter().find(wanted) {
            let known: Vec<&str> = counted.keys().map(String::as_str).collect();
            return Err(refused(
                format!("`{PATHS}` has no paths of the key event `{missing}`"),
                format!("it has those of {}", known.join(", ")),
            ));
        }
        if counted.is_empty() {
            return Err(refused(
                format!("`{PATHS}` has no rows"),
                "fits need conversions: are `key_events` and the export right? `clicktrail debug` tells",
            ));
        }
        let (mut events, mut skipped) = (Vec::new(), Vec::new());
        for (event_name, counts) in counted {
            match fit_event(&event_name, counts, request)? {
                Ok(event) => events.push(event),
                Err(why) => skipped.push((event_name, why)),
            }
        }
        if events.is_empty() {
            let told: Vec<String> =
                skipped.iter().map(|(event, why)| format!("{event}: {why}")).collect();
            return Err(refused(
                format!("nothing can be fitted: {}", told.join("; ")),
                "build more days, or lower `--min-conversions`",
            ));
        }
        let at_micros = self.clock.now_micros();
        let fitted_at = rfc3339(at_micros);
        let mut rows = rows::of_fits(&events, &fitted_at)?;
        // The same fit of the same moment has the same name: the rows' hash tells fits apart.
        let content = fingerprint::rows(std::slice::from_ref(&rows));
        let fit_id = format!(
            "{}-{}",
            fitted_at.get(..10).unwrap_or_default(),
            &fingerprint::of([content.as_str(), fitted_at.as_str(),])[..8]
        );
        rows = rows::named(&rows, &fit_id)?;
        let stored = match request.dry_run {
            true => None,
            false => Some(store::keep(self, &rows, reporter)?),
        };
        let rows = QueryResult { schema: rows.schema(), batches: vec![rows] };
        let used = self.project.vars.get("attribution_models").and_then(|names| names.as_array());
        let names = request.models.iter().map(|model| model.name());
        let is_unused =
            |name: &&str| used.is_some_and(|used| !used.iter().any(|used| used == name));
        let unused = names.filter(is_unused).map(str::to_owned).collect();
        Ok(FitReport { fit_id, events, skipped, stored, unused, rows })
    }

    /// The paths of each key event wanted.
    fn count_paths(&self, request: &FitRequest) -> Result<BTreeMap<String, Counted>> {
        let engine = self.engine()?;
        if !self.project.manifest.nodes.values().any(|node| node.alias == PATHS) {
            return Err(refused(
                format!("the project has no model `{PATHS}`"),
                "`clicktrail init` writes one; its columns are in docs/fitted_models.md",
            ));
        }
        let session = self.session_of(&engine, PATHS)?;
        let plan = session.plan(&format!(
            "select event_name, path, cast(converted as bigint), cast(lost as bigint), \
             cast(revenue as decimal(38, 6)), currency from {PATHS}"
        ))?;
        let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
        let mut fault = None;
        session.run(&plan, &mut |batch| {
            if fault.is_none() {
                fault = take(&batch, request, &mut counted).err();
            }
            Ok(())
        })?;
        fault.map_or(Ok(counted), Err)
    }
}

/// Paths of one key event while they are read.
#[derive(Debug, Default)]
struct Counted {
    builder: PathCountsBuilder,
    /// Currencies that conversions have a value in.
    currencies: BTreeMap<String, i64>,
}

fn take(
    batch: &RecordBatch,
    request: &FitRequest,
    counted: &mut BTreeMap<String, Counted>,
) -> Result<()> {
    let text = |column: usize| cast(batch.column(column), &DataType::Utf8).map_err(arrow_fault);
    let (events, paths, currencies) = (text(0)?, text(1)?, text(5)?);
    let (events, paths) = (events.as_string::<i32>(), paths.as_string::<i32>());
    let currencies = currencies.as_string::<i32>();
    let converted = batch.column(2).as_primitive::<Int64Type>();
    let lost = batch.column(3).as_primitive::<Int64Type>();
    let values = batch.column(4).as_primitive::<Decimal128Type>();
    let mut steps = Vec::new();
    for row in 0..batch.num_rows() {
        let event = if events.is_valid(row) { events.value(row) } else { "" };
        let wanted = &request.event_names;
        if !wanted.is_empty() && !wanted.iter().any(|name| name == event) {
            continue;
        }
        if !counted.contains_key(event) {
            counted.insert(event.to_owned(), Counted::default());
        }
        let Some(of_event) = counted.get_mut(event) else { continue };
        let path = if paths.is_valid(row) { paths.value(row) } else { "" };
        steps.clear();
        for name in channels(path) {
            let name = name.ok_or_else(|| {
                refused(
                    format!("`{PATHS}` has a path that can't be read: `{path}`"),
                    "a step is written `<bytes of the name>:<name>`",
                )
            })?;
            steps.push(of_event.builder.channel(name).map_err(unfit)?);
        }
        let mut value = 0;
        if values.is_valid(row) && currencies.is_valid(row) {
            let currency = currencies.value(row);
            let micros = i64::try_from(values.value(row)).unwrap_or(i64::MAX);
            *of_event.currencies.entry(currency.to_owned()).or_default() += 1;
            if request.currency.as_deref().is_none_or(|wanted| wanted == currency) {
                value = micros;
            }
        }
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let (converted, lost) = (count(converted.value(row)), count(lost.value(row)));
        of_event.builder.add(&steps, converted, lost, value).map_err(unfit)?;
    }
    Ok(())
}

/// The channels of a path text: `11:Paid Search5:Email`; `None` where it is no such text.
fn channels(path: &str) -> impl Iterator<Item = Option<&str>> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let text = rest?;
        if text.is_empty() {
            return None;
        }
        let step = text.split_once(':').and_then(|(bytes, after)| {
            let bytes: usize = bytes.parse().ok()?;
            Some((after.get(..bytes)?, after.get(bytes..)?))
        });
        rest = step.map(|(_, after)| after);
        Some(step.map(|(name, _)| name))
    })
}

/// The fits of one key event, or why there is none.
fn fit_event(
    event_name: &str,
    counted: Counted,
    request: &FitRequest,
) -> Result<Result<EventFit, String>> {
    let Counted { builder, currencies } = counted;
    let mut paths = builder.finish();
    if request.compact {
        paths = paths.compacted().map_err(unfit)?;
    }
    let conversions = paths.conversions();
    if conversions < request.min_conversions.max(1) {
        return Ok(Err(format!(
            "{conversions} conversions, fewer than {}",
            request.min_conversions.max(1)
        )));
    }
    let currency = match (&request.currency, currencies.len()) {
        (Some(wanted), _) => Some(wanted.clone()).filter(|wanted| currencies.contains_key(wanted)),
        // Amounts of two currencies never meet [2.22].
        (None, 1) => currencies.into_keys().next(),
        (None, _) => None,
    };
    let fits = fit_all(&paths, request)?;
    Ok(Ok(EventFit {
        event_name: event_name.to_owned(),
        currency,
        paths: paths.len() as u64,
        journeys: paths.journeys(),
        conversions,
        fits,
    }))
}

fn fit_all(paths: &PathCounts, request: &FitRequest) -> Result<Vec<Fit>> {
    request
        .models
        .iter()
        .map(|&model| fit(paths, model, &request.settings).map_err(unfit))
        .collect()
}

/// What the mathematics refuses, in words for who asked.
fn unfit(error: clicktrail_attribution::AttributionError) -> PipelineError {
    use clicktrail_attribution::AttributionError as Error;
    let hint = match &error {
        Error::NoPaths | Error::NoConversions { .. } => {
            "shares of conversions need conversions; fit a longer period"
        }
        Error::BadOrder { .. } => "use `--order 1`, 2 or 3",
        Error::TooManyChannels { .. } => "group the channels, or use `--worth journeys`",
        Error::NotSolved { .. } => "use `--compact`, or `--order 1`",
        _ => "look at the counts and values of the paths",
    };
    refused(error.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_texts_hold_any_name() {
        let read = |text| channels(text).collect::<Option<Vec<&str>>>();
        assert_eq!(read("11:Paid Search5:Email"), Some(vec!["Paid Search", "Email"]));
        assert_eq!(read("5:1:a>b0:3:Öx"), Some(vec!["1:a>b", "", "Öx"]));
        assert_eq!(read(""), Some(vec![]));
        for wrong in ["Email", "9:Email", "5:Email7", "-1:a", "2:Ö:", "1:Ö"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
