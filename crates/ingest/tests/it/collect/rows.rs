//! Export-shaped rows, and what was exported comes back as it was.

use std::io::Read as _;
use std::path::Path;

use chrono::NaiveDate;
use clicktrail_ingest::collect::{Limits, Parsed, Reason, Receipt, decode, rows};
use clicktrail_ingest::generate::{GenerateSettings, generate};
use clicktrail_ingest::{Format, ReadOptions};
use serde_json::json;

use super::{NOW, accepted, limits, malformed, only, param, reasons, receipt};
use crate::{lines, read};

fn post(body: &str) -> Parsed {
    rows(body.as_bytes(), &receipt(), &limits())
}

#[test]
fn convenient_forms_become_the_export_s() {
    let row = only(&post(
        r#"{"event_name":"x","event_id":"E","event_params":{"s":"a","i":5,"w":5.0,"f":2.5,"b":true,
            "n":null,"own":{"double_value":5}},"user_properties":{"tier":"gold"},
            "user_pseudo_id":12,"items":[{"price":"2.5","quantity":2.0},null],"other":1}"#
            .replace('\n', " ")
            .as_str(),
    ));
    assert_eq!(
        row,
        json!({
            "event_date": "20260519",
            "event_timestamp": NOW.to_string(),
            "event_name": "x",
            "event_params": [
                {"key": "s", "value": {"string_value": "a"}},
                {"key": "i", "value": {"int_value": "5"}},
                {"key": "w", "value": {"int_value": "5"}},
                {"key": "f", "value": {"double_value": 2.5}},
                {"key": "b", "value": {"string_value": "true"}},
                {"key": "n", "value": {}},
                {"key": "own", "value": {"double_value": 5.0}},
                {"key": "clicktrail_event_id", "value": {"string_value": "E"}},
            ],
            "user_pseudo_id": "12",
            "user_properties": [{"key": "tier", "value": {"string_value": "gold"}}],
            "stream_id": "S1",
            "items": [{"price": 2.5, "quantity": "2"}],
            "batch_event_index": "1",
        })
    );
}

#[test]
fn every_column_is_kept() {
    let row = crate::fixtures::full_row();
    let row =
        row.replacen("\"event_timestamp\":\"7\"", &format!("\"event_timestamp\":\"{NOW}\""), 1);
    let row = row.replacen("\"event_date\":\"event_date\"", "\"event_date\":\"20260519\"", 1);
    let parsed = post(&row);
    assert_eq!(parsed.oddities.corrected_dates, 0);
    assert_eq!(parsed.oddities.unknown_keys, 0);
    let batch = decode([parsed.payload().as_slice()], None).unwrap();
    assert_eq!(lines(&batch), [row]);
    let columns = ["items.item_params.key".to_owned(), "event_name".to_owned()];
    let batch = decode([parsed.payload().as_slice()], Some(&columns)).unwrap();
    let expected = r#"{"event_name":"event_name","items":[{"item_params":[{"key":"key"}]}]}"#;
    assert_eq!(lines(&batch), [expected]);
    assert_eq!(decode([b"{".as_slice()], None).unwrap_err().code(), "E2015");
    assert_eq!(decode([], Some(&["nope".to_owned()])).unwrap_err().code(), "E2003");
    assert_eq!(decode([], None).unwrap().num_rows(), 0);
    assert_eq!(decode([parsed.payload().as_slice()], Some(&[])).unwrap().num_rows(), 1);
}

