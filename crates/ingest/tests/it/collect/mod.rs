//! Requests to rows: tables of cases, and no bytes that break a parser.

mod fuzz;
mod gtag;
mod measurement;
mod rows;
mod times;

use chrono_tz::America::Los_Angeles;
use clicktrail_ingest::collect::{Limits, Parsed, Reason, Receipt, decode};
use serde_json::Value;

/// Receipt of most tests: 2026-05-20 06:00:00 UTC, the evening before in Los Angeles.
const NOW: i64 = 1_779_256_800_000_000;

fn receipt() -> Receipt {
    Receipt { stream_id: Some("S1".to_owned()), ..Receipt::at(NOW, Los_Angeles) }
}

fn limits() -> Limits {
    Limits::default()
}

/// Accepted rows as columns.
fn decoded(parsed: &Parsed) -> arrow::array::RecordBatch {
    decode(parsed.accepted.iter().map(|row| row.line.as_slice()), None).unwrap()
}

/// Accepted rows as the export would have them, after a look at what always holds.
fn accepted(parsed: &Parsed) -> Vec<Value> {
    assert_eq!(parsed.malformed, None);
    consistent(parsed);
    let mut rows = Vec::new();
    clicktrail_ingest::write_ndjson_rows(&decoded(parsed), &mut rows);
    let lines = rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

/// The only row of a request.
fn only(parsed: &Parsed) -> Value {
    let mut rows = accepted(parsed);
    assert!(parsed.rejected.is_empty(), "{:?}", parsed.rejected);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// What holds for every request, whatever its bytes.
fn consistent(parsed: &Parsed) {
    let own = parsed.accepted.iter().filter(|row| !row.derived).count();
    assert_eq!(own + parsed.rejected.len(), parsed.received);
    if parsed.malformed.is_some() {
        assert_eq!((parsed.received, parsed.accepted.len()), (0, 0));
    }
    let lines: Vec<&[u8]> = parsed.accepted.iter().map(|row| row.line.as_slice()).collect();
    assert!(lines.iter().all(|line| !line.contains(&b'\n')));
    let batch = decode(lines.iter().copied(), None).unwrap();
    assert_eq!(batch.num_rows(), lines.len());
    // Names and times are what makes a row an event; days follow from times.
    for column in ["event_name", "event_timestamp", "event_date"] {
        assert_eq!(batch.column_by_name(column).unwrap().null_count(), 0);
    }
    assert_eq!(decode([parsed.payload().as_slice()], None).unwrap(), batch);
    // What was decoded and written again as the export would is the same row.
    let mut again = Vec::new();
    clicktrail_ingest::write_ndjson_rows(&batch, &mut again);
    assert_eq!(decode([again.as_slice()], None).unwrap(), batch);
    assert!(parsed.rejected.iter().all(|one| one.raw.len() <= 64_000));
}

fn reasons(parsed: &Parsed) -> Vec<(usize, Reason)> {
    assert_eq!(parsed.malformed, None);
    parsed.rejected.iter().map(|one| (one.index, one.reason)).collect()
}

/// Reason of a request that could not be read.
fn malformed(parsed: &Parsed) -> Reason {
    consistent(parsed);
    parsed.malformed.as_ref().unwrap().reason
}

/// The `value` struct of a param.
fn param<'a>(row: &'a Value, name: &str) -> &'a Value {
    let params = row["event_params"].as_array().unwrap();
    let mut found = params.iter().filter(|param| param["key"] == name);
    let value = found.next().map_or(&Value::Null, |param| &param["value"]);
    assert!(found.next().is_none(), "param {name} comes twice");
    value
}

/// Names of a row's params.
fn names(row: &Value) -> Vec<&str> {
    let params = row["event_params"].as_array().unwrap();
    params.iter().map(|param| param["key"].as_str().unwrap()).collect()
}
