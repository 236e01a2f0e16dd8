//! One state of the tables, and what is found out about it once.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use chrono::NaiveDate;
use clicktrail_engine::datafusion::{Embedded, Session};
use serde_json::Value;

use super::rows::{Row, rows, text, whole};
use super::words;
use crate::error::Result;

/// One state of all tables that pages read.
pub(crate) struct Reader {
    pub(crate) snapshot: String,
    pub(crate) session: Session,
    /// For sessions of a page's own.
    pub(crate) engine: Embedded,
    /// Tables that are there.
    pub(crate) tables: BTreeSet<String>,
    bounds: OnceLock<Bounds>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) as_of: Option<i64>,
    pub(super) first: Option<NaiveDate>,
    pub(super) last: Option<NaiveDate>,
    /// Key events with their counted conversions.
    pub(super) conversions: Vec<(String, i64)>,
    /// Key events with each attribution model that credits them, in the order in which they are shown. A model that is
    /// fitted to data credits only the key events that it was fitted to.
    credited: Vec<(String, String)>,
}

impl Bounds {
    /// Attribution models that credit a key event; all of them where nothing is credited for it.
    pub(super) fn models_of(&self, event: &str) -> Vec<String> {
        let own = self.credited.iter().filter(|(name, _)| name == event);
        let own: Vec<String> = own.map(|(_, model)| model.clone()).collect();
        if own.is_empty() { self.models() } else { own }
    }

    /// Attribution models that the tables hold.
    pub(super) fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = Vec::new();
        for (_, model) in &self.credited {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }
}

impl Reader {
    pub(crate) fn new(
        snapshot: String,
        (engine, session): (Embedded, Session),
        tables: BTreeSet<String>,
    ) -> Self {
        Self { snapshot, session, engine, tables, bounds: OnceLock::new() }
    }

    pub(super) fn query(&self, sql: &str) -> Result<Vec<Row>> {
        let (_, batches) = self.session.query(sql).map_err(crate::problem::of_query)?;
        rows(&batches)
    }

    pub(super) fn bounds(&self) -> Result<&Bounds> {
        if let Some(bounds) = self.bounds.get() {
            return Ok(bounds);
        }
        let times = self.query(
            "select max(at) as as_of, min(first) as first, max(last) as last from (\
             select max(session_ended_at) as at, min(session_date) as first, max(session_date) as last \
             from int_sessions union all \
             select max(converted_at), min(conversion_date), max(conversion_date) from int_conversions)",
        )?;
        let names = self.query(
            "select event_name, sum(case when is_counted then 1 else 0 end) as conversions \
             from int_conversions group by event_name order by event_name",
        )?;
        let credited =
            self.query("select distinct event_name, attribution_model from fct_credits")?;
        let mut credited: Vec<(String, String)> = credited
            .iter()
            .map(|row| {
                (text(row, "event_name").to_owned(), text(row, "attribution_model").to_owned())
            })
            .collect();
        credited.sort_by_cached_key(|(event, model)| {
            (words::place(model), model.clone(), event.clone())
        });
        let row = times.first();
        let day = |name: &str| row.and_then(|row| text(row, name).parse().ok());
        let bounds = Bounds {
            as_of: row.and_then(|row| row.get("as_of").and_then(Value::as_i64)),
            first: day("first"),
            last: day("last"),
            conversions: names
                .iter()
                .map(|row| (text(row, "event_name").to_owned(), whole(row, "conversions")))
                .collect(),
            credited,
        };
        Ok(self.bounds.get_or_init(|| bounds))
    }
}