/// The log has params as an object where nothing is lost by it.
#[test]
fn plain_params_are_short_and_all_others_stay_as_they_came() {
    let list = r#"[{"key":"a","value":{"string_value":"<&> \"x\"","int_value":null}},
        {"key":"n","value":{"int_value":"-9007199254740995"}},null,
        {"key":"d","value":{"double_value":"5"}},{"key":"d","value":{"double_value":-1e300}},
        {"key":"é","value":{"int_value":7}}]"#;
    let line = |params: &str| {
        let row = format!("{{\"event_name\":\"x\",\"event_params\":{params}}}").replace('\n', "");
        let parsed = post(&row);
        let params = only(&parsed)["event_params"].clone();
        (String::from_utf8(parsed.payload()).unwrap(), params)
    };
    let (short, params) = line(list);
    let object = r#"{"a":"<&> \"x\"","n":-9007199254740995,"d":5.0,"d":-1e300,"é":7}"#;
    assert!(short.contains(&format!("\"event_params\":{object}")), "{short}");
    assert_eq!(
        params,
        json!([
            {"key": "a", "value": {"string_value": "<&> \"x\""}},
            {"key": "n", "value": {"int_value": "-9007199254740995"}},
            {"key": "d", "value": {"double_value": 5.0}},
            {"key": "d", "value": {"double_value": -1e300}},
            {"key": "é", "value": {"int_value": "7"}},
        ])
    );
    for other in [
        r#"{"key":"a","value":{"float_value":1.5}}"#,
        r#"{"key":"a","value":{"string_value":"x","int_value":"1"}}"#,
        r#"{"key":"a","value":{}}"#,
        r#"{"key":"a"}"#,
        r#"{"value":{"string_value":"x"}}"#,
    ] {
        let plain = r#"{"key":"b","value":{"string_value":"y"}}"#;
        let (long, params) = line(&format!("[{other},{plain}]"));
        assert!(long.contains(&format!("[{other},{plain}]")), "{long}");
        let expected: serde_json::Value = serde_json::from_str(other).unwrap();
        assert_eq!(params[0], expected);
    }
    let (long, _) = line(r#"{"a":{"int_value":1},"b":2}"#);
    assert!(long.contains("\"int_value\":\"1\"") && long.contains("\"int_value\":\"2\""), "{long}");
}

#[test]
fn refused_rows_have_their_reasons() {
    let row = |members: &str| format!("{{\"event_name\":\"x\",{members}}}");
    let cases = [
        ("{}".to_owned(), Reason::MissingEventName, ""),
        ("{\"event_name\":\"\"}".to_owned(), Reason::MissingEventName, ""),
        ("{\"event_name\":5}".to_owned(), Reason::BadType, "`event_name`"),
        (format!("{{\"event_name\":\"{}\"}}", "n".repeat(41)), Reason::NameInvalid, ""),
        ("[]".to_owned(), Reason::BadJson, ""),
        ("{".to_owned(), Reason::BadJson, ""),
        (row("\"a\":1e999"), Reason::BadJson, ""),
        (row("\"a\":NaN"), Reason::BadJson, ""),
        (row("\"a\":\"\\udfff\""), Reason::BadJson, ""),
        (row("\"a\":\"\\u0000\""), Reason::NulCharacter, ""),
        (row("\"a\":1,\"a\":2"), Reason::DuplicateKey, "`a`"),
        (row(&format!("\"a\":{}{}", "[".repeat(16), "]".repeat(16))), Reason::TooDeep, ""),
        (row("\"items\":{}"), Reason::BadType, "`items`"),
        (row("\"items\":[5]"), Reason::BadType, "`items`"),
        (row("\"items\":[{\"price\":\"x\"}]"), Reason::BadType, "`items.price`"),
        (row("\"items\":[{\"price\":\"NaN\"}]"), Reason::BadType, "`items.price`"),
        (
            row("\"items\":[{\"item_params\":[{\"value\":{\"int_value\":1.5}}]}]"),
            Reason::BadType,
            "`items.item_params.value.int_value`",
        ),
        (row("\"event_params\":5"), Reason::BadType, "`event_params`"),
        (row("\"event_params\":{\"a\":[1]}"), Reason::BadType, "`event_params.a`"),
        (row("\"event_params\":[{\"value\":5}]"), Reason::BadType, "`event_params.value`"),
        (row("\"device\":{\"web_info\":5}"), Reason::BadType, "`device.web_info`"),
        (row("\"is_active_user\":1"), Reason::BadType, "`is_active_user`"),
        (row("\"user_id\":[]"), Reason::BadType, "`user_id`"),
        (row("\"batch_page_id\":\"x\""), Reason::BadType, "`batch_page_id`"),
        (row("\"event_id\":\" \""), Reason::EventIdInvalid, ""),
        (row("\"event_id\":{}"), Reason::BadType, "`event_id`"),
    ];
    for (line, reason, place) in cases {
        let body = format!("{{\"event_name\":\"good\"}}\n{line}\r\n\n{{\"event_name\":\"gut\"}}");
        let parsed = post(&body);
        assert_eq!(reasons(&parsed), [(1, reason)], "{line}");
        assert!(parsed.rejected[0].detail.contains(place), "{}", parsed.rejected[0].detail);
        assert_eq!(parsed.rejected[0].raw, line.as_bytes());
        let rows = accepted(&parsed);
        assert_eq!((rows.len(), rows[1]["batch_event_index"].as_str()), (2, Some("3")));
    }
    assert_eq!(malformed(&post("")), Reason::NoEvents);
    assert_eq!(malformed(&post("\n \n")), Reason::NoEvents);
    let bad = rows(b"{\"event_name\":\"\xff\"}", &receipt(), &limits());
    assert_eq!(reasons(&bad), [(0, Reason::BadUtf8)]);
    let small = Limits { rows: 1, row_bytes: 100, rows_bytes: 500, ..limits() };
    let body = format!(
        "{{\"event_name\":\"x\"}}\n{{\"event_name\":\"y\"}}\n{{\"a\":\"{}\"}}",
        "x".repeat(100)
    );
    let parsed = rows(body.as_bytes(), &receipt(), &small);
    assert_eq!(reasons(&parsed), [(1, Reason::TooManyEvents), (2, Reason::TooManyEvents)]);
    let parsed = rows(body.as_bytes(), &receipt(), &Limits { rows: 9, ..small.clone() });
    assert_eq!(reasons(&parsed), [(2, Reason::RowTooLarge)]);
    assert_eq!(malformed(&rows(&[b' '; 501], &receipt(), &small)), Reason::BodyTooLarge);
}

