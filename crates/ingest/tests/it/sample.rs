//! The real export sample, where present.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use clicktrail_ingest::{ExportFile, ReadOptions, discover, schema};

use super::{lines, only, read};

pub(crate) fn sample() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
        .join("../../../shared/data/ga4_sample");
    if !folder.is_dir() {
        eprintln!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

#[test]
fn ndjson_and_parquet_of_one_day_are_equal() {
    let Some(folder) = sample() else { return };
    let options = ReadOptions::default();
    let parquet = read(&folder.join("events_20210131.parquet"), &options).unwrap();
    let ndjson = read(&folder.join("events_20210131.ndjson.gz"), &options).unwrap();
    assert_eq!(parquet.num_rows(), 26_489);
    assert_eq!(ndjson.num_rows(), 26_489);
    // Row order is not part of an export: sort both by their text.
    assert_eq!(sorted_lines(&parquet), sorted_lines(&ndjson));
    for (index, field) in schema::events().fields().iter().enumerate() {
        let (left, right) = (parquet.column(index), ndjson.column(index));
        assert_eq!(left.null_count(), right.null_count(), "nulls of {}", field.name());
    }
}

fn sorted_lines(batch: &RecordBatch) -> Vec<String> {
    let mut lines = lines(batch);
    lines.sort();
    lines
}

#[test]
fn all_days_hold_the_published_number_of_rows() {
    let Some(folder) = sample() else { return };
    let files = discover(&["events_*.parquet".to_owned()], &folder).unwrap();
    assert_eq!(files.len(), 33);
    let rows = |file: &ExportFile| read(&file.path, &only(&["event_name"])).unwrap().num_rows();
    let rows: usize = files.iter().map(rows).sum();
    assert_eq!(rows, 1_138_244);
}

#[test]
fn odd_types_of_the_sample_become_canonical() {
    let Some(folder) = sample() else { return };
    let file = ExportFile::at(&folder.join("events_20210101.parquet")).unwrap();
    assert_eq!(file.days().unwrap().into_iter().collect::<Vec<_>>(), ["20210101"]);
    let unnamed = ExportFile { day: None, ..file.clone() };
    assert_eq!(unnamed.days().unwrap(), file.days().unwrap());
    let batch = read(&file.path, &ReadOptions::default()).unwrap();
    assert_eq!(batch.schema(), schema::events());
    assert!(lines(&batch.slice(0, 1))[0].contains(r#""stream_id":"2100450278""#));
}

#[test]
fn the_ndjson_writer_writes_what_bigquery_extracts() {
    use std::io::Read as _;
    let Some(folder) = sample() else { return };
    let path = folder.join("events_20210131.ndjson.gz");
    let mut original = String::new();
    let packed = std::fs::File::open(&path).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut original).unwrap();
    let written = lines(&read(&path, &ReadOptions::default()).unwrap());
    assert_eq!(original.lines().count(), written.len());
    for (number, (left, right)) in original.lines().zip(&written).enumerate() {
        let left: serde_json::Value = serde_json::from_str(left).unwrap();
        let right: serde_json::Value = serde_json::from_str(right).unwrap();
        assert_eq!(left, right, "line {}", number + 1);
    }
}
