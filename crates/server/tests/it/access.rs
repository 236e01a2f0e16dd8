//! Secrets: missing, wrong, rotated, and where they may stand.

use crate::stage::{
    GOOD, HIT, MP, NEXT_SECRET, READ_SECRET, SECRET, Stage, WRITE_KEY, WRONG_SECRET,
};

#[test]
fn secrets_of_senders() {
    let stage = Stage::closed();
    let cases: &[(&str, &str, u16, &str)] = &[
        // secret in the query, Authorization, status, code
        ("", "", 401, "E6102"),
        ("", "Bearer ", 401, "E6102"),
        ("", "Basic Zm9vOmJhcg==", 401, "E6102"),
        ("", "Bear", 401, "E6102"),
        (SECRET, "", 204, ""),
        (NEXT_SECRET, "", 204, ""),
        ("", "Bearer first-write-secret-6d1f", 204, ""),
        ("", "bearer second-write-secret-93ac", 204, ""),
        (WRONG_SECRET, "", 403, "E6103"),
        ("", "Bearer never-a-valid-secret-0000", 403, "E6103"),
        // The header counts when there are two.
        (SECRET, "Bearer never-a-valid-secret-0000", 403, "E6103"),
        (WRONG_SECRET, "Bearer first-write-secret-6d1f", 204, ""),
        // Part of a secret, more than a secret, a secret of readers.
        ("first-write-secret-6d1", "", 403, "E6103"),
        ("first-write-secret-6d1f0", "", 403, "E6103"),
        (READ_SECRET, "", 403, "E6103"),
        ("FIRST-WRITE-SECRET-6D1F", "", 403, "E6103"),
    ];
    for (query, authorization, status, code) in cases {
        // Not the measurement id of the closed stage: that one is a write key.
        for path in ["/mp/collect", "/debug/mp/collect", "/v1/events", "/g/collect"] {
            let mut target = format!("{path}?measurement_id=G-OTHER&v=2&tid=G-OTHER&cid=1.2&en=a");
            if !query.is_empty() {
                target += &format!("&api_secret={query}");
            }
            let header = format!("Authorization: {authorization}");
            let headers: &[&str] = if authorization.is_empty() { &[] } else { &[&header] };
            let body = match path {
                "/v1/events" => "{\"event_name\":\"a\"}",
                "/g/collect" => "",
                _ => GOOD,
            };
            let answer = stage.post(&target, headers, body);
            if *status == 204 {
                assert!([200, 204].contains(&answer.status), "{target}: {answer:?}");
            } else {
                answer.problem(*status, code);
                let challenge = answer.header("www-authenticate");
                assert_eq!(challenge.is_some(), *status == 401, "{answer:?}");
            }
        }
    }
    // Secrets never reach the log.
    let batches = stage.log.batches.lock().unwrap();
    let stored: Vec<u8> = batches.iter().flat_map(|batch| batch.events.payload.clone()).collect();
    assert!(!String::from_utf8(stored).unwrap().contains("secret"));
}

#[test]
fn a_secret_is_refused_before_the_body_is_read() {
    let stage = Stage::closed();
    let answers = stage.talk(
        b"POST /mp/collect?api_secret=nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
    );
    answers[0].problem(403, "E6103");
    let expecting = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
        Connection: close\r\nContent-Length: 8000000\r\n\r\n";
    stage.talk(expecting.as_bytes())[0].problem(401, "E6102");
}

#[test]
fn after_a_rotation_the_old_secret_is_gone() {
    let stage = Stage::with(|settings| {
        settings.access.write_secrets =
            vec![clicktrail_server::SecretHash::of(NEXT_SECRET).unwrap()];
    });
    stage.post(&format!("{MP}&api_secret={SECRET}"), &[], GOOD).problem(403, "E6103");
    stage.post(&format!("{MP}&api_secret={NEXT_SECRET}"), &[], GOOD).ok(204);
}

