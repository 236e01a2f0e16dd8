//! Rows as BigQuery writes them (`{"f": [{"v": …}]}`) → Arrow, and Arrow → JSON lines.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use serde_json::{Map, Number, Value};

use super::types::arrow_schema;
use crate::error::{EngineError, Result};

/// Rows of an answer as one batch.
pub(super) fn batch(fields: &[Value], rows: &[Value]) -> Result<(SchemaRef, RecordBatch)> {
    let schema = arrow_schema(fields);
    let plain: Vec<Value> = rows.iter().map(|row| record(fields, row)).collect();
    if schema.fields().is_empty() || plain.is_empty() {
        return Ok((schema.clone(), RecordBatch::new_empty(schema)));
    }
    let mut decoder = ReaderBuilder::new(schema.clone())
        .with_batch_size(plain.len())
        .build_decoder()
        .map_err(internal)?;
    decoder.serialize(&plain).map_err(internal)?;
    let batch = decoder.flush().map_err(internal)?;
    Ok((schema.clone(), batch.unwrap_or_else(|| RecordBatch::new_empty(schema))))
}

/// One row or struct as an object.
fn record(fields: &[Value], row: &Value) -> Value {
    let cells = row["f"].as_array().map(Vec::as_slice).unwrap_or_default();
    let members = fields.iter().zip(cells).map(|(field, cell)| {
        let name = field["name"].as_str().unwrap_or_default().to_owned();
        (name, value(field, &cell["v"]))
    });
    Value::Object(members.collect::<Map<_, _>>())
}

fn value(field: &Value, cell: &Value) -> Value {
    if field["mode"].as_str() == Some("REPEATED") {
        let items = cell.as_array().map(Vec::as_slice).unwrap_or_default();
        return Value::Array(items.iter().map(|item| single(field, &item["v"])).collect());
    }
    single(field, cell)
}

fn single(field: &Value, cell: &Value) -> Value {
    let Some(text) = cell.as_str() else {
        return match cell {
            Value::Object(_) => {
                let inner = field["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
                record(inner, cell)
            }
            other => other.clone(),
        };
    };
    match field["type"].as_str().unwrap_or_default() {
        "BOOLEAN" | "BOOL" => Value::Bool(text.eq_ignore_ascii_case("true")),
        "INTEGER" | "INT64" => text.parse::<i64>().map_or_else(|_| cell.clone(), Value::from),
        "TIMESTAMP" => micros(text).map_or_else(|| cell.clone(), Value::from),
        "FLOAT" | "FLOAT64" => text
            .parse::<f64>()
            .ok()
            .and_then(Number::from_f64)
            .map_or_else(|| cell.clone(), Value::Number),
        _ => cell.clone(),
    }
}

/// Microseconds of a timestamp: a whole number of them, or seconds with a fraction.
fn micros(text: &str) -> Option<i64> {
    if let Ok(micros) = text.parse::<i64>() {
        return Some(micros);
    }
    if text.contains(['E', 'e']) {
        let seconds: f64 = text.parse().ok()?;
        return Some((seconds * 1e6).round() as i64);
    }
    let (whole, fraction) = text.split_once('.')?;
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let part: i64 = digits.parse().ok()?;
    let part = if whole.starts_with('-') { -part } else { part };
    seconds.checked_mul(1_000_000)?.checked_add(part)
}

/// Batches as one JSON object a line, as load jobs and streamed rows take them.
///
/// # Errors
/// A type that has no JSON.
pub fn json_rows(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(false)
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.6f".into())
        .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.6fZ".into())
        .build::<_, LineDelimited>(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(internal)?;
    }
    writer.finish().map_err(internal)?;
    Ok(writer.into_inner())
}

/// JSON objects as one batch of a schema.
///
/// # Errors
/// The first object that does not fit, by its place from 1 on.
pub fn json_batch(schema: &SchemaRef, lines: &[Vec<u8>]) -> Result<RecordBatch> {
    let read = |lines: &[Vec<u8>]| {
        let builder = ReaderBuilder::new(schema.clone()).with_strict_mode(true);
        let mut decoder = builder.with_batch_size(lines.len().max(1)).build_decoder()?;
        for line in lines {
            decoder.decode(line)?;
            decoder.decode(b"\n")?;
        }
        let batch = decoder.flush()?;
        Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(schema.clone())))
    };
    read(lines).map_err(|error: ArrowError| {
        let bad = lines.iter().enumerate().find_map(|(index, line)| {
            read(std::slice::from_ref(line)).err().map(|error| (index + 1, error))
        });
        let (place, error) = bad.unwrap_or((1, error));
        EngineError::Feed(format!(
            "event {place} of {} is not as the export has it: {error}",
            lines.len()
        ))
    })
}

fn internal(error: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("rows of BigQuery: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_become_columns_of_their_types() {
        let fields = json!([
            {"name": "i", "type": "INTEGER"}, {"name": "n", "type": "NUMERIC"},
            {"name": "b", "type": "BOOLEAN"}, {"name": "d", "type": "DATE"},
            {"name": "t", "type": "TIMESTAMP"}, {"name": "l", "type": "DATETIME"},
            {"name": "p", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "key", "type": "STRING"}, {"name": "f", "type": "FLOAT"}]},
        ]);
        let rows = json!([
            {"f": [{"v": "9007199254740993"}, {"v": "-1.5"}, {"v": "true"}, {"v": "2026-01-02"},
                {"v": "1608344593865689"}, {"v": "2026-01-02T03:04:05.000006"},
                {"v": [{"v": {"f": [{"v": "a"}, {"v": "0.5"}]}}]}]},
            {"f": [{"v": null}, {"v": null}, {"v": null}, {"v": null}, {"v": "1608344593.865689"},
                {"v": null}, {"v": []}]},
        ]);
        let (_, batch) = batch(fields.as_array().unwrap(), rows.as_array().unwrap()).unwrap();
        let text = String::from_utf8(json_rows(&[batch]).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with(r#"{"i":9007199254740993,"n":-1.500000000,"b":true,"#),
            "{text}"
        );
        assert!(
            lines[0]
                .contains(r#""t":"2020-12-19T02:23:13.865689Z","l":"2026-01-02T03:04:05.000006""#)
        );
        assert!(lines[0].ends_with(r#""p":[{"key":"a","f":0.5}]}"#), "{text}");
        assert_eq!(lines[1], r#"{"t":"2020-12-19T02:23:13.865689Z","p":[]}"#);
    }

    #[test]
    fn objects_become_rows_and_the_odd_one_is_told() {
        let fields = json!([{"name": "i", "type": "INTEGER"}, {"name": "p", "type": "RECORD", "mode": "REPEATED", "fields": [
            {"name": "key", "type": "STRING"}]}]);
        let schema = arrow_schema(fields.as_array().unwrap());
        let lines =
            |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        let good = lines(&[r#"{"i": "9007199254740993", "p": [{"key": "a"}]}"#, "{}"]);
        let batch = json_batch(&schema, &good).unwrap();
        let text = String::from_utf8(json_rows(&[batch]).unwrap()).unwrap();
        assert_eq!(text, "{\"i\":9007199254740993,\"p\":[{\"key\":\"a\"}]}\n{}\n");
        for bad in [r#"{"other": 1}"#, r#"{"i": "x"}"#, r#"{"i": 1"#] {
            let error = json_batch(&schema, &lines(&["{}", bad, "{}"])).unwrap_err().to_string();
            assert!(error.starts_with("event 2 of 3 "), "{error}");
        }
        assert_eq!(json_batch(&schema, &[]).unwrap().num_rows(), 0);
    }
}
