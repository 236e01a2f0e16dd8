//! The generator keeps its promises.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use clicktrail_ingest::generate::{GenerateReport, GenerateSettings, Intraday, generate};
use clicktrail_ingest::{Format, ReadOptions};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::tempdir;

use super::{lines, read};

const NDJSON: Format = Format::Ndjson { gzip: false };

fn settings() -> GenerateSettings {
    GenerateSettings {
        days: 6,
        events: 12_000,
        timezone: Tz::Europe__Berlin,
        format: NDJSON,
        // Clocks change on the second day.
        ..GenerateSettings::starting(NaiveDate::from_ymd_opt(2026, 3, 28).unwrap())
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn run(settings: &GenerateSettings, folder: &Path) -> GenerateReport {
    generate(settings, folder, &|_, _| {}).unwrap()
}

#[test]
fn threads_and_repetition_change_no_byte() {
    let folders = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    for format in [NDJSON, Format::Ndjson { gzip: true }, Format::Parquet] {
        let one = GenerateSettings { format, ..settings() };
        let reports = [
            run(&one, folders[0].path()),
            run(&GenerateSettings { threads: 4, ..one.clone() }, folders[1].path()),
            run(&GenerateSettings { seed: 2, ..one.clone() }, folders[2].path()),
        ];
        assert_eq!(reports[0].events, reports[1].events);
        assert_ne!(reports[0].events, reports[2].events);
        assert_eq!(files(folders[0].path()), files(folders[1].path()));
    }
}

#[test]
fn formats_hold_the_same_rows() {
    let (text, columns) = (tempdir().unwrap(), tempdir().unwrap());
    let left = run(&settings(), text.path());
    let right = run(&GenerateSettings { format: Format::Parquet, ..settings() }, columns.path());
    for (left, right) in left.files.iter().zip(&right.files) {
        let written = std::fs::read_to_string(left).unwrap();
        let read_back = |path: &PathBuf| lines(&read(path, &ReadOptions::default()).unwrap());
        assert_eq!(read_back(left), written.lines().collect::<Vec<_>>());
        assert_eq!(read_back(left), read_back(right));
    }
}

fn rows(report: &GenerateReport) -> Vec<Value> {
    let text = report.files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    let text: Vec<String> = text.collect();
    text.iter().flat_map(|text| text.lines()).map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn param<'a>(row: &'a Value, key: &str) -> Option<&'a Value> {
    let params = row["event_params"].as_array().unwrap();
    let found = params.iter().find(|param| param["key"] == key)?;
    found["value"].as_object().unwrap().values().next()
}

#[test]
fn every_row_lies_in_its_own_day_and_the_report_counts_right() {
    let folder = tempdir().unwrap();
    let report = run(&settings(), folder.path());
    let rows = rows(&report);
    assert_eq!(rows.len() as u64, report.events);
    let mut seen = HashSet::new();
    let (mut users, mut sessions) = (HashSet::new(), HashMap::<_, HashSet<_>>::new());
    let (mut purchases, mut refunds, mut anonymous) = (0, 0, 0);
    for row in &rows {
        let at: i64 = row["event_timestamp"].as_str().unwrap().parse().unwrap();
        let local = DateTime::from_timestamp_micros(at).unwrap().with_timezone(&Tz::Europe__Berlin);
        assert_eq!(row["event_date"], local.format("%Y%m%d").to_string());
        if !seen.insert(row.to_string()) {
            continue;
        }
        purchases += u64::from(row["event_name"] == "purchase");
        refunds += u64::from(row["event_name"] == "refund");
        let Some(user) = row["user_pseudo_id"].as_str() else {
            assert_eq!(row["privacy_info"]["analytics_storage"], "No");
            anonymous += 1;
            continue;
        };
        users.insert(user);
        if let Some(session) = param(row, "ga_session_id") {
            let days = sessions.entry((user, session.as_str().unwrap())).or_default();
            days.insert(row["event_date"].as_str().unwrap());
        }
    }
    assert_eq!(rows.len() as u64 - seen.len() as u64, report.duplicates);
    assert_eq!(users.len() as u64, report.users);
    assert_eq!(sessions.len() as u64, report.sessions);
    assert_eq!((purchases, refunds), (report.purchases, report.refunds));
    assert_eq!(anonymous, report.without_consent);
    assert!(sessions.values().any(|days| days.len() == 2), "no session over midnight");
    assert!(report.late > 0);
}

#[test]
fn sizes_and_rates_are_as_announced() {
    let folder = tempdir().unwrap();
    let settings = GenerateSettings {
        days: 60,
        events: 300_000,
        format: Format::Parquet,
        threads: 2,
        ..GenerateSettings::starting(NaiveDate::from_ymd_opt(2026, 1, 1).unwrap())
    };
    let report = run(&settings, folder.path());
    let off = report.events as f64 / settings.events as f64 - 1.0;
    assert!(off.abs() < 0.05, "{off}");
    let rate = (report.purchases - report.repeated_orders) as f64 / report.sessions as f64;
    assert!((0.02..0.032).contains(&rate), "{rate}");
    let per_day = report.files.iter().map(|path| {
        let batch = read(path, &super::only(&["event_timestamp"])).unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().len(), batch.num_rows());
        batch.num_rows()
    });
    let per_day: Vec<usize> = per_day.collect();
    let (first, last): (usize, usize) = (per_day[..14].iter().sum(), per_day[46..].iter().sum());
    let drift = first as f64 / last as f64;
    assert!((0.9..1.1).contains(&drift), "busier at one end: {drift}");
}

