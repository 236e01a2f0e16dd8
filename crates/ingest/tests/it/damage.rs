//! Damaged bytes give errors or rejects, never a panic.

use std::sync::LazyLock;

use chrono::NaiveDate;
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_ingest::{Format, ReadOptions};
use proptest::prelude::*;
use tempfile::tempdir;

use super::{file, read, tolerant};

fn generated(format: Format) -> Vec<u8> {
    let folder = tempdir().unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
    let settings =
        GenerateSettings { days: 1, events: 150, format, ..GenerateSettings::starting(day) };
    let report = generate(&settings, folder.path(), &|_, _| {}).unwrap();
    std::fs::read(&report.files[0]).unwrap()
}

static PARQUET: LazyLock<Vec<u8>> = LazyLock::new(|| generated(Format::Parquet));
static NDJSON: LazyLock<Vec<u8>> = LazyLock::new(|| generated(Format::Ndjson { gzip: false }));

/// Reads damaged bytes; what comes out does not matter, only that it comes out.
fn survives(name: &str, bytes: &[u8]) {
    let folder = tempdir().unwrap();
    let path = file(folder.path(), name, bytes);
    let _ = read(&path, &tolerant(u64::MAX));
    let _ = clicktrail_ingest::ExportFile::at(&path).unwrap().days();
}

fn flipped(original: &[u8], flips: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for (index, bits) in flips {
        bytes[index.index(original.len())] ^= bits;
    }
    bytes
}

fn flips() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    })]

    #[test]
    fn flipped_parquet(flips in flips()) {
        survives("rows.parquet", &flipped(&PARQUET, &flips));
    }

    /// The footer is a small part of the bytes and the most fragile one.
    #[test]
    fn flipped_parquet_footer(flips in flips()) {
        let length = PARQUET.len();
        let size = u32::from_le_bytes(PARQUET[length - 8..length - 4].try_into().unwrap()) as usize;
        let (body, footer) = PARQUET.split_at(length - 8 - size);
        survives("rows.parquet", &[body, &flipped(footer, &flips)].concat());
    }

    #[test]
    fn cut_parquet(length in any::<prop::sample::Index>()) {
        survives("rows.parquet", &PARQUET[..length.index(PARQUET.len())]);
    }

    #[test]
    fn flipped_ndjson(flips in flips()) {
        let folder = tempdir().unwrap();
        let bytes = flipped(&NDJSON, &flips);
        let options = ReadOptions { batch_rows: 7, ..tolerant(u64::MAX) };
        let batch = read(&file(folder.path(), "rows.ndjson", &bytes), &options).unwrap();
        let texts = bytes.split(|byte| *byte == b'\n');
        let texts = texts.filter(|line| !line.trim_ascii().is_empty()).count();
        prop_assert_eq!(batch.num_rows() + options.rejects.len() as usize, texts);
    }

    #[test]
    fn any_bytes_as_ndjson(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives("rows.ndjson", &bytes);
        survives("rows.ndjson.gz", &bytes);
        survives("rows.parquet", &bytes);
    }

    #[test]
    fn json_of_any_shape(
        text in "(\\{|\\}|\\[|\\]|,|:|\"event_params\"|\"items\"|\"key\"|\"value\"|null|1){0,40}",
    ) {
        survives("rows.ndjson", text.as_bytes());
        let row = format!("{{\"event_name\":\"e\",\"event_timestamp\":1,\"items\":[{{{text}}}]}}");
        survives("rows.ndjson", row.as_bytes());
    }
}
