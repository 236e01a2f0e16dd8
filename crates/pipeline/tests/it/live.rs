//! Live equals batch: whatever the order, the cuts and the copies, at every prefix.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, filter_record_batch};
use clicktrail_ingest::ExportFile;
use clicktrail_ingest::collect::{self, Limits, Receipt};
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_pipeline::{Live, LiveMemory, Settings, SystemClock};

use serde_json::json;

use crate::support::{Answers, Quiet, Shop, shown};

/// Tables that follow the stream.
pub(crate) const LIVE: [&str; 15] = [
    "int_users",
    "int_sessions",
    "int_touchpoints",
    "int_conversions",
    "int_journeys",
    "mart_first_click",
    "mart_last_click",
    "int_untouched",
    "int_paths",
    "fct_credits",
    "mart_attribution_daily",
    "mart_paths",
    "int_refunds",
    "fct_refunds",
    "mart_refunds_daily",
];

/// Those that a few hundred events may leave empty.
const RARE: [&str; 4] = ["int_untouched", "int_refunds", "fct_refunds", "mart_refunds_daily"];

/// Some instant on 2026-11-23.
pub(crate) const NOW: i64 = 1_795_449_600_000_000;

/// So little that nearly all rows of every table lie on disk.
pub(crate) const LITTLE_MEMORY: LiveMemory = LiveMemory {
    hot_rows: 8,
    spill_rows: 4,
    load_rows: 6,
    block_rows: 3,
    merge_rows: 500,
    parts: 3,
};

/// The same for tens of thousands of rows.
const SOME_MEMORY: LiveMemory = LiveMemory {
    hot_rows: 2_000,
    spill_rows: 100,
    load_rows: 1_000,
    block_rows: 64,
    merge_rows: 5_000,
    parts: 3,
};

pub(crate) fn live(shop: &Shop) -> Live {
    live_in(shop, LiveMemory::default())
}

pub(crate) fn live_in(shop: &Shop, memory: LiveMemory) -> Live {
    let settings = Settings { load: shop.load(), memory_bytes: None };
    let live = Live::open(settings, Arc::new(SystemClock::default())).unwrap().with_memory(memory);
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

/// Figures in the ledger, by cause.
fn told(rows: &[String]) -> Vec<&str> {
    let mut causes: Vec<&str> = rows.iter().map(String::as_str).collect();
    causes.dedup();
    causes
}

#[test]
fn a_changed_figure_is_told_once() {
    const LEDGER: &str = "select cause from restatements";
    let rows = demo_rows(600);
    let shop = Shop::demo().with("ga4_export", "");
    let one = live(&shop);
    // Every other event, so that both rounds touch every day.
    let part = |rest: usize| {
        let mask = (0..rows.num_rows()).map(|row| Some(row % 2 == rest)).collect();
        filter_record_batch(&rows, &mask).unwrap()
    };
    one.apply(&part(0), 1, NOW).unwrap();
    one.store(&[part(0)], 1).unwrap();
    one.build(&Quiet).unwrap();
    one.apply(&part(1), 2, NOW).unwrap();
    let live_rows: usize =
        one.query(LEDGER).unwrap().result.batches.iter().map(|batch| batch.num_rows()).sum();
    assert!(live_rows > 0);

    // Stored, told; a build finds the same changes and has nothing to add.
    one.store(&[part(1)], 2).unwrap();
    assert_eq!(shop.rows(LEDGER).len(), live_rows);
    one.build(&Quiet).unwrap();
    assert_eq!(told(&shop.rows(LEDGER)), ["late event"]);
    assert_eq!(shop.rows(LEDGER).len(), live_rows);
}

#[test]
fn events_one_by_one_equal_a_build() {
    let rows = demo_rows(600);
    let (streamed, built) =
        (Shop::demo().with("ga4_export", ""), Shop::demo().with("ga4_export", ""));
    let one = live_in(&streamed, LITTLE_MEMORY);
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
        assert!(!expected.is_empty() || RARE.contains(&name), "{name}");
    }
    assert_eq!(one.audit(7, 200).unwrap(), 0);
}

