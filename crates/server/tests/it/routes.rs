//! Every route with every code that live.md 6 and the README list for it.

use clicktrail_eventlog::AppendError;
use serde_json::json;

use crate::stage::{GOOD, HIT, MP, Mood, Stage};

const NDJSON: &str = "Content-Type: application/x-ndjson";

#[test]
fn measurement_protocol() {
    let stage = Stage::open();
    let answer = stage.post(MP, &["Content-Type: application/json"], GOOD).ok(204);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("x-request-id").is_some());
    let batch = stage.log.last();
    assert_eq!((batch.events.rows, batch.dead_letters.rows), (1, 0));
    let row: serde_json::Value = serde_json::from_slice(&batch.events.payload).unwrap();
    assert_eq!((&row["event_name"], &row["stream_id"]), (&json!("page_view"), &json!("G-TEST123")));
    // As sendBeacon sends it, and without a type.
    stage.post(MP, &["Content-Type: text/plain;charset=UTF-8"], GOOD).ok(204);
    stage.post(MP, &[], GOOD).ok(204);
    stage.post(MP, &["Content-Type: multipart/form-data"], GOOD).problem(415, "E6113");
}

#[test]
fn a_mixed_request_is_one_batch_of_events_and_dead_letters() {
    let stage = Stage::open();
    let mixed =
        r#"{"client_id":"1.2","events":[{"name":"page_view"},{"name":"1bad"},{"name":"scroll"}]}"#;
    stage.post(MP, &[], mixed).ok(204);
    assert_eq!(stage.log.len(), 1);
    let batch = stage.log.last();
    assert_eq!((batch.events.rows, batch.dead_letters.rows), (2, 1));
    let letter: serde_json::Value = serde_json::from_slice(&batch.dead_letters.payload).unwrap();
    assert_eq!((&letter["route"], &letter["index"]), (&json!("/mp/collect"), &json!("1")));
}

#[test]
fn all_bad_is_400_and_still_kept() {
    let stage = Stage::open();
    let bad = r#"{"client_id":"1.2","events":[{"name":"1bad"},{"name":""}]}"#;
    let problem = stage.post(MP, &[], bad).problem(400, "E6119");
    assert_eq!(problem["rejected"].as_array().unwrap().len(), 2);
    assert_eq!(stage.log.last().dead_letters.rows, 2);
    let problem = stage.post(MP, &[], "{not json").problem(400, "E6101");
    assert_eq!(problem["reason"], "bad_json");
    assert_eq!(stage.log.last().dead_letters.rows, 1);
    let answer = stage.post("/v1/events", &[NDJSON], "{\"event_name\":1}\n[]\n");
    assert_eq!(answer.problem(400, "E6119")["accepted"], 0);
    stage.post("/v1/events", &[NDJSON], "\n\n").problem(400, "E6101");
    assert_eq!(stage.log.rows(), 0);
    assert!(stage.metric("clicktrail_events_rejected_total{reason=\"bad_json\"}") >= 1.0);
}

#[test]
fn validation_stores_nothing() {
    let stage = Stage::open();
    let path = MP.replace("/mp", "/debug/mp");
    assert_eq!(stage.post(&path, &[], GOOD).ok(200).json(), json!({ "validationMessages": [] }));
    let bad = r#"{"client_id":"1.2","events":[{"name":"1bad"}]}"#;
    let message = stage.post(&path, &[], bad).ok(200).json()["validationMessages"][0].clone();
    assert_eq!(message["validationCode"], "NAME_INVALID");
    assert_eq!(stage.log.len(), 0);
}

#[test]
fn gtag_hits() {
    let stage = Stage::open();
    stage.get(HIT, &[]).ok(204);
    stage.post(HIT, &["Content-Type: text/plain;charset=UTF-8"], "").ok(204);
    let latin = [
        format!("GET {HIT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: ")
            .as_bytes(),
        b"\xe9\r\n\r\n",
    ]
    .concat();
    assert_eq!(stage.talk(&latin)[0].status, 204, "no event is lost for its browser's name");
    let base = "/g/collect?v=2&tid=G-TEST123&cid=1.2";
    stage.post(base, &[], "en=page_view\r\nen=scroll\n\nen=purchase").ok(204);
    assert_eq!(stage.log.last().events.rows, 3);
    // A page can do nothing about a bad event, so it is not told.
    stage.post(base, &[], "en=page_view\nen=1bad").ok(204);
    stage.get(base, &[]).ok(204);
    assert_eq!(stage.log.last().dead_letters.rows, 1);
    let batches = stage.log.len();
    stage.get("/g/collect?v=2&cid=1.2&en=page_view", &[]).problem(400, "E6101");
    stage.post(base, &[], "\n".repeat(99) + &"en=a\n".repeat(1_001)).problem(413, "E6112");
    stage.send("HEAD", HIT, &[], b"").ok(405);
    assert_eq!(stage.log.len(), batches + 1, "only the unreadable one is kept");
}

