//! The real export: 33 days of Google's public sample.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use clicktrail_attribution::models::AttributionModel;
use clicktrail_pipeline::{RunRequest, Verb};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::support::{Answers, Shop, good, sample_dir};

/// The daily Parquet files.
fn days(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "parquet"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 33);
    files
}

fn shop_with(files: &[PathBuf]) -> Shop {
    let shop = Shop::demo();
    files.iter().for_each(|file| shop.take(file));
    shop
}

fn fresh(files: &[PathBuf]) -> BTreeMap<String, String> {
    let shop = shop_with(files);
    shop.build_tables();
    shop.contents()
}

/// "Must show" 1 and 2 on all 33 days: published orders and revenue, sessions, conservation, the fold.
/// One build and one test, because nextest gives each test a process of its own.
#[test]
fn all_days() {
    let Some(dir) = sample_dir() else { return };
    let shop = shop_with(&days(&dir));
    good(shop.execute(&RunRequest::new(Verb::Build)).unwrap());
    orders_per_day(&shop, &dir);
    assert_eq!(shop.value("select count(*) from int_sessions"), "116792");
    assert_eq!(shop.value("select sum(copies) from int_events"), "1138244");
    credits_conserve(&shop);
    nothing_comes_from_the_future(&shop);
    #[cfg(not(debug_assertions))]
    super::fold::check(&shop, super::fold::Variant::default());
}

fn orders_per_day(shop: &Shop, dir: &Path) {
    let text = fs::read_to_string(dir.join("orders_per_day.csv")).unwrap();
    let mut published: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let [date, orders, revenue] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        published.insert(date.to_owned(), (orders.parse().unwrap(), cents(revenue)));
    }
    assert_eq!(published.len(), 33);
    let sql = "select conversion_date, count(*), cast(sum(coalesce(revenue, 0)) as varchar) \
        from int_conversions where is_counted group by conversion_date";
    let mut built: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in shop.rows(sql) {
        let [date, orders, revenue] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        built.insert(date.to_owned(), (orders.parse().unwrap(), cents(revenue)));
    }
    // A day without orders has no row.
    published.retain(|date, (orders, _)| *orders > 0 || built.contains_key(date));
    assert_eq!(built, published);
}

/// A decimal amount in cents; smaller parts must be zero.
fn cents(amount: &str) -> i64 {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let (cents, rest) = fraction.split_at(fraction.len().min(2));
    assert!(rest.bytes().all(|digit| digit == b'0'), "{amount}");
    whole.parse::<i64>().unwrap() * 100 + format!("{cents:0<2}").parse::<i64>().unwrap()
}

/// [2.11]
fn credits_conserve(shop: &Shop) {
    let counted = shop
        .value("select count(*), sum(coalesce(revenue, 0)) from int_conversions where is_counted");
    let (conversions, revenue) = counted.split_once('|').unwrap();
    let expected: Vec<String> = AttributionModel::ALL
        .iter()
        .map(|model| format!("{}|{conversions}000000|{revenue}", model.name()))
        .collect();
    for table in ["fct_credits", "mart_attribution_daily"] {
        let sql = format!(
            "select attribution_model, sum(credit_micros), sum(coalesce(revenue, 0)) \
             from {table} group by attribution_model"
        );
        let rows: Vec<String> = shop.rows(&sql).iter().map(|row| trimmed(row)).collect();
        let expected: Vec<String> = expected.iter().map(|row| trimmed(row)).collect();
        assert_eq!(rows, expected, "{table}");
    }
}

