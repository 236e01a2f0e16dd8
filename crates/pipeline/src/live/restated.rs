//! Figures of past days that changed: what, from, to, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clicktrail_engine::datafusion::{Embedded, Session};
use serde_json::{Map, Value};

use super::rows::arrow_fault;
use crate::clock::rfc3339;
use crate::error::Result;
use crate::warehouse::Warehouse;

/// The table that keeps them.
pub(crate) const TABLE: &str = "restatements";

/// Why a figure is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// An event arrived after its day had ended [2.18].
    LateEvent,
    /// An event of the running day changed an earlier one: an order that turned out to be a duplicate [2.20].
    Event,
    /// A day's rows were replaced, as by the daily export [2.25].
    ReplacedDay,
}

impl Cause {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::LateEvent => "late event",
            Self::Event => "event",
            Self::ReplacedDay => "replaced day",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Restated {
    /// Table of the figure.
    pub(crate) table: String,
    /// Its day, days since 1970.
    pub(crate) day: i32,
    /// The other columns that say which figure it is, as JSON.
    pub(crate) dimensions: String,
    /// Column of the figure.
    pub(crate) measure: String,
    /// Before; `None`: there was none.
    pub(crate) from: Option<String>,
    /// Now; `None`: there is none any more.
    pub(crate) to: Option<String>,
    pub(crate) cause: Cause,
}

/// Which figure it is: table, day, dimensions, measure.
pub(super) type Figure = (String, i32, String, String);

impl Restated {
    pub(super) fn figure(&self) -> Figure {
        (self.table.clone(), self.day, self.dimensions.clone(), self.measure.clone())
    }
}

/// By day, dimensions, measure.
type Figures = BTreeMap<(i32, String, String), Option<String>>;

/// Figures of days before `today` that differ between two versions of the same rows.
pub(super) fn restated(
    table: &str,
    before: RecordBatch,
    after: RecordBatch,
    today: i32,
    cause: Cause,
) -> Result<Vec<Restated>> {
    let (before, mut after) = (figures(&before, today)?, figures(&after, today)?);
    let mut changed = Vec::new();
    for ((day, dimensions, measure), from) in before {
        let to = after.remove(&(day, dimensions.clone(), measure.clone())).flatten();
        if from != to {
            let table = table.to_owned();
            changed.push(Restated { table, day, dimensions, measure, from, to, cause });
        }
    }
    for ((day, dimensions, measure), to) in after {
        if to.is_some() {
            let table = table.to_owned();
            changed.push(Restated { table, day, dimensions, measure, from: None, to, cause });
        }
    }
    Ok(changed)
}

/// The column that says to which day a row belongs: the first date.
pub(super) fn day_column(rows: &RecordBatch) -> Option<usize> {
    rows.schema().fields().iter().position(|field| field.data_type() == &DataType::Date32)
}

fn is_measure(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn figures(rows: &RecordBatch, today: i32) -> Result<Figures> {
    let mut figures = Figures::new();
    let schema = rows.schema();
    let Some(day_column) = day_column(rows) else { return Ok(figures) };
    let days = rows.column(day_column).as_primitive::<Date32Type>();
    let options = FormatOptions::default();
    let formatters = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()
        .map_err(arrow_fault)?;
    let text = |column: usize, row: usize| {
        rows.column(column).is_valid(row).then(|| formatters[column].value(row).to_string())
    };
    for row in 0..rows.num_rows() {
        if days.is_null(row) || days.value(row) >= today {
            continue;
        }
        let mut dimensions = Map::new();
        for (column, field) in schema.fields().iter().enumerate() {
            if column != day_column && !is_measure(field.data_type()) {
                let value = text(column, row).map_or(Value::Null, Value::String);
                dimensions.insert(field.name().clone(), value);
            }
        }
        let dimensions = Value::Object(dimensions).to_string();
        for (column, field) in schema.fields().iter().enumerate() {
            if is_measure(field.data_type()) {
                let place = (days.value(row), dimensions.clone(), field.name().clone());
                figures.insert(place, text(column, row));
            }
        }
    }
    Ok(figures)
}

/// Changes of one figure in one round as one change; a figure that is what it was again is none.
pub(super) fn merged(changes: Vec<Restated>) -> Vec<Restated> {
    let mut merged: BTreeMap<Figure, Restated> = BTreeMap::new();
    for change in changes {
        match merged.get_mut(&change.figure()) {
            Some(first) => first.to = change.to,
            None => {
                merged.insert(change.figure(), change);
            }
        }
    }
    merged.into_values().filter(|change| change.from != change.to).collect()
}

/// A row of the ledger.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Last frame of the events that changed the figure.
    pub(super) seq: u64,
    /// When it changed, microseconds since 1970.
    pub(super) at_micros: i64,
    pub(super) change: Restated,
}

/// Rows of the ledger.
pub(super) fn batch(entries: &[Entry]) -> Result<RecordBatch> {
    let texts = |value: &dyn Fn(&Entry) -> Option<String>| {
        Arc::new(entries.iter().map(value).collect::<StringViewArray>())
    };
    let seqs = entries.iter().map(|entry| i64::try_from(entry.seq).unwrap_or(i64::MAX));
    let days: Date32Array = entries.iter().map(|entry| Some(entry.change.day)).collect();
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let schema = Arc::new(Schema::new(vec![
        field("restated_at", DataType::Utf8View),
        field("seq", DataType::Int64),
        field("table_name", DataType::Utf8View),
        field("date", DataType::Date32),
        field("dimensions", DataType::Utf8View),
        field("measure", DataType::Utf8View),
        field("from_value", DataType::Utf8View),
        field("to_value", DataType::Utf8View),
        field("cause", DataType::Utf8View),
    ]));
    let columns: Vec<ArrayRef> = vec![
        texts(&|entry| Some(rfc3339(entry.at_micros))),
        Arc::new(Int64Array::from_iter_values(seqs)),
        texts(&|entry| Some(entry.change.table.clone())),
        Arc::new(days),
        texts(&|entry| Some(entry.change.dimensions.clone())),
        texts(&|entry| Some(entry.change.measure.clone())),
        texts(&|entry| entry.change.from.clone()),
        texts(&|entry| entry.change.to.clone()),
        texts(&|entry| Some(entry.change.cause.as_str().to_owned())),
    ];
    Ok(RecordBatch::try_new(schema, columns).map_err(arrow_fault)?)
}

/// Adds rows to the ledger.
pub(super) fn write(warehouse: &Warehouse, entries: &[Entry]) -> Result<()> {
    match entries.last() {
        Some(last) => warehouse.append(TABLE, &batch(entries)?, Value::Null, last.at_micros),
        None => Ok(()),
    }
}

/// Makes the ledger readable, with rows that are not in its table yet.
pub(super) fn add_ledger(warehouse: &Warehouse, session: &Session, untold: &[Entry]) -> Result<()> {
    let untold = batch(untold)?;
    let schema = untold.schema();
    let mut rows = vec![untold];
    if let Some(table) = warehouse.snapshot(TABLE)? {
        session.add_table(TABLE, &table)?;
        rows.extend(session.query(&format!("select * from {TABLE}"))?.1);
    }
    Ok(session.add_batches(TABLE, schema, rows)?)
}

/// The value that the ledger told last of each figure.
pub(super) fn last_told(
    warehouse: &Warehouse,
    engine: &Embedded,
) -> Result<BTreeMap<Figure, Option<String>>> {
    let mut told = BTreeMap::new();
    let Some(table) = warehouse.snapshot(TABLE)? else { return Ok(told) };
    let session = engine.session()?;
    session.add_table(TABLE, &table)?;
    let (_, batches) = session.query(&format!(
        "select table_name, date, dimensions, measure, to_value from {TABLE} order by seq, restated_at"
    ))?;
    for rows in &batches {
        let days = rows.column(1).as_primitive::<Date32Type>();
        let text = |column: usize, row: usize| {
            let texts = rows.column(column).as_string_view();
            texts.is_valid(row).then(|| texts.value(row).to_owned())
        };
        for row in 0..rows.num_rows() {
            let name = |column| text(column, row).unwrap_or_default();
            told.insert((name(0), days.value(row), name(2), name(3)), text(4, row));
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: &str, to: &str) -> Restated {
        Restated {
            table: "mart".into(),
            day: 1,
            dimensions: "{}".into(),
            measure: "revenue".into(),
            from: Some(from.into()),
            to: Some(to.into()),
            cause: Cause::LateEvent,
        }
    }

    #[test]
    fn changes_of_a_figure_become_one() {
        assert_eq!(merged(vec![change("1", "2"), change("2", "5")]), [change("1", "5")]);
        assert_eq!(merged(vec![change("1", "2"), change("2", "1")]), []);
    }
}
