//! Any bytes as a request: an answer or a closed connection, and a server that goes on.

use proptest::prelude::*;

use crate::stage::{Answer, HIT, Stage};

fn sane(answers: &[Answer]) {
    for answer in answers {
        assert!((200..600).contains(&answer.status) && answer.status != 500, "{answer:?}");
    }
}

/// A request that is nearly right.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof!["GET", "POST", "OPTIONS", "[A-Z]{1,8}", "\\PC{0,4}"];
    let path = prop_oneof![
        "/g/collect",
        "/mp/collect",
        "/v1/events",
        "/api/v1/tables/[a-z%\"]{0,5}",
        "/\\PC{0,9}"
    ];
    let query = prop_oneof!["", "\\?[a-z_%&=+0-9.]{0,60}", "\\?v=2&tid=G-1&cid=1&en=[a-z%+]{0,9}"];
    let name = prop_oneof![
        "Content-Length",
        "Transfer-Encoding",
        "Content-Encoding",
        "Content-Type",
        "Host",
        "Origin",
        "Authorization",
        "Idempotency-Key",
        "X-Clicktrail-Producer",
        "X-Clicktrail-Offset",
        "Referer",
        "X-Forwarded-For",
        "Expect",
        "Connection",
        "[!-~]{1,12}",
    ];
    let value = prop_oneof!["[0-9]{1,25}", "chunked", "gzip", "[ -~]{0,30}", "\\PC{0,20}"];
    let header = (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    let headers = prop::collection::vec(header, 0..6).prop_map(|all| all.concat());
    let body = prop::collection::vec(any::<u8>(), 0..80);
    (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| {
        let head = format!("{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        [head.into_bytes(), body].concat()
    })
}

#[test]
fn no_request_confuses_the_server() {
    let stage = Stage::open();
    let config = ProptestConfig { cases: 400, fork: false, ..ProptestConfig::default() };
    proptest!(config, |(bytes in request())| {
        sane(&stage.talk_and_end(&bytes));
    });
    stage.get(HIT, &[]).ok(204);
}

#[test]
fn no_bytes_confuse_the_server() {
    let stage = Stage::open();
    let config = ProptestConfig { cases: 150, fork: false, ..ProptestConfig::default() };
    proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 0..300))| {
        sane(&stage.talk_and_end(&bytes));
    });
    stage.get(HIT, &[]).ok(204);
}

#[test]
fn any_query_is_answered() {
    let stage = Stage::open();
    let config = ProptestConfig { cases: 200, fork: false, ..ProptestConfig::default() };
    proptest!(config, |(query in "[!-~&&[^#]]{0,80}")| {
        let answer = stage.get(&format!("/g/collect?{query}"), &[]);
        prop_assert!([204, 400].contains(&answer.status), "{:?}", answer);
    });
}
