//! Arrow rows as JSON: amounts as exact texts, counts as numbers.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::live::arrow_fault;

/// A row by column name.
pub(crate) type Row = Map<String, Value>;

/// Rows as JSON objects. Decimals become texts without trailing zeros, dates `2026-09-01`.
pub(crate) fn rows(batches: &[RecordBatch]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for batch in batches {
        let start = rows.len();
        rows.resize_with(start + batch.num_rows(), Map::new);
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            for (row, value) in values(column)?.into_iter().enumerate() {
                rows[start + row].insert(field.name().clone(), value);
            }
        }
    }
    Ok(rows)
}

fn values(column: &ArrayRef) -> Result<Vec<Value>> {
    Ok(match column.data_type() {
        DataType::Null => vec![Value::Null; column.len()],
        DataType::Boolean => column.as_boolean().iter().map(|value| json!(value)).collect(),
        kind if kind.is_integer() => {
            let whole = cast(column, &DataType::Int64).map_err(arrow_fault)?;
            whole.as_primitive::<Int64Type>().iter().map(|value| json!(value)).collect()
        }
        kind if kind.is_floating() => {
            let float = cast(column, &DataType::Float64).map_err(arrow_fault)?;
            float.as_primitive::<Float64Type>().iter().map(|value| json!(value)).collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let all = lists.iter().map(|list| match list {
                Some(list) => Ok(Value::Array(values(&list)?)),
                None => Ok(json!([])),
            });
            all.collect::<Result<_>>()?
        }
        kind => {
            let is_decimal = matches!(kind, DataType::Decimal128(..));
            let options = FormatOptions::new();
            let cells = ArrayFormatter::try_new(column.as_ref(), &options).map_err(arrow_fault)?;
            (0..column.len())
                .map(|row| match column.is_null(row) {
                    true => Value::Null,
                    false if is_decimal => trimmed(&cells.value(row).to_string()).into(),
                    false => cells.value(row).to_string().into(),
                })
                .collect()
        }
    })
}

/// A decimal without zeros that say nothing: `84.900000` → `84.9`.
fn trimmed(text: &str) -> String {
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if text == "-0" { "0".into() } else { text.to_owned() }
}

/// An amount as text; nothing is `0`.
pub(super) fn amount(value: Option<&Value>) -> Value {
    match value {
        None | Some(Value::Null) => "0".into(),
        Some(Value::Number(number)) => number.to_string().into(),
        Some(other) => other.clone(),
    }
}

/// An amount in millionths, for comparing sums.
pub(super) fn micros(value: &Value) -> i128 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text),
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part: String = part.chars().chain("000000".chars()).take(6).collect();
    let all = whole.parse::<i128>().unwrap_or(0) * 1_000_000 + part.parse::<i128>().unwrap_or(0);
    if negative { -all } else { all }
}

/// A text of a row; empty when null.
pub(crate) fn text<'r>(row: &'r Row, name: &str) -> &'r str {
    row.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number of a row; 0 when null.
pub(crate) fn whole(row: &Row, name: &str) -> i64 {
    row.get(name).and_then(Value::as_i64).unwrap_or(0)
}

/// Some columns of a row as amounts.
pub(super) fn amounts(row: Option<&Row>, names: &[&str]) -> Value {
    let pairs =
        names.iter().map(|name| ((*name).to_owned(), amount(row.and_then(|row| row.get(*name)))));
    Value::Object(pairs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_every_digit_that_says_something() {
        let given = ["84.900000", "1284", "0.000000", "-0.50", "100"];
        assert_eq!(given.map(trimmed), ["84.9", "1284", "0", "-0.5", "100"]);
    }

    #[test]
    fn amounts_compare_in_millionths() {
        assert_eq!(micros(&json!("84.9")), 84_900_000);
        assert_eq!(micros(&json!("-0.5")), -500_000);
        assert_eq!(micros(&json!(7)), 7_000_000);
    }
}