#[test]
fn an_id_is_kept_once_wherever_it_stands() {
    let id = r#"{"key":"clicktrail_event_id","value":{"string_value":"P"}}"#;
    let cases = [
        (format!(r#""event_params":[{id},{{"key":"a","value":{{}}}}]"#), "P"),
        (format!(r#""event_id":"E","event_params":[{id}]"#), "E"),
        (r#""event_params":{"clicktrail_event_id":"P"}"#.to_owned(), "P"),
        (r#""event_id":7,"event_params":{"clicktrail_event_id":"P"}"#.to_owned(), "7"),
        (r#""event_id":"E""#.to_owned(), "E"),
        (r#""event_params":null"#.to_owned(), "K/0"),
    ];
    for (members, id) in cases {
        let mut keyed = receipt();
        keyed.idempotency_key = Some("K".to_owned());
        let body = format!("{{\"event_name\":\"x\",{members}}}");
        let parsed = rows(body.as_bytes(), &keyed, &limits());
        assert_eq!(parsed.accepted[0].event_id.as_deref(), Some(id), "{members}");
        assert_eq!(param(&only(&parsed), "clicktrail_event_id")["string_value"], id);
    }
}

/// Every row of an NDJSON export given through [`rows`] decodes to the row that the file reader
/// gives.
fn comes_back(path: &Path, receipt: &Receipt) {
    let wide = Limits { rows: usize::MAX, rows_bytes: usize::MAX, ..limits() };
    let mut text = Vec::new();
    let file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "gz") {
        flate2::read::GzDecoder::new(file).read_to_end(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_end(&mut text).unwrap();
    }
    let parsed = rows(&text, receipt, &wide);
    assert_eq!(parsed.malformed, None);
    assert!(parsed.rejected.is_empty(), "{:?}", parsed.rejected[0].detail);
    assert_eq!((parsed.oddities.unknown_keys, parsed.oddities.corrected_dates), (0, 0));
    let payload = parsed.payload();
    let halves = payload.split_at(parsed.accepted[0].line.len() + 1);
    let batch = decode([halves.0, halves.1], None).unwrap();
    let exported = read(path, &ReadOptions::default()).unwrap();
    assert_eq!(batch.num_rows(), exported.num_rows());
    for (index, field) in exported.schema().fields().iter().enumerate() {
        let (left, right) = (batch.column(index), exported.column(index));
        if left.to_data() == right.to_data() {
            continue;
        }
        let differs = |row: &usize| left.slice(*row, 1).to_data() != right.slice(*row, 1).to_data();
        let differing = (0..batch.num_rows()).filter(differs).count();
        assert_eq!(differing, 0, "rows that differ in {}", field.name());
    }
}

#[test]
fn exported_rows_come_back_as_they_were() {
    let Some(folder) = crate::sample::sample() else { return };
    // The sample's days are those of UTC, although the shop is in California.
    let receipt = Receipt::at(NOW, chrono_tz::UTC);
    comes_back(&folder.join("events_20210131.ndjson.gz"), &receipt);
    comes_back(&folder.join("sample_rows_92_days.ndjson"), &receipt);
}

#[test]
fn generated_rows_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let day = NaiveDate::from_ymd_opt(2026, 5, 1).unwrap();
    let format = Format::Ndjson { gzip: false };
    let settings =
        GenerateSettings { days: 2, events: 2000, format, ..GenerateSettings::starting(day) };
    let report = generate(&settings, folder.path(), &|_, _| {}).unwrap();
    for file in &report.files {
        comes_back(file, &Receipt::at(NOW, chrono_tz::UTC));
    }
}
