//! Live equals batch: whatever the order, the cuts and the copies, at every prefix.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use clicktrail_ingest::ExportFile;
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_pipeline::{Live, Settings, SystemClock};

use crate::support::{Quiet, Shop, shown};

/// Tables that follow the stream.
pub(crate) const LIVE: [&str; 9] = [
    "int_users",
    "int_sessions",
    "int_touchpoints",
    "int_conversions",
    "int_journeys",
    "mart_first_click",
    "mart_last_click",
    "fct_credits",
    "mart_attribution_daily",
];

/// Some instant on 2026-11-23.
pub(crate) const NOW: i64 = 1_795_449_600_000_000;

pub(crate) fn live(shop: &Shop) -> Live {
    let settings = Settings { load: shop.load(), memory_bytes: None };
    let live = Live::open(settings, Arc::new(SystemClock::default())).unwrap();
    live.start(&Quiet).unwrap();
    live
}

fn demo_rows(events: u64) -> RecordBatch {
    let folder = tempfile::tempdir().unwrap();
    let settings = GenerateSettings {
        days: 5,
        events,
        ..GenerateSettings::starting("2026-11-18".parse().unwrap())
    };
    let report = generate(&settings, folder.path(), &|_, _| {}).unwrap();
    let mut batches = Vec::new();
    for file in report.files {
        let file = ExportFile::at(&file).unwrap();
        batches.extend(
            clicktrail_ingest::open(&file, &Default::default()).unwrap().map(Result::unwrap),
        );
    }
    concat_batches(&clicktrail_ingest::schema::events(), &batches).unwrap()
}

pub(crate) fn table(live: &Live, name: &str) -> Vec<String> {
    let rows = live.query(&format!("select * from {name}")).unwrap();
    let mut rows: Vec<String> = rows.result.batches.iter().flat_map(shown).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn events_one_by_one_equal_a_build() {
    let rows = demo_rows(600);
    let (streamed, built) =
        (Shop::demo().with("ga4_export", ""), Shop::demo().with("ga4_export", ""));
    let one = live(&streamed);
    let mut start = 0;
    let mut seq = 0;
    for size in [1, 2, 5, 1, 40, 100, 3].iter().cycle() {
        let length = (*size).min(rows.num_rows() - start);
        if length == 0 {
            break;
        }
        seq += 1;
        one.apply(&rows.slice(start, length), seq, NOW).unwrap();
        start += length;
    }
    let other = live(&built);
    other.store(std::slice::from_ref(&rows), 1).unwrap();
    other.start(&Quiet).unwrap();
    for name in LIVE {
        let expected = built.rows(&format!("select * from {name}"));
        assert_eq!(table(&other, name), expected, "{name}, loaded");
        assert_eq!(table(&one, name), expected, "{name}, followed");
        assert!(!expected.is_empty(), "{name}");
    }
    assert_eq!(one.audit(7, 200).unwrap(), 0);
}