#[test]
fn secrets_of_readers() {
    let stage = Stage::closed();
    for path in ["/api/v1/status", "/api/v1/tables/mart", "/metrics"] {
        stage.get(path, &[]).problem(401, "E6102");
        stage.get(path, &[&format!("Authorization: Bearer {SECRET}")]).problem(403, "E6103");
        stage.get(&format!("{path}?api_secret={READ_SECRET}"), &[]).problem(401, "E6102");
        stage.get(path, &[&format!("Authorization: Bearer {READ_SECRET}")]).ok(200);
    }
    stage.post("/api/v1/query", &["Content-Type: application/json"], "{}").problem(401, "E6102");
    stage.get("/healthz", &[]).ok(200);
    stage.get("/readyz", &[]).ok(200);
}

#[test]
fn an_open_server_takes_the_secret_that_the_protocol_demands() {
    let stage = Stage::open();
    stage.post(&format!("{MP}&api_secret=whatever"), &[], GOOD).ok(204);
    let mixed = r#"{"client_id":"1.2","events":[{"name":"1bad"}]}"#;
    stage.post(&format!("{MP}&api_secret=whatever"), &[], mixed).ok(400);
    let letter = stage.log.last().dead_letters.payload;
    assert!(!String::from_utf8(letter).unwrap().contains("whatever"));
}

#[test]
fn a_loopback_server_goes_by_its_own_names() {
    let stage = Stage::with(|settings| settings.access.hosts = vec!["ga.test".into()]);
    for host in ["localhost", "localhost:1234", "127.0.0.1", "[::1]:80", "ga.test", "GA.TEST:8686"]
    {
        let host = format!("Host: {host}");
        stage.get("/api/v1/status", &[&host]).ok(200);
        stage.post(MP, &[&host], GOOD).ok(204);
    }
    for host in
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "a@localhost", ""]
    {
        let host = format!("Host: {host}");
        for answer in [
            stage.get("/api/v1/status", &[&host]),
            stage.get("/metrics", &[&host]),
            stage.post(
                "/api/v1/query",
                &[&host, "Content-Type: application/json"],
                "{\"sql\":\"x\"}",
            ),
            stage.post(MP, &[&host], GOOD),
            stage.get(HIT, &[&host]),
        ] {
            answer.problem(403, "E6105");
        }
        stage.get("/healthz", &[&host]).ok(200);
    }
    assert_eq!(stage.log.rows(), 6);
    // With a secret, senders may use any name: a proxy in front has another one.
    let closed = Stage::closed();
    closed
        .post(&format!("{MP}&api_secret={SECRET}"), &["Host: metrics.shop.example"], GOOD)
        .ok(204);
    let reader = format!("Authorization: Bearer {READ_SECRET}");
    closed.get("/api/v1/status", &["Host: evil.example", &reader]).problem(403, "E6105");
}

#[test]
fn networks_without_a_secret_have_a_rate_of_their_own() {
    let stage = Stage::with(|settings| {
        crate::stage::close(settings);
        settings.behind_proxy = true;
        settings.rates.prefix = clicktrail_server::Rate { per_second: 1.0, burst: 1.0 };
    });
    let hit = |address: &str| {
        let forwarded = format!("X-Forwarded-For: {address}");
        stage.get(HIT, &["Origin: https://shop.example", &forwarded]).status
    };
    assert_eq!(hit("198.51.100.7"), 204);
    assert_eq!(hit("198.51.100.8"), 429, "the same /24");
    assert_eq!(hit("198.51.101.8"), 204);
    // Only what the proxy itself has added counts.
    assert_eq!(hit("203.0.113.1, 198.51.100.9"), 429);
    assert_eq!(hit("2001:db8:0:aa00::1"), 204);
    assert_eq!(hit("2001:db8:0:aaff::2"), 429, "the same /56");
    assert!(WRITE_KEY.starts_with("G-"));
    // A sender with a secret does not share it.
    let path = format!("{MP}&api_secret={SECRET}");
    stage.post(&path, &["X-Forwarded-For: 198.51.100.7"], GOOD).ok(204);
    stage.pass(1_000);
    assert_eq!(hit("198.51.100.7"), 204);
}
