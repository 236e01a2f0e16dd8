//! Every error as the user sees it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clicktrail_ingest::{IngestError, ReadOptions, discover};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use tempfile::tempdir;

use super::{file, read};

/// The error as the command line prints it, the temporary folder as `<dir>`.
fn shown(error: &IngestError, folder: &Path) -> String {
    let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let text = format!("[{}] {:?}: {error}{hint}", error.code(), error.kind());
    text.replace(&folder.display().to_string(), "<dir>")
}

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    out
}

fn export() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("event_timestamp", Arc::new(Int64Array::from_iter_values(0..500))),
        ("event_name", Arc::new(StringArray::from_iter_values((0..500).map(|n| format!("e{n}"))))),
    ]
}

#[test]
fn broken_files() {
    let folder = tempdir().unwrap();
    let whole = parquet(export());
    let text = |name: &'static str, array: ArrayRef| {
        let mut columns = export();
        columns.push((name, array));
        parquet(columns)
    };
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["twelve"; 500]));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    for number in 0..5_000 {
        writeln!(packed, "{{\"event_timestamp\":{number},\"event_name\":\"e{number}\"}}").unwrap();
    }
    let packed = packed.finish().unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() - 30] ^= 0xff;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty.parquet", Vec::new()),
        ("text.parquet", b"{\"event_name\":\"e\"}\n".to_vec()),
        ("cut.parquet", whole[..whole.len() - 100].to_vec()),
        ("footer.parquet", [&whole[..4], &whole[whole.len() - 40..]].concat()),
        ("other.parquet", parquet(vec![("name", Arc::clone(&strings))])),
        ("params.parquet", text("event_params", Arc::clone(&strings))),
        ("value.parquet", text("batch_page_id", Arc::clone(&strings))),
        ("cut.ndjson.gz", packed[..packed.len() / 2].to_vec()),
        ("plain.ndjson.gz", b"{}\n{}\n{}\n{}\n{}\n{}\n".to_vec()),
        ("utf8.ndjson", b"{\"event_timestamp\":1,\"event_name\":\"\xff\"}\n".to_vec()),
        ("json.ndjson", b"\n{\"event_timestamp\":1,\"event_name\":\"e\"\n".to_vec()),
        ("type.ndjson", b"{\"event_timestamp\":1,\"event_name\":\"e\",\"geo\":[1]}\n".to_vec()),
        ("int.ndjson", b"{\"event_timestamp\":\"soon\",\"event_name\":\"e\"}\n".to_vec()),
        ("name.ndjson", b"{\"event_timestamp\":\"1\",\"event_name\":null}\n".to_vec()),
    ];
    let mut out = Vec::new();
    for (name, bytes) in cases {
        let error = read(&file(folder.path(), name, bytes), &ReadOptions::default()).unwrap_err();
        out.push(shown(&error, folder.path()));
    }
    insta::assert_snapshot!(out.join("\n\n"));
}

#[test]
fn missing_files() {
    let folder = tempdir().unwrap();
    file(folder.path(), "events_20210131.parquet", "x");
    file(folder.path(), "table.csv", "x");
    std::fs::create_dir(folder.path().join("exports")).unwrap();
    let mut out = Vec::new();
    let patterns = [
        "events_20210113.parquet",
        "export/events_*.parquet",
        "exports",
        "???.xyz",
        "a[",
        "table.csv",
    ];
    for pattern in patterns {
        let error = discover(&[pattern.to_owned()], folder.path()).unwrap_err();
        out.push(shown(&error, folder.path()));
    }
    let gone = clicktrail_ingest::ExportFile::at(&folder.path().join("a.ndjson")).unwrap_err();
    out.push(shown(&gone, folder.path()));
    insta::assert_snapshot!(out.join("\n\n"));
}

#[test]
fn unreadable_without_permission() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempdir().unwrap();
    let path = file(folder.path(), "a.parquet", parquet(export()));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let error = read(&path, &ReadOptions::default()).unwrap_err();
    assert_eq!(error.code(), "E2004");
    assert!(error.hint().unwrap().contains("chmod"));
}