/// The models know the stream before its first event, so that starting to follow it changes none of them.
#[test]
fn a_start_after_a_build_builds_nothing() {
    let shop = Shop::demo();
    let settings = GenerateSettings {
        days: 3,
        events: 300,
        ..GenerateSettings::starting("2026-11-18".parse().unwrap())
    };
    generate(&settings, &shop.path("data"), &|_, _| {}).unwrap();
    shop.build_tables();
    let versions = || -> Vec<(String, usize)> {
        let log = |name: &str| shop.path("warehouse").join(name).join("_delta_log");
        let count = |name: &String| std::fs::read_dir(log(name)).unwrap().count();
        shop.tables().into_iter().map(|name| (name.clone(), count(&name))).collect()
    };
    let before = versions();
    assert!(before.iter().any(|(name, _)| name == "fct_credits"));
    let live = live(&shop);
    assert_eq!(table(&live, "fct_credits"), shop.rows("select * from fct_credits"));
    drop(live);
    assert_eq!(versions(), before);
}

/// A model that changed between two starts: what was followed with the old one is made anew with the new one.
#[test]
fn a_changed_model_is_followed_as_if_it_had_always_been_so() {
    let rows = demo_rows(600);
    let half = rows.num_rows() / 2;
    let (streamed, built) =
        (Shop::demo().with("ga4_export", ""), Shop::demo().with("ga4_export", ""));
    let one = live(&streamed);
    one.apply(&rows.slice(0, half), 1, NOW).unwrap();
    let before = table(&one, "int_sessions");
    one.store(&[rows.slice(0, half)], 1).unwrap();
    drop(one);
    for shop in [&streamed, &built] {
        let model = "models/intermediate/int_sessions.sql";
        let sql = shop.read(model);
        assert_eq!(sql.matches("count(*) as events,").count(), 1);
        shop.write(model, sql.replace("count(*) as events,", "2 * count(*) as events,"));
    }
    let one = live(&streamed);
    one.apply(&rows.slice(half, rows.num_rows() - half), 2, NOW).unwrap();
    let other = live(&built);
    other.store(std::slice::from_ref(&rows), 1).unwrap();
    other.start(&Quiet).unwrap();
    for name in LIVE {
        assert_eq!(table(&one, name), table(&other, name), "{name}");
    }
    assert_ne!(table(&one, "int_sessions"), before);
    assert_eq!(one.audit(7, 200).unwrap(), 0);
}

/// Events of one visitor, one second apart.
fn bot(events: usize) -> RecordBatch {
    let line = |number: usize| {
        json!({
            "event_timestamp": NOW - (number as i64) * 1_000_000,
            "event_name": if number % 5_000 == 0 { "purchase" } else { "page_view" },
            "user_pseudo_id": "bot",
            "event_params": { "ga_session_id": 1 + number / 1_000 },
        })
        .to_string()
    };
    let body: Vec<String> = (0..events).map(line).collect();
    let receipt = Receipt::at(NOW, chrono_tz::UTC);
    let limits = Limits { rows: events, ..Limits::default() };
    let parsed = collect::rows(body.join("\n").as_bytes(), &receipt, &limits);
    assert_eq!(parsed.accepted.len(), events);
    collect::decode([parsed.payload().as_slice()], None).unwrap()
}

#[test]
fn a_bot_waits_and_holds_up_nobody() {
    const EVENTS: usize = 20_010;
    let rows = bot(EVENTS);
    let (streamed, built) =
        (Shop::demo().with("ga4_export", ""), Shop::demo().with("ga4_export", ""));
    let one = live_in(&streamed, SOME_MEMORY);
    one.apply(&rows.slice(10, EVENTS - 20), 1, NOW).unwrap();
    assert_eq!(one.status().waiting_persons, 0, "just below the limit");
    one.apply(&rows.slice(0, 20), 2, NOW).unwrap();
    one.apply(&rows, 3, NOW).unwrap();
    let status = one.status();
    assert_eq!((status.waiting_persons, status.duplicates), (1, EVENTS as u64));
    let events = |live: &Live| live.query("select sum(events) from int_sessions").unwrap();
    let shown = |rows: clicktrail_pipeline::LiveRows| shown(&rows.result.batches[0]);
    assert_ne!(shown(events(&one)), [EVENTS.to_string()]);

    // Another visitor's events do not wait, and an audit knows who does.
    let others = demo_rows(600);
    one.apply(&others, 4, NOW).unwrap();
    assert_eq!(one.audit(3, 500).unwrap(), 0);
    one.catch_up().unwrap();
    assert_eq!(one.status().waiting_persons, 0);

    let other = live(&built);
    other.store(&[rows, others], 1).unwrap();
    other.start(&Quiet).unwrap();
    for name in LIVE {
        assert_eq!(table(&one, name), table(&other, name), "{name}");
    }
}
