//! No bytes break a parser: it never panics, what it accepts decodes, and its counts add up.

use clicktrail_ingest::collect::{
    Parsed, Receipt, dead_letters, gtag, measurement_protocol, read_dead_letters, rows,
    validate_measurement_protocol,
};
use proptest::prelude::*;

use super::{NOW, consistent, limits, receipt};

const HIT: &str = "v=2&tid=G-ABC&cid=123.456&sid=1779256000&sct=3&seg=1&ul=en-us&_p=77&_s=1&_ss=1&\
    dl=https%3A%2F%2Fshop.example%2F%3Futm_source%3Da%2Bb%26gclid%3DG&dr=&dt=Caf%C3%A9&gcs=G111&\
    gcd=13t3t3t2t5l1&uafvl=Google%2520Chrome%3B137%7CNot.A%252FBrand%3B24&uamb=1&_et=5";
const LINES: &str = "en=page_view&ep.a=b&epn.n=1.5&up.t=x\nen=purchase&cu=USD&epn.value=1e3&\
    pr1=idA~nmB~pr1.5~qt2~k0size~v0L~ds1&pr2=idC&ep.transaction_id=T\nen=scroll&_fv=2";
const REQUEST: &str = r#"{"client_id":"1.2","timestamp_micros":"1779256700000000","user_properties":
    {"tier":{"value":"gold"}},"validation_behavior":"RELAXED","device":{"category":"mobile"},
    "consent":{"ad_user_data":"GRANTED"},"user_location":{"city":"Oslo"},"events":[{"name":
    "purchase","params":{"session_id":"1","value":19.99,"currency":"USD","transaction_id":"T",
    "page_location":"https://s.example/?utm_source=a%20b","items":[{"item_id":"A","price":9.5,
    "quantity":2,"size":"L"}]}},{"name":"page_view","timestamp_micros":1779256700000001}]}"#;
const ROWS: &str = r#"{"event_timestamp":"1779256700000000","event_name":"x","event_params":[{"key":"a","value":{"int_value":"1"}}],"items":[{"item_id":"A","price":1.5,"item_params":[]}],"device":{"web_info":{"browser":"B"}},"is_active_user":true}
{"event_name":"y","event_params":{"a":1.5,"b":{"string_value":"s"}},"event_id":"E","user_properties":{"t":"x"}}"#;

/// Checks what holds for every request, and that the decision is the same again.
fn judge(parse: impl Fn(&Receipt) -> Parsed) {
    let mut keyed = receipt();
    keyed.idempotency_key = Some("K".to_owned());
    keyed.trusted = true;
    keyed.user_agent = Some("Mozilla/5.0 (iPhone)".to_owned());
    for receipt in [receipt(), keyed] {
        let parsed = parse(&receipt);
        consistent(&parsed);
        assert_eq!(parse(&receipt), parsed);
        if receipt.idempotency_key.is_some() {
            assert!(parsed.accepted.iter().all(|row| row.event_id.is_some()));
        }
        let payload = dead_letters(&parsed.rejected, "/x", NOW);
        let letters = read_dead_letters(&payload).unwrap();
        assert_eq!(letters.len(), parsed.rejected.len());
        for (letter, rejected) in letters.iter().zip(&parsed.rejected) {
            assert_eq!(letter.raw, rejected.raw);
        }
    }
}

/// All parsers on the same bytes.
fn all(query: &str, body: &[u8]) {
    judge(|receipt| gtag(query, body, receipt, &limits()));
    judge(|receipt| measurement_protocol(query, body, receipt, &limits()));
    judge(|receipt| rows(body, receipt, &limits()));
    let refused = measurement_protocol(query, body, &receipt(), &limits());
    let messages = validate_measurement_protocol(query, body, &receipt(), &limits());
    if refused.malformed.is_some() || !refused.rejected.is_empty() {
        assert!(!messages.is_empty());
    }
}

/// One change of valid bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let index = any::<prop::sample::Index>;
    let pieces = prop::sample::select(vec![
        b"%".to_vec(),
        b"%00".to_vec(),
        b"%ff".to_vec(),
        b"&".to_vec(),
        b"~".to_vec(),
        b"\n".to_vec(),
        b"\0".to_vec(),
        b"\xf0\x9f\x98\x80".to_vec(),
        b"\xff".to_vec(),
        b"\\ud800".to_vec(),
        b"1e999".to_vec(),
        b"-1".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"\"".to_vec(),
        b"9999999999999999999".to_vec(),
    ]);
    let change = prop_oneof![
        (index(), 1_u8..).prop_map(|(at, bits)| Change::Flip(at, bits)),
        (index(), index()).prop_map(|(from, to)| Change::Cut(from, to)),
        (index(), pieces).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ];
    prop::collection::vec(change, 1..4)
}

fn changed(original: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = original.as_bytes().to_vec();
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let span = |from: &prop::sample::Index, to: &prop::sample::Index| {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            from.min(to)..from.max(to).min(from.min(to) + 40)
        };
        match change {
            Change::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Change::Cut(from, to) => {
                let span = span(from, to);
                bytes.drain(span);
            }
            Change::Insert(at, piece) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, piece.iter().copied());
            }
            Change::Repeat(from, to) => {
                let part = bytes[span(from, to)].to_vec();
                bytes.extend(part);
            }
        }
    }
    bytes
}

