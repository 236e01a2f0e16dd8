//! A projection gives the same values as reading everything.

use arrow::array::{Array, AsArray};
use chrono::NaiveDate;
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_ingest::{Format, ReadOptions, schema};
use tempfile::tempdir;

use super::{lines, only, read};

#[test]
fn projected_and_whole_reads_agree() {
    let folder = tempdir().unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
    for format in [Format::Parquet, Format::Ndjson { gzip: true }] {
        let settings =
            GenerateSettings { days: 1, events: 2_000, format, ..GenerateSettings::starting(day) };
        let report = generate(&settings, folder.path(), &|_, _| {}).unwrap();
        let whole = read(&report.files[0], &ReadOptions::default()).unwrap();
        let part = read(&report.files[0], &only(&["items.price", "event_name", "geo"])).unwrap();
        assert_eq!(part.schema(), schema::project(&["items.price", "event_name", "geo"]).unwrap());
        let prices = |batch: &arrow::array::RecordBatch| {
            let items = batch.column_by_name("items").unwrap().as_list::<i32>();
            let price = items.values().as_struct().column_by_name("price").unwrap();
            (items.offsets().to_vec(), price.to_data())
        };
        assert_eq!(prices(&whole), prices(&part));
        assert_eq!(whole.column_by_name("geo"), part.column_by_name("geo"));
        assert_eq!(lines(&part).len(), whole.num_rows());
    }
}

#[test]
fn a_missing_leaf_keeps_the_lengths_of_its_list() {
    let folder = tempdir().unwrap();
    let row = r#"{"event_timestamp":"5","event_name":"e","items":[{"item_id":"a"},{}]}"#;
    let path = super::file(folder.path(), "a.ndjson", row);
    let batch = read(&path, &only(&["items.item_params.key"])).unwrap();
    assert_eq!(lines(&batch), [r#"{"items":[{},{}]}"#]);
}

#[test]
fn a_file_without_any_wanted_column_still_has_its_rows() {
    let folder = tempdir().unwrap();
    let row = r#"{"event_timestamp":"5","event_name":"e"}"#;
    let path = super::file(folder.path(), "a.ndjson", format!("{row}\n{row}\n"));
    assert_eq!(read(&path, &only(&["publisher"])).unwrap().num_rows(), 2);
    assert_eq!(read(&path, &only(&[])).unwrap().num_rows(), 2);
}
