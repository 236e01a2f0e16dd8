//! Pages: who may send, what they are told, and what other pages cannot do.

use crate::stage::{Answer, GOOD, HIT, MP, READ_SECRET, SECRET, SHOP, Stage, WRITE_KEY};

const FOREIGN: [&str; 8] = [
    "https://evil.example",
    "null",
    "http://shop.example",
    "https://shop.example:8443",
    "https://shop.example.evil.example",
    "https://evil-shop.example",
    "file://",
    "shop.example",
];

fn no_cors(answer: &Answer) {
    for name in ["allow-origin", "allow-credentials", "allow-methods", "allow-headers", "max-age"] {
        assert_eq!(answer.header(&format!("access-control-{name}")), None, "{answer:?}");
    }
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[test]
fn a_listed_page_sends_with_a_public_key() {
    let stage = Stage::closed();
    let origin = format!("Origin: {SHOP}");
    let keyed = format!("/{WRITE_KEY}{}", HIT.replace(WRITE_KEY, "G-OTHER"));
    let in_query = format!("{}&write_key={WRITE_KEY}", MP.replace(WRITE_KEY, "G-OTHER"));
    let rows = format!("/v1/events?write_key={WRITE_KEY}");
    for answer in [
        stage.get(HIT, &[&origin]),
        stage.post(HIT, &[&origin, "Content-Type: text/plain"], ""),
        stage.get(&keyed, &[&origin]),
        stage.post(MP, &[&origin], GOOD),
        stage.post(&in_query, &[&origin], GOOD),
        stage.post(&rows, &[&origin, "Content-Type: text/plain"], "{\"event_name\":\"a\"}"),
    ] {
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    // The page may read why it was refused.
    let answer = stage.post(MP, &[&origin], "{");
    answer.problem(400, "E6101");
    assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
    stage.get(&keyed.replace(WRITE_KEY, "G-NONE"), &[&origin]).problem(404, "E6107");
    let unknown = HIT.replace(WRITE_KEY, "G-OTHER");
    stage.get(&unknown, &[&origin]).problem(401, "E6102");
}

#[test]
fn a_foreign_page_sends_nothing() {
    for stage in [Stage::closed(), Stage::open()] {
        for origin in FOREIGN {
            let origin = format!("Origin: {origin}");
            let secret = format!("{MP}&api_secret={SECRET}");
            for answer in [
                stage.get(HIT, &[&origin]),
                stage.post(HIT, &[&origin], ""),
                stage.post(MP, &[&origin], GOOD),
                stage.post(&secret, &[&origin], GOOD),
                stage.post("/v1/events", &[&origin], "{\"event_name\":\"a\"}"),
            ] {
                answer.problem(403, "E6104");
                no_cors(&answer);
            }
        }
        let two = ["Origin: https://shop.example", "Origin: https://evil.example"];
        stage.get(HIT, &two).problem(403, "E6104");
        assert_eq!(stage.log.len(), 0);
    }
}

#[test]
fn pages_that_hide_their_origin() {
    let stage = Stage::closed();
    stage.get(HIT, &["Referer: https://shop.example/cart?x=1"]).ok(204);
    stage.get(HIT, &["Sec-Fetch-Site: same-origin"]).ok(204);
    stage.get(HIT, &["Referer: https://evil.example/https://shop.example"]).problem(403, "E6104");
    stage.get(HIT, &["Referer: https://shop.example@evil.example/"]).problem(403, "E6104");
    stage.get(HIT, &["Sec-Fetch-Site: cross-site"]).problem(403, "E6104");
    stage.get(HIT, &[]).problem(403, "E6104");
    // An image on any page must not write into somebody's local server.
    let open = Stage::open();
    open.get(HIT, &["Referer: https://evil.example/"]).problem(403, "E6104");
    open.get(HIT, &["Sec-Fetch-Site: cross-site"]).problem(403, "E6104");
    open.get(HIT, &["Origin: http://localhost:3000"]).ok(204);
    open.get(HIT, &["Referer: http://127.0.0.1:3000/"]).ok(204);
    open.get(HIT, &[]).ok(204);
}

#[test]
fn preflights() {
    let stage = Stage::closed();
    let ask = |origin: &str, path: &str| {
        let origin = format!("Origin: {origin}");
        let wanted = "Access-Control-Request-Headers: content-type,x-clicktrail-producer";
        stage.send("OPTIONS", path, &[&origin, "Access-Control-Request-Method: POST", wanted], b"")
    };
    for path in [HIT, MP, "/v1/events", "/debug/mp/collect", "/G-TEST123/g/collect"] {
        let answer = ask(SHOP, path).ok(204);
        let header = |name: &str| answer.header(&format!("access-control-{name}"));
        assert_eq!(header("allow-origin"), Some(SHOP));
        assert_eq!(header("allow-methods"), Some("POST, GET, OPTIONS"));
        assert_eq!(header("allow-headers"), Some("content-type,x-clicktrail-producer"));
        assert_eq!(header("max-age"), Some("3600"));
        assert_eq!(header("allow-credentials"), None);
        for origin in FOREIGN {
            let answer = ask(origin, path);
            answer.problem(403, "E6104");
            no_cors(&answer);
        }
    }
    stage.send("OPTIONS", MP, &[], b"").problem(403, "E6104");
    let long = format!("Access-Control-Request-Headers: {}", "a".repeat(600));
    let answer = stage.send("OPTIONS", MP, &["Origin: https://shop.example", &long], b"").ok(204);
    assert_eq!(answer.header("access-control-allow-headers"), None);
}

#[test]
fn cookies_only_where_they_are_wanted() {
    let stage = Stage::with(|settings| {
        crate::stage::close(settings);
        settings.access.allow_credentials = true;
    });
    let answer = stage.get(HIT, &["Origin: https://shop.example"]).ok(204);
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let answer = stage.get(HIT, &["Origin: https://evil.example"]).ok(403);
    no_cors(&answer);
}

#[test]
fn no_page_but_our_own_reads() {
    let stage = Stage::closed();
    let reader = format!("Authorization: Bearer {READ_SECRET}");
    let own = format!("Origin: http://{}", stage.address);
    stage.get("/api/v1/status", &[&reader, &own]).ok(200);
    // A shop's page may send events, not read tables.
    for origin in FOREIGN.iter().chain(&[SHOP, "http://localhost:3000"]) {
        let origin = format!("Origin: {origin}");
        for path in ["/api/v1/status", "/api/v1/tables/mart", "/metrics"] {
            let answer = stage.get(path, &[&reader, &origin]);
            answer.problem(403, "E6104");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    stage.get("/api/v1/status", &[&reader, "Sec-Fetch-Site: cross-site"]).problem(403, "E6104");
    stage
        .send("OPTIONS", "/api/v1/query", &["Origin: https://evil.example"], b"")
        .problem(405, "E6108");
}
