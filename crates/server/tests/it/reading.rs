//! The JSON API and the metrics.

use std::time::Duration;

use clicktrail_server::Ask;
use serde_json::json;

use crate::stage::{GOOD, MP, Stage, eventually};

const JSON: &str = "Content-Type: application/json";

#[test]
fn status() {
    let stage = Stage::open();
    stage.live.status.lock().unwrap().applied_seq = 41;
    stage.live.status.lock().unwrap().tables.insert("mart".into(), 3);
    let json = stage.get("/api/v1/status", &[]).ok(200).json();
    assert_eq!(
        (&json["data"]["applied_seq"], &json["data"]["tables"]["mart"]),
        (&json!(41), &json!(3))
    );
    assert!(json["meta"]["version"].is_string());
}

#[test]
fn queries() {
    let stage = Stage::open();
    let query = |body: &str| stage.post("/api/v1/query", &[JSON], body);
    let json = query(r#"{"sql":"select 1","min_seq":7,"limit":2}"#).ok(200).json();
    assert_eq!(json["data"], json!([{ "n": 1 }, { "n": 2 }]));
    assert_eq!(json["meta"]["seq"], 9);
    assert_eq!(json["meta"]["columns"][0], json!({ "name": "n", "data_type": "BIGINT" }));
    let asked = stage.live.asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((asked.ask, asked.min_seq, asked.limit), (Ask::Sql("select 1".into()), Some(7), 2));
    query(r#"{"sql":"bad"}"#).problem(400, "E3001");
    query(r#"{"sql":"slow"}"#).problem(504, "E4301");
    assert_eq!(query(r#"{"sql":"early"}"#).problem(503, "E4302")["hint"], "do it well");
    query(r#"{"sql":"bug"}"#).problem(500, "E4303");
    query(r#"{"sql":"panic"}"#).problem(500, "E6126");
    query(r#"{"sql":"x","limit":100001}"#).problem(400, "E6121");
    query(r#"{"sql":"x","limits":1}"#).problem(400, "E6101");
    query(r#"{"sql":1}"#).problem(400, "E6101");
    query("").problem(400, "E6101");
    query(&format!("{{\"sql\":\"{}\"}}", "x".repeat(64_000))).problem(413, "E6112");
    let untyped = stage.post("/api/v1/query", &["Content-Type: text/plain"], r#"{"sql":"x"}"#);
    untyped.problem(415, "E6113");
}

#[test]
fn tables() {
    let stage = Stage::open();
    stage.get("/api/v1/tables/mart?min_seq=3&limit=5", &[]).ok(200);
    let asked = stage.live.asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((asked.ask, asked.min_seq, asked.limit), (Ask::Table("mart".into()), Some(3), 5));
    stage.get("/api/v1/tables/other", &[]).problem(404, "E4304");
    for name in ["a%22b", "a;b", "a.b", "%ff", "..%2fx"] {
        let status = stage.get(&format!("/api/v1/tables/{name}"), &[]).status;
        assert!(status == 404 || status == 400, "{name}: {status}");
    }
    stage.get("/api/v1/tables/mart?limit=x", &[]).problem(400, "E6121");
    stage.get("/api/v1/tables/mart?min_seq=-1", &[]).problem(400, "E6121");
    stage.get("/api/v1/tables/mart?limit=99999999999999999999", &[]).problem(400, "E6121");
}

#[test]
fn queries_are_bounded_and_hold_up_no_events() {
    let stage = Stage::with(|settings| settings.bounds.queries = 2);
    *stage.live.slow.lock().unwrap() = Duration::from_millis(800);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| stage.get("/api/v1/tables/mart", &[]).ok(200));
        }
        eventually("two are asked", || stage.live.asked.lock().unwrap().len() == 2);
        let answer = stage.get("/api/v1/tables/mart", &[]);
        answer.problem(503, "E6115");
        assert_eq!(answer.header("retry-after"), Some("1"));
        stage.post(MP, &[], GOOD).ok(204);
    });
}

#[test]
fn metrics_hold_what_operators_watch() {
    let stage = Stage::open();
    stage.post(MP, &[], GOOD).ok(204);
    stage.get("/nonsense/of/strangers", &[]).ok(404);
    let answer = stage.get("/metrics", &[]).ok(200);
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "clicktrail_requests_total{route=\"/mp/collect\",code=\"204\"} 1",
        "clicktrail_requests_total{route=\"other\",code=\"404\"} 1",
        "clicktrail_events_accepted_total{route=\"/mp/collect\"} 1",
        "clicktrail_ack_seconds_count 1",
        "clicktrail_ack_seconds_bucket{le=\"+Inf\"} 1",
        "clicktrail_fsync_seconds_count 0",
        "clicktrail_fsync_seconds_bucket{le=\"+Inf\"} 0",
        "clicktrail_queue_bytes 7",
        "clicktrail_durable_seq 1",
        "clicktrail_applied_seq 0",
        "clicktrail_lag_seconds 0.0",
        "clicktrail_live_batch_mismatch 0",
        "clicktrail_ready 1",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|own| own == line), "no `{line}` in\n{}", answer.body);
    }
    assert!(stage.metric("clicktrail_connections") >= 1.0);
}