#[test]
fn gtag_under_another_path_and_what_it_looks_for() {
    let stage = Stage::with(|settings| {
        settings.alias_paths = vec!["/t/x".into(), "/metrics-data/g/collect".into()];
    });
    stage.get(&HIT.replace("/g/collect", "/t/x"), &[]).ok(204);
    stage.post(&HIT.replace("/g/collect", "/metrics-data/g/collect"), &[], "").ok(204);
    stage.get(&HIT.replace("/g/collect", "/elsewhere/g/collect"), &[]).problem(404, "E6107");
    for path in ["/_/service_worker/5/sw_iframe.html?origin=x", "/_/set_cookie"] {
        assert_eq!(stage.get(path, &[]).ok(404).body, "");
    }
    stage.get("/", &[]).problem(404, "E6107");
    stage.get("/g", &[]).problem(404, "E6107");
}

#[test]
fn rows_are_answered_with_counts() {
    let stage = Stage::open();
    let rows = "{\"event_name\":\"a\",\"event_id\":\"1\"}\n{\"event_name\":\"b\",\"event_id\":\"2\"}\n{}\n";
    let first = stage.post("/v1/events", &[NDJSON], rows).ok(200).json();
    assert_eq!(first["accepted"], 2);
    assert_eq!((&first["duplicate"], &first["seq"]), (&json!(0), &json!(1)));
    let refused = &first["rejected"][0];
    assert_eq!((&refused["i"], &refused["reason"]), (&json!(2), &json!("missing_event_name")));
    let again = stage.post("/v1/events", &[NDJSON], rows).ok(200).json();
    assert_eq!((&again["accepted"], &again["duplicate"]), (&json!(0), &json!(2)));
    // Duplicates are stored, too: the models decide.
    assert_eq!(stage.log.rows(), 4);
    let accepted = "clicktrail_events_accepted_total{route=\"/v1/events\"}";
    let duplicate = "clicktrail_events_duplicate_total{route=\"/v1/events\"}";
    assert_eq!((stage.metric(accepted), stage.metric(duplicate)), (2.0, 2.0));
}

#[test]
fn an_idempotency_key_makes_resends_recognisable() {
    let stage = Stage::open();
    let rows = "{\"event_name\":\"a\"}\n{\"event_name\":\"b\"}\n";
    let key = [NDJSON, "Idempotency-Key: batch-1"];
    assert_eq!(stage.post("/v1/events", &key, rows).json()["accepted"], 2);
    assert_eq!(stage.post("/v1/events", &key, rows).json()["duplicate"], 2);
    let other = [NDJSON, "Idempotency-Key: batch-2"];
    assert_eq!(stage.post("/v1/events", &other, rows).json()["accepted"], 2);
    let twice = [NDJSON, "Idempotency-Key: a", "Idempotency-Key: b"];
    stage.post("/v1/events", &twice, rows).problem(400, "E6121");
}

#[test]
fn producers_resend_and_leave_gaps() {
    let stage = Stage::open();
    let send = |offset: &str, rows: &str| {
        let offset = format!("X-Clicktrail-Offset: {offset}");
        stage.post("/v1/events", &[NDJSON, "X-Clicktrail-Producer: shop", &offset], rows)
    };
    let two = "{\"event_name\":\"a\"}\n{\"event_name\":\"b\"}\n";
    assert_eq!(send("0", two).ok(200).json()["accepted"], 2);
    let known = send("0", two).ok(200).json();
    assert_eq!((&known["already_exists"], &known["duplicate"]), (&json!(true), &json!(2)));
    assert_eq!(stage.log.len(), 1);
    assert_eq!(send("5", two).problem(409, "E6110")["expected_offset"], 2);
    assert_eq!(send("1", two).problem(409, "E6110")["expected_offset"], 2);
    assert_eq!(send("2", two).ok(200).json()["accepted"], 2);
    assert_eq!(stage.log.last().producer.unwrap().next_offset, 4);
    for bad in ["", "-1", "+1", "x", "99999999999999999999"] {
        send(bad, two).problem(400, "E6121");
    }
    let half = [NDJSON, "X-Clicktrail-Producer: shop"];
    stage.post("/v1/events", &half, two).problem(400, "E6121");
    let spaced = [NDJSON, "X-Clicktrail-Producer: a b", "X-Clicktrail-Offset: 0"];
    stage.post("/v1/events", &spaced, two).problem(400, "E6121");
}

#[test]
fn a_failed_batch_of_a_producer_may_come_again() {
    let stage = Stage::open();
    let headers = [NDJSON, "X-Clicktrail-Producer: shop", "X-Clicktrail-Offset: 0"];
    stage.log.set(Mood::Broken(AppendError::Full));
    stage.post("/v1/events", &headers, "{\"event_name\":\"a\"}").problem(503, "E6116");
    stage.log.set(Mood::Good);
    let answer = stage.post("/v1/events", &headers, "{\"event_name\":\"a\"}").ok(200);
    assert_eq!(answer.json()["accepted"], 1);
}