/// Without the zeros that a wider decimal shows.
fn trimmed(row: &str) -> String {
    row.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// [2.4]
fn nothing_comes_from_the_future(shop: &Shop) {
    // The sample is older than batch ids, so time and key are the whole order.
    assert_eq!(shop.value("select max(batch_page_id) from int_events"), "0");
    let plain = "from int_journeys j join int_conversions c on j.conversion_id = c.conversion_id \
        join int_touchpoints t on j.touch_id = t.touch_id \
        where t.touched_at > c.converted_at \
        or (t.touched_at = c.converted_at and t.event_key > c.event_key)";
    assert_eq!(shop.value(&format!("select count(*) {plain}")), "0");
    assert_eq!(shop.value("select count(*) from int_journeys where seconds_before < 0"), "0");
}

/// The two encodings of one day.
#[test]
fn ndjson_and_parquet_are_the_same() {
    let Some(dir) = sample_dir() else { return };
    let parquet = fresh(&[dir.join("events_20210131.parquet")]);
    let ndjson = fresh(&[dir.join("events_20210131.ndjson.gz")]);
    assert!(parquet.len() >= 12, "{parquet:?}");
    assert_eq!(ndjson, parquet);
}

/// The order of rows and their division into files say nothing [2.5].
#[test]
fn shuffled_rows_give_the_same_tables() {
    let Some(dir) = sample_dir() else { return };
    let files = &days(&dir)[3..6];
    let expected = fresh(files);
    let shop = Shop::demo();
    for (seed, file) in (7..).zip(files) {
        let (_, rows) = parquet_rows(file);
        let turned = permuted(&rows, seed);
        let name = file.file_stem().unwrap().to_str().unwrap();
        let third = turned.num_rows() / 3;
        for part in 0..3 {
            let length = if part == 2 { turned.num_rows() - 2 * third } else { third };
            let path = format!("data/{name}_{}.parquet", ["c", "a", "b"][part]);
            write_parquet(&shop.path(&path), &turned.slice(part * third, length));
        }
    }
    shop.build_tables();
    assert_eq!(shop.contents(), expected);
}

/// A day more, a day changed, a day gone: what an incremental build leaves equals a fresh build.
#[test]
fn incremental_builds_equal_full_ones() {
    let Some(dir) = sample_dir() else { return };
    let all = days(&dir);
    let shop = shop_with(&all[..4]);
    shop.build_tables();

    shop.take(&all[4]);
    shop.build_tables();
    assert_eq!(shop.contents(), fresh(&all[..5]), "a day more");

    let (_, rows) = parquet_rows(&all[2]);
    let half = permuted(&rows, 3).slice(0, rows.num_rows() / 2);
    let changed = shop.path("data").join(all[2].file_name().unwrap());
    write_parquet(&changed, &half);
    shop.build_tables();
    let replaced = [all[0].clone(), all[1].clone(), changed, all[3].clone(), all[4].clone()];
    assert_eq!(shop.contents(), fresh(&replaced), "a day changed");

    fs::remove_file(shop.path("data").join(all[0].file_name().unwrap())).unwrap();
    shop.build_tables();
    assert_eq!(shop.contents(), fresh(&replaced[1..]), "a day gone");
}

/// The same with the whole sample: 32 days, then the last.
#[test]
#[cfg(not(debug_assertions))]
fn the_last_day_comes_later() {
    let Some(dir) = sample_dir() else { return };
    let all = days(&dir);
    let shop = shop_with(&all[..32]);
    shop.build_tables();
    shop.take(&all[32]);
    shop.build_tables();
    let expected = fresh(&all);
    let built = shop.contents();
    let lines = |tables: &BTreeMap<String, String>| -> Vec<String> {
        tables.iter().map(|(name, content)| format!("{name} {content}")).collect()
    };
    super::support::same("incremental and full", &lines(&built), &lines(&expected));
}

/// All rows of a Parquet file.
fn parquet_rows(file: &Path) -> (arrow::datatypes::SchemaRef, RecordBatch) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &batches).unwrap();
    (schema, rows)
}

pub(crate) fn write_parquet(file: &Path, rows: &RecordBatch) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut writer =
        ArrowWriter::try_new(File::create(file).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// The rows in another order: Fisher–Yates with a fixed seed.
fn permuted(rows: &RecordBatch, seed: u64) -> RecordBatch {
    let mut order: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap()).collect();
    let mut state = seed;
    for last in (1..order.len()).rev() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
    take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}