#[test]
fn stories_are_in_the_rows() {
    let folder = tempdir().unwrap();
    let settings = GenerateSettings { days: 20, events: 60_000, ..settings() };
    let report = run(&settings, folder.path());
    let rows = rows(&report);
    let has = |what: &str, test: &dyn Fn(&Value) -> bool| {
        assert!(rows.iter().any(test), "no row with {what}");
    };
    let text = |row: &Value, key| param(row, key).and_then(Value::as_str).unwrap_or("").to_owned();
    for host in ["paypal.com", "checkout.stripe.com", "pay.klarna.com"] {
        has(host, &|row| text(row, "source") == host);
    }
    has("ignore_referrer", &|row| text(row, "ignore_referrer") == "true");
    has("an AI assistant", &|row| text(row, "source") == "chatgpt.com");
    has("gclid without utm", &|row| {
        let collected = &row["collected_traffic_source"];
        collected["gclid"].is_string() && collected["manual_source"].is_null()
    });
    for currency in ["EUR", "USD", "GBP", "JPY"] {
        has(currency, &|row| {
            row["event_name"] == "purchase"
                && text(row, "currency") == currency
                && row["ecommerce"]["purchase_revenue_in_usd"].is_number()
        });
    }
    let purchase = |row: &Value| row["event_name"] == "purchase";
    has("a purchase without id", &|row| {
        purchase(row) && row["ecommerce"]["transaction_id"].is_null()
    });
    has("(not set) id", &|row| row["ecommerce"]["transaction_id"] == "(not set)");
    has("a refund", &|row| row["ecommerce"]["refund_value"].is_number());
    has("user_id", &|row| row["user_id"].is_string());
    for name in ["sign_up", "generate_lead", "scroll", "add_to_cart", "begin_checkout"] {
        has(name, &|row| row["event_name"] == name);
    }
    assert!(report.repeated_orders > 0 && report.duplicates > 0);
}

#[test]
fn the_intraday_file_lacks_attribution_columns() {
    let folder = tempdir().unwrap();
    let beside = GenerateSettings { intraday: Intraday::Beside, ..settings() };
    let report = run(&beside, folder.path());
    assert_eq!(report.files.len(), 7);
    let text = std::fs::read_to_string(folder.path().join("events_intraday_20260402.ndjson"));
    let row: Value = serde_json::from_str(text.unwrap().lines().next().unwrap()).unwrap();
    for column in
        ["traffic_source", "user_ltv", "is_active_user", "session_traffic_source_last_click"]
    {
        assert!(row[column].is_null(), "{column}");
    }
    let instead = tempdir().unwrap();
    let settings = GenerateSettings { intraday: Intraday::Instead, ..settings() };
    assert_eq!(run(&settings, instead.path()).events, report.events);
    assert!(!instead.path().join("events_20260402.ndjson").exists());
}

#[test]
fn impossible_settings_are_refused() {
    let folder = tempdir().unwrap();
    for bad in [
        GenerateSettings { days: 0, ..settings() },
        GenerateSettings { threads: 0, ..settings() },
        GenerateSettings { first_day: NaiveDate::MAX, ..settings() },
    ] {
        let error = generate(&bad, folder.path(), &|_, _| {}).unwrap_err();
        assert_eq!(error.code(), "E2011");
    }
    let none = GenerateSettings { events: 0, days: 1, ..settings() };
    assert_eq!(run(&none, folder.path()).events, 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(12)
    })]

    #[test]
    fn any_settings_give_equal_files_again(
        seed in any::<u64>(), days in 1_u32..5, events in 0_u64..800,
        zone in 0_usize..4, year in 1971..2200,
    ) {
        let zones = [Tz::UTC, Tz::America__Sao_Paulo, Tz::Asia__Tokyo, Tz::Africa__Cairo];
        let settings = GenerateSettings {
            seed, days, events, timezone: zones[zone], format: NDJSON,
            ..GenerateSettings::starting(NaiveDate::from_ymd_opt(year, 3, 1).unwrap())
        };
        let (left, right) = (tempdir().unwrap(), tempdir().unwrap());
        let report = run(&settings, left.path());
        run(&GenerateSettings { threads: 3, ..settings }, right.path());
        prop_assert_eq!(files(left.path()), files(right.path()));
        prop_assert_eq!(rows(&report).len() as u64, report.events);
    }
}