#[test]
fn the_log_says_no() {
    let stage = Stage::with(|settings| {
        settings.bounds.ack_time = std::time::Duration::from_millis(100);
    });
    let moods = [
        (Mood::Busy, "E6115", "1"),
        (Mood::Broken(AppendError::Full), "E6116", "30"),
        (Mood::Broken(AppendError::Failed("eio".into())), "E6117", "2"),
        (Mood::Broken(AppendError::Stopped), "E6117", "2"),
        // Dropped without an answer, as when the log's thread panics.
        (Mood::Silent, "E6117", "2"),
    ];
    for (mood, code, seconds) in moods {
        stage.log.set(mood);
        for answer in [stage.post(MP, &[], GOOD), stage.get(HIT, &[])] {
            answer.problem(503, code);
            assert_eq!(answer.header("retry-after"), Some(seconds));
        }
    }
    stage.log.set(Mood::Broken(AppendError::TooLarge { bytes: 2, limit_bytes: 1 }));
    stage.post(MP, &[], GOOD).problem(413, "E6112");
    stage.log.set(Mood::Good);
    *stage.log.held.lock().unwrap() = Some(Vec::new());
    stage.post(MP, &[], GOOD).problem(503, "E6118");
    // Reading goes on all the time.
    stage.get("/api/v1/tables/mart", &[]).ok(200);
}

#[test]
fn methods_that_a_path_does_not_have() {
    let stage = Stage::open();
    let cases = [
        ("GET", "/mp/collect", "POST"),
        ("PUT", "/mp/collect", "POST"),
        ("DELETE", "/g/collect", "GET"),
        ("GET", "/v1/events", "POST"),
        ("GET", "/debug/mp/collect", "POST"),
        ("POST", "/healthz", "GET"),
        ("POST", "/metrics", "GET"),
        ("GET", "/api/v1/query", "POST"),
        ("PATCH", "/readyz", "GET"),
        ("TRACE", "/g/collect", "GET"),
    ];
    for (method, path, allowed) in cases {
        let answer = stage.send(method, path, &["Content-Length: 0"], b"");
        answer.problem(405, "E6108");
        assert!(answer.header("allow").unwrap().contains(allowed), "{answer:?}");
    }
}

#[test]
fn sizes_and_packing() {
    let stage = Stage::open();
    let large = "x".repeat(130_001);
    stage.post(MP, &[], &large).problem(413, "E6112");
    stage.post(HIT, &[], &large).problem(413, "E6112");
    stage.post("/v1/events", &[NDJSON], vec![b' '; 8_000_001]).problem(413, "E6112");
    stage.post("/v1/events", &[NDJSON], "1\n".repeat(10_001)).problem(413, "E6112");
    stage.post(MP, &["Content-Encoding: br"], GOOD).problem(415, "E6113");
    stage
        .post(MP, &["Content-Encoding: gzip", "Content-Encoding: gzip"], GOOD)
        .problem(415, "E6113");
    stage.post(MP, &["Content-Encoding: gzip"], GOOD).problem(400, "E6101");
    stage.post(MP, &["Content-Encoding: gzip"], crate::hostile::gzip(GOOD.as_bytes())).ok(204);
    stage.post(MP, &["Content-Encoding: identity"], GOOD).ok(204);
    assert_eq!(stage.log.rows(), 2);
}

#[test]
fn health() {
    let stage = Stage::open();
    stage.get("/healthz", &[]).ok(200);
    stage.get("/readyz", &[]).ok(200);
    let set = |ready, lag_seconds| {
        let mut status = stage.live.status.lock().unwrap();
        (status.ready, status.lag_seconds) = (ready, lag_seconds);
        status.phase = "replaying the log".into();
    };
    set(false, 0.0);
    let answer = stage.get("/readyz", &[]);
    assert_eq!(answer.problem(503, "E6120")["phase"], "replaying the log");
    assert_eq!(answer.header("retry-after"), Some("2"));
    stage.get("/healthz", &[]).ok(200);
    // Events are taken before the tables are ready.
    stage.post(MP, &[], GOOD).ok(204);
    set(true, 5.1);
    stage.get("/readyz", &[]).problem(503, "E6120");
    set(true, 4.9);
    stage.get("/readyz", &[]).ok(200);
}

#[test]
fn rates_are_in_events() {
    let stage = Stage::with(|settings| {
        settings.rates.secret = clicktrail_server::Rate { per_second: 2.0, burst: 3.0 };
    });
    let four = "{\"event_name\":\"a\"}\n".repeat(4);
    stage.post("/v1/events", &[], &four).ok(200);
    let answer = stage.post(MP, &[], GOOD);
    answer.problem(429, "E6114");
    assert_eq!(answer.header("retry-after"), Some("1"));
    stage.pass(1_000);
    stage.post(MP, &[], GOOD).ok(204);
    stage.post(MP, &[], GOOD).problem(429, "E6114");
}
