//! What patterns find.

use std::path::Path;

use clicktrail_ingest::{ExportFile, Kind, discover};
use tempfile::tempdir;

use super::file;

fn found(patterns: &[&str], base: &Path) -> Vec<String> {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    let name = |file: ExportFile| {
        file.path.strip_prefix(base).unwrap().to_string_lossy().replace('\\', "/")
    };
    discover(&patterns, base).unwrap().into_iter().map(name).collect()
}

#[test]
fn files_folders_and_globs_give_each_file_once() {
    // The base folder's own name must not be taken for a glob.
    let root = tempdir().unwrap();
    let base = root.path().join("shop [eu]");
    std::fs::create_dir_all(base.join("old/deep")).unwrap();
    std::fs::create_dir_all(base.join("_delta_log")).unwrap();
    for name in [
        "events_20210102.parquet",
        "events_20210101.ndjson.gz",
        "events_intraday_20210103.json",
        "notes.txt",
        ".events_20210104.parquet.partial",
        "_delta_log/0.json",
        "old/deep/events_20201231.parquet",
    ] {
        file(&base, name, "x");
    }
    let all = [
        "events_20210101.ndjson.gz",
        "events_20210102.parquet",
        "events_intraday_20210103.json",
        "old/deep/events_20201231.parquet",
    ];
    assert_eq!(found(&["."], &base), all);
    assert_eq!(found(&["events_*", "./events_20210102.parquet"], &base), all[..3]);
    assert_eq!(found(&["**/events_2020*"], &base), all[3..]);
    assert_eq!(found(&["events_????????.*"], &base), all[..2]);
    let files = discover(&["events_intraday_*".to_owned()], &base).unwrap();
    assert_eq!((files[0].kind, files[0].bytes), (Kind::Intraday, 1));
    assert!(files[0].modified > 0);
}

#[test]
fn days_of_a_file_without_a_day_in_its_name() {
    let folder = tempdir().unwrap();
    let row =
        |day| format!("{{\"event_date\":{day},\"event_timestamp\":1,\"event_name\":\"e\"}}\n");
    let text = [row("\"20210101\""), row("20210102"), row("null"), "{\n".to_owned()].concat();
    let path = file(folder.path(), "rows.ndjson", text);
    let days = ExportFile::at(&path).unwrap().days().unwrap();
    assert_eq!(days.into_iter().collect::<Vec<_>>(), ["20210101", "20210102"]);
}
