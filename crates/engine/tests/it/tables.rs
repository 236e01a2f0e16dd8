//! Tables change from one version to the next, whole or not at all.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch};
use clicktrail_engine::EngineError;
use clicktrail_engine::delta::{
    Commit, DeltaTable, Removal, Snapshot, TableWriter, WriterSettings, stored_schema,
};

use super::{rows, session};

fn batch(days: &[i32], values: &[i64]) -> RecordBatch {
    let days: ArrayRef = Arc::new(Date32Array::from(days.to_vec()));
    let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("day", days), ("x", values)]).unwrap()
}

fn write(
    table: &DeltaTable,
    base: Option<&Snapshot>,
    rows: &RecordBatch,
    removed: Removal,
) -> Result<Snapshot, EngineError> {
    let schema = stored_schema(&rows.schema()).unwrap();
    let settings =
        WriterSettings { partition_columns: vec!["day".into()], ..WriterSettings::default() };
    let mut writer =
        TableWriter::new(table, base, Arc::clone(&schema), settings, Arc::default()).unwrap();
    writer.write(rows).unwrap();
    let commit = Commit {
        schema,
        partition_columns: vec!["day".into()],
        added: writer.finish().unwrap(),
        removed,
        note: serde_json::json!({"from": "test"}),
        at_millis: 0,
    };
    table.commit(base, commit)
}

#[test]
fn versions_follow_each_other_and_keep_their_note() {
    let dir = tempfile::tempdir().unwrap();
    let table = DeltaTable::new("t", dir.path().join("t"));
    assert!(table.snapshot().unwrap().is_none());
    let first = write(&table, None, &batch(&[0, 0, 1], &[1, 2, 3]), Removal::Nothing).unwrap();
    assert_eq!((first.version, first.rows(), first.files.len()), (0, 3, 2));
    let gone = first
        .files
        .iter()
        .find(|file| file.partition["day"].as_deref() == Some("1970-01-02"))
        .unwrap();
    let second =
        write(&table, Some(&first), &batch(&[1], &[9]), Removal::Files(vec![gone.path.clone()]))
            .unwrap();
    let read = table.snapshot().unwrap().unwrap();
    assert_eq!((read.version, read.rows()), (1, 3));
    assert_eq!(read.files, second.files);
    assert_eq!(read.note["from"], "test");
    let (session, _spill) = session();
    session.add_table("t", &read).unwrap();
    assert_eq!(
        rows(&session, "select day, x from t order by x"),
        ["1970-01-01|1", "1970-01-01|2", "1970-01-02|9"]
    );
    // A reader that began before still sees what it saw.
    session.add_table("t", &first).unwrap();
    assert_eq!(rows(&session, "select sum(x) from t"), ["6"]);
}

#[test]
fn two_writers_of_one_version_do_not_both_win() {
    let dir = tempfile::tempdir().unwrap();
    let table = DeltaTable::new("t", dir.path().join("t"));
    let first = write(&table, None, &batch(&[0], &[1]), Removal::Nothing).unwrap();
    write(&table, Some(&first), &batch(&[0], &[2]), Removal::Everything).unwrap();
    let late = write(&table, Some(&first), &batch(&[0], &[3]), Removal::Everything);
    assert!(matches!(late, Err(EngineError::Conflict { version: 1, .. })), "{late:?}");
}

#[test]
fn a_writer_that_never_commits_leaves_no_trace_after_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let table = DeltaTable::new("t", dir.path().join("t"));
    let first = write(&table, None, &batch(&[0], &[1]), Removal::Nothing).unwrap();
    let stray = dir.path().join("t/day=1970-01-01/part-00001-00777.parquet");
    std::fs::write(&stray, b"half a file").unwrap();
    assert_eq!(table.snapshot().unwrap().unwrap().rows(), 1);
    table.discard_unnamed(Some(&first));
    assert!(!stray.exists());
    assert_eq!(table.snapshot().unwrap().unwrap().rows(), 1);
}

#[test]
fn a_damaged_log_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let table = DeltaTable::new("t", dir.path().join("t"));
    let first = write(&table, None, &batch(&[0], &[1]), Removal::Nothing).unwrap();
    write(&table, Some(&first), &batch(&[0], &[2]), Removal::Everything).unwrap();
    let log = dir.path().join("t/_delta_log/00000000000000000000.json");
    std::fs::write(&log, "{\"metaData\": ").unwrap();
    let error = table.snapshot().unwrap_err().to_string();
    assert!(
        error.contains("`t` is damaged") && error.contains("00000000000000000000.json:1"),
        "{error}"
    );
    std::fs::remove_file(&log).unwrap();
    let error = table.snapshot().unwrap_err().to_string();
    assert!(error.contains("version 0 is missing"), "{error}");
}

/// Whatever bit of a table's files or log flips: it is noticed, or the table reads as it was written.
#[test]
fn every_flipped_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let table = DeltaTable::new("t", dir.path().join("t"));
    let first = write(&table, None, &batch(&[0, 1], &[1, 2]), Removal::Nothing).unwrap();
    write(&table, Some(&first), &batch(&[0], &[3]), Removal::Nothing).unwrap();
    let whole = table.snapshot().unwrap().unwrap();
    whole.verify().unwrap();
    let names: Vec<_> = whole.files.iter().map(|file| file.path.clone()).collect();
    let log = ["_delta_log/00000000000000000000.json", "_delta_log/00000000000000000001.json"];
    let mut noticed = 0;
    for name in names.iter().map(String::as_str).chain(log) {
        let path = table.root().join(name);
        let bytes = std::fs::read(&path).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &other).unwrap();
            let read = table.snapshot().and_then(|read| {
                let read = read.expect("it has versions");
                read.verify().map(|()| read)
            });
            match read {
                Err(error) => {
                    assert!(
                        matches!(error, EngineError::Damaged { .. }),
                        "{name}, bit {bit}: {error}"
                    );
                    noticed += 1;
                }
                // What no reader goes by: the time of a commit, who wrote it.
                Ok(read) => {
                    assert!(name.ends_with(".json"), "{name}, bit {bit}");
                    assert_eq!(
                        (read.files, read.note),
                        (whole.files.clone(), whole.note.clone()),
                        "{name}, bit {bit}"
                    );
                    assert_eq!(read.schema, whole.schema);
                }
            }
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(noticed > 0);
    std::fs::remove_file(table.root().join(&names[0])).unwrap();
    let error = whole.verify().unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}