/// Any JSON, with the keys that the parsers know.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::json!(value).to_string()),
        Just(NOW.to_string()),
        "\\PC{0,12}".prop_map(|text| serde_json::json!(text).to_string()),
        "[a-z_]{1,8}".prop_map(|text| serde_json::json!(text).to_string()),
        Just("\"1.5\"".to_owned()),
        Just("\"https://s.example/?utm_source=x&gclid=%ff%00\"".to_owned()),
    ];
    let key = prop::sample::select(vec![
        "client_id",
        "user_id",
        "timestamp_micros",
        "events",
        "name",
        "params",
        "items",
        "key",
        "value",
        "int_value",
        "string_value",
        "double_value",
        "event_params",
        "user_properties",
        "event_name",
        "event_timestamp",
        "event_id",
        "price",
        "quantity",
        "item_id",
        "item_name",
        "page_location",
        "session_id",
        "device",
        "web_info",
        "browser",
        "user_location",
        "city",
        "clicktrail_event_id",
        "source",
        "currency",
        "transaction_id",
        "item_params",
        "geo",
        "validation_behavior",
        "privacy_info",
        "event_date",
        "stream_id",
        "is_active_user",
    ]);
    leaf.prop_recursive(6, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Any url-encoded line, with the keys that the parser knows.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "en",
        "cid",
        "uid",
        "sid",
        "sct",
        "seg",
        "_ss",
        "_fv",
        "_et",
        "_p",
        "_s",
        "_c",
        "_dbg",
        "ir",
        "tt",
        "dl",
        "dr",
        "dt",
        "dh",
        "ul",
        "cu",
        "cs",
        "cm",
        "cn",
        "ct",
        "gcs",
        "gcd",
        "uafvl",
        "uamb",
        "uap",
        "ep.a",
        "epn.b",
        "ep.transaction_id",
        "epn.value",
        "up.a",
        "upn.b",
        "pr1",
        "pr2",
        "pr200",
        "prx",
        "ep.",
        "epn.",
        "",
        "ep.clicktrail_event_id",
        "v",
        "tid",
    ]);
    let value = prop_oneof![
        "[ -~]{0,20}",
        "\\PC{0,8}",
        Just("G100".to_owned()),
        Just("purchase".to_owned()),
        Just("1".to_owned()),
        Just("1e308".to_owned()),
        Just("idA~nmB~pr1e308~qt9223372036854775807~k0a~v0b~k1é~v1".to_owned()),
        Just("https%3A%2F%2Fs.example%2F%3Futm_source%3D%25ff%26gclid%3D%2500".to_owned()),
    ];
    prop::collection::vec((key, value), 0..12).prop_map(|pairs| {
        let pairs: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    })
}

/// Few cases, unless PROPTEST_CASES asks for more.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(64)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes(query in "\\PC{0,60}", body in prop::collection::vec(any::<u8>(), 0..300)) {
        all(&query, &body);
        all(HIT, &body);
    }

    #[test]
    fn changed_hits(query in changes(), body in changes(), both in any::<bool>()) {
        let query = if both { changed(HIT, &query) } else { HIT.as_bytes().to_vec() };
        let query = String::from_utf8_lossy(&query).into_owned();
        judge(|receipt| gtag(&query, &changed(LINES, &body), receipt, &limits()));
    }

    #[test]
    fn changed_requests(changes in changes()) {
        all("api_secret=x", &changed(REQUEST, &changes));
    }

    #[test]
    fn changed_rows(changes in changes()) {
        judge(|receipt| rows(&changed(ROWS, &changes), receipt, &limits()));
    }

    #[test]
    fn structured_requests(
        events in prop::collection::vec(json(), 0..4),
        params in json(),
        members in prop::collection::vec(json(), 5),
    ) {
        let body = format!(
            "{{\"client_id\":\"1\",\"events\":[{{\"name\":\"purchase\",\"params\":{params}}},\
             {{\"name\":\"x\",\"params\":{{\"value\":{},\"items\":[{params}],\"a\":{}}}}}{}{}],\
             \"user_properties\":{},\"device\":{},\"timestamp_micros\":{}}}",
            members[0], members[1], if events.is_empty() { "" } else { "," }, events.join(","),
            members[2], members[3], members[4],
        );
        all("", body.as_bytes());
        all("", params.as_bytes());
    }

    #[test]
    fn structured_rows(values in prop::collection::vec(json(), 8)) {
        let columns = ["event_params", "items", "device", "user_properties", "user_id",
            "event_timestamp", "batch_page_id", "event_value_in_usd"];
        let members: Vec<String> = columns.iter().zip(&values)
            .map(|(column, value)| format!("\"{column}\":{value}")).collect();
        let row = |members: &[String]| format!("{{\"event_name\":\"x\",{}}}", members.join(","));
        let singles: Vec<String> = members.iter().map(|one| row(std::slice::from_ref(one))).collect();
        let body = format!("{}\n{}", row(&members), singles.join("\n"));
        judge(|receipt| rows(body.as_bytes(), receipt, &limits()));
    }

    #[test]
    fn structured_hits(query in line(), lines in prop::collection::vec(line(), 0..4)) {
        let query = format!("{query}&v=2&tid=G-A&cid=1&en=x");
        judge(|receipt| gtag(&query, lines.join("\n").as_bytes(), receipt, &limits()));
    }
}
