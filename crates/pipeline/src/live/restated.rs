//! Figures of past days that changed: what, from, to, and why.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Date32Type, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clicktrail_engine::delta::{Commit, Removal, TableWriter, WriterSettings, stored_schema};
use serde_json::{Map, Value};

use super::rows::arrow_fault;
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

/// A figure's place: day, dimensions, name.
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

fn is_measure(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn figures(rows: &RecordBatch, today: i32) -> Result<Figures> {
    let mut figures = Figures::new();
    let schema = rows.schema();
    let Some(day_column) =
        schema.fields().iter().position(|field| field.data_type() == &DataType::Date32)
    else {
        return Ok(figures);
    };
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

/// Adds rows to the ledger.
pub(crate) fn write(
    warehouse: &Warehouse,
    restated: &[Restated],
    seq: u64,
    at_micros: i64,
) -> Result<()> {
    if restated.is_empty() {
        return Ok(());
    }
    let texts = |value: &dyn Fn(&Restated) -> Option<String>| {
        Arc::new(restated.iter().map(value).collect::<StringViewArray>())
    };
    let days: arrow::array::Date32Array = restated.iter().map(|row| Some(row.day)).collect();
    let at = crate::clock::rfc3339(at_micros);
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
    let seq = i64::try_from(seq).unwrap_or(i64::MAX);
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            texts(&|_| Some(at.clone())),
            Arc::new(Int64Array::from(vec![seq; restated.len()])),
            texts(&|row| Some(row.table.clone())),
            Arc::new(days),
            texts(&|row| Some(row.dimensions.clone())),
            texts(&|row| Some(row.measure.clone())),
            texts(&|row| row.from.clone()),
            texts(&|row| row.to.clone()),
            texts(&|row| Some(row.cause.as_str().to_owned())),
        ],
    )
    .map_err(arrow_fault)?;
    let table = warehouse.table(TABLE);
    let base = table.snapshot()?;
    let schema = stored_schema(&schema)?;
    let mut writer = TableWriter::new(
        &table,
        base.as_ref(),
        Arc::clone(&schema),
        WriterSettings::default(),
        Arc::default(),
    )?;
    writer.write(&batch)?;
    let commit = Commit {
        schema,
        partition_columns: Vec::new(),
        added: writer.finish()?,
        removed: Removal::Nothing,
        note: Value::Null,
        at_millis: at_micros / 1000,
    };
    table.commit(base.as_ref(), commit)?;
    Ok(())
}
