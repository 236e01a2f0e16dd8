//! The Measurement Protocol and its validation.

use clicktrail_ingest::collect::{
    Parsed, Reason, ValidationCode, ValidationMessage, dead_letters, measurement_protocol,
    read_dead_letters, validate_measurement_protocol,
};
use serde_json::{Value, json};

use super::{NOW, accepted, limits, malformed, names, only, param, reasons, receipt};

const QUERY: &str = "api_secret=hush&measurement_id=G-ABC";
const HOUR: i64 = 3_600_000_000;

fn post(body: &Value) -> Parsed {
    let parsed = measurement_protocol(QUERY, body.to_string().as_bytes(), &receipt(), &limits());
    // Whatever is refused, the validation tells about.
    if parsed.malformed.is_some() || !parsed.rejected.is_empty() {
        assert!(!validate(body).is_empty(), "{body}");
    }
    parsed
}

fn validate(body: &Value) -> Vec<ValidationMessage> {
    validate_measurement_protocol(QUERY, body.to_string().as_bytes(), &receipt(), &limits())
}

fn codes(body: &Value) -> Vec<(String, ValidationCode)> {
    let messages = validate(body).into_iter();
    messages.map(|message| (message.field_path, message.validation_code)).collect()
}

/// A request of one event.
fn event(event: Value) -> Value {
    json!({"client_id": "1.2", "events": [event]})
}

#[test]
fn a_purchase_becomes_a_row_of_the_export() {
    let body = json!({
        "client_id": "1.2",
        "user_id": "u",
        "timestamp_micros": (NOW - 2 * HOUR).to_string(),
        "user_properties": {"tier": {"value": "gold"}, "n": {"value": 3, "timestamp_micros": 5}},
        "device": {"category": "mobile", "language": "en", "operating_system": "Android", "browser": "Chrome"},
        "user_location": {"city": "Oslo", "country_id": "NO"},
        "events": [{
            "name": "purchase",
            "event_id": "E1",
            "params": {
                "session_id": "1779256000", "session_number": 2, "engagement_time_msec": "100",
                "debug_mode": true, "transaction_id": "T1", "value": 59.97, "currency": "usd",
                "shipping": 5.0, "coupon": null, "deep": {"x": 1},
                "page_location": "https://s.example/?utm_source=a&utm_medium=b&gclid=G",
                "items": [
                    {"item_id": "A", "price": 19.99, "quantity": 3, "index": 1, "size": "L"},
                    {"item_name": "B", "price": "oops", "quantity": "2"},
                    {"price": 1},
                    7,
                ],
            },
        }],
    });
    let parsed = post(&body);
    let row = only(&parsed);
    let time = "1779249600000000";
    assert_eq!(
        row,
        json!({
            "event_date": "20260519",
            "event_timestamp": time,
            "event_name": "purchase",
            "event_params": [
                {"key": "ga_session_id", "value": {"int_value": "1779256000"}},
                {"key": "ga_session_number", "value": {"int_value": "2"}},
                {"key": "engagement_time_msec", "value": {"int_value": "100"}},
                {"key": "debug_mode", "value": {"int_value": "1"}},
                {"key": "transaction_id", "value": {"string_value": "T1"}},
                {"key": "value", "value": {"double_value": 59.97}},
                {"key": "currency", "value": {"string_value": "usd"}},
                {"key": "shipping", "value": {"int_value": "5"}},
                {"key": "page_location", "value":
                    {"string_value": "https://s.example/?utm_source=a&utm_medium=b&gclid=G"}},
                {"key": "clicktrail_event_id", "value": {"string_value": "E1"}},
            ],
            "event_value_in_usd": 59.97,
            "event_server_timestamp_offset": (2 * HOUR).to_string(),
            "user_id": "u",
            "user_pseudo_id": "1.2",
            "user_properties": [
                {"key": "tier", "value": {"string_value": "gold", "set_timestamp_micros": time}},
                {"key": "n", "value": {"int_value": "3", "set_timestamp_micros": "5"}},
            ],
            "device": {
                "category": "mobile", "operating_system": "Android", "language": "en",
                "web_info": {"browser": "Chrome"},
            },
            "stream_id": "S1",
            "platform": "WEB",
            "ecommerce": {
                "total_item_quantity": "5", "purchase_revenue_in_usd": 59.97,
                "purchase_revenue": 59.97, "shipping_value_in_usd": 5.0, "shipping_value": 5.0,
                "unique_items": "2", "transaction_id": "T1",
            },
            "items": [
                {
                    "item_id": "A", "price_in_usd": 19.99, "price": 19.99, "quantity": "3",
                    "item_revenue_in_usd": 59.97, "item_revenue": 59.97, "item_list_index": "1",
                    "item_params": [{"key": "size", "value": {"string_value": "L"}}],
                },
                {
                    "item_name": "B", "quantity": "2",
                    "item_params": [{"key": "price", "value": {"string_value": "oops"}}],
                },
            ],
            "collected_traffic_source": {"manual_source": "a", "manual_medium": "b", "gclid": "G"},
            "batch_event_index": "1",
        })
    );
    assert_eq!(parsed.accepted[0].event_id.as_deref(), Some("E1"));
    assert_eq!(parsed.oddities.dropped_params, 3);
    // A place is believed of an authenticated server only.
    let mut trusted = receipt();
    trusted.trusted = true;
    let parsed = measurement_protocol(QUERY, body.to_string().as_bytes(), &trusted, &limits());
    assert_eq!(only(&parsed)["geo"], json!({"city": "Oslo", "country": "NO"}));
}

#[test]
fn events_beyond_25_are_refused_alone() {
    let events = |count: usize| {
        let events: Vec<Value> = (0..count).map(|n| json!({"name": format!("e{n}")})).collect();
        json!({"client_id": "1.2", "events": events})
    };
    let rows = accepted(&post(&events(25)));
    assert_eq!(rows.len(), 25);
    assert_eq!(rows[24]["batch_event_index"], "25");
    let parsed = post(&events(26));
    assert_eq!(accepted(&parsed).len(), 25);
    assert_eq!(reasons(&parsed), [(25, Reason::TooManyEvents)]);
    assert_eq!(codes(&events(26)), [("events".to_owned(), ValidationCode::ExceededMaxEntities)]);
    // The raw bytes are a request with this event alone, without the secret.
    let raw: Value = serde_json::from_slice(&parsed.rejected[0].raw).unwrap();
    assert_eq!(raw, json!({"client_id": "1.2", "events": [{"name": "e25"}]}));
    let payload = dead_letters(&parsed.rejected, "/mp/collect", NOW);
    let letters = read_dead_letters(&payload).unwrap();
    assert_eq!(letters[0].reason, "too_many_events");
    assert_eq!(letters[0].raw, parsed.rejected[0].raw);
    assert_eq!(
        accepted(&measurement_protocol("", &letters[0].raw, &receipt(), &limits())).len(),
        1
    );
}

#[test]
fn stale_events_keep_their_time_unless_strictness_is_asked_for() {
    let mut body = event(json!({"name": "x"}));
    body["timestamp_micros"] = json!(NOW - 73 * HOUR);
    let parsed = post(&body);
    assert_eq!(only(&parsed)["event_timestamp"], (NOW - 73 * HOUR).to_string());
    assert_eq!(parsed.oddities.old_events, 1);
    assert_eq!(codes(&body), [("timestamp_micros".to_owned(), ValidationCode::ValueInvalid)]);
    body["validation_behavior"] = json!("RELAXED");
    only(&post(&body));
    body["validation_behavior"] = json!("ENFORCE_RECOMMENDATIONS");
    assert_eq!(reasons(&post(&body)), [(0, Reason::StaleTs)]);
    body["timestamp_micros"] = json!(NOW - 71 * HOUR);
    assert_eq!(only(&post(&body))["event_timestamp"], (NOW - 71 * HOUR).to_string());
}

#[test]
fn the_nearest_time_wins() {
    let mut body = json!({
        "client_id": "1", "events": [{"name": "a", "timestamp_micros": NOW - 1}, {"name": "b"}]
    });
    let times = |body: &Value| -> Vec<String> {
        let rows = accepted(&post(body));
        rows.iter().map(|row| row["event_timestamp"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(times(&body), [(NOW - 1).to_string(), NOW.to_string()]);
    body["timestamp_micros"] = json!(NOW - 2);
    assert_eq!(times(&body), [(NOW - 1).to_string(), (NOW - 2).to_string()]);
    body["timestamp_micros"] = json!("soon");
    assert_eq!(reasons(&post(&body)), [(1, Reason::BadTimestamp)]);
}

#[test]
fn refused_events_have_their_reasons() {
    let params = |count: usize| -> Value {
        (0..count).map(|n| (format!("p{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into()
    };
    let cases = [
        (json!({}), Reason::MissingEventName, ValidationCode::ValueRequired),
        (json!({"name": ""}), Reason::MissingEventName, ValidationCode::ValueRequired),
        (json!({"name": 5}), Reason::BadType, ValidationCode::ValueInvalid),
        (json!(5), Reason::BadType, ValidationCode::ValueInvalid),
        (json!({"name": "1st"}), Reason::NameInvalid, ValidationCode::NameInvalid),
        (json!({"name": "a-b"}), Reason::NameInvalid, ValidationCode::NameInvalid),
        (json!({"name": "_x"}), Reason::NameInvalid, ValidationCode::NameInvalid),
        (json!({"name": "n".repeat(41)}), Reason::NameInvalid, ValidationCode::NameInvalid),
        (json!({"name": "session_start"}), Reason::NameReserved, ValidationCode::NameReserved),
        (json!({"name": "x", "params": []}), Reason::BadType, ValidationCode::ValueInvalid),
        (
            json!({"name": "x", "params": params(26)}),
            Reason::TooManyParams,
            ValidationCode::ExceededMaxEntities,
        ),
        (
            json!({"name": "x", "event_id": ""}),
            Reason::EventIdInvalid,
            ValidationCode::ValueInvalid,
        ),
        (
            json!({"name": "x", "event_id": "i".repeat(257)}),
            Reason::EventIdInvalid,
            ValidationCode::ValueInvalid,
        ),
        (
            json!({"name": "x", "params": {"clicktrail_event_id": "i".repeat(300)}}),
            Reason::EventIdInvalid,
            ValidationCode::ValueInvalid,
        ),
        (
            json!({"name": "x", "timestamp_micros": 0}),
            Reason::BadTimestamp,
            ValidationCode::ValueInvalid,
        ),
    ];
    for (bad, reason, code) in cases {
        let parsed = post(&event(bad.clone()));
        assert_eq!(reasons(&parsed), [(0, reason)], "{bad}");
        assert!(!parsed.rejected[0].detail.is_empty());
        assert_eq!(
            codes(&event(bad.clone())).iter().map(|(_, code)| *code).collect::<Vec<_>>(),
            [code],
            "{bad}"
        );
        // Good events beside it are accepted.
        let mixed = json!({"client_id": "1", "events": [{"name": "good"}, bad, {"name": "gut"}]});
        assert_eq!(accepted(&post(&mixed)).len(), 2);
    }
    only(&post(&event(json!({"name": "x", "params": params(25)}))));
    only(&post(&event(json!({"name": "größe_ü"}))));
}

#[test]
fn requests_without_a_client() {
    let id = "9".repeat(257);
    let cases = [
        (json!({}), Reason::MissingClientId),
        (json!({"client_id": " "}), Reason::MissingClientId),
        (json!({"client_id": null}), Reason::MissingClientId),
        (json!({"client_id": 1.5}), Reason::BadType),
        (json!({"client_id": id}), Reason::IdTooLong),
        (json!({"client_id": "1", "user_id": id}), Reason::IdTooLong),
    ];
    for (mut body, reason) in cases {
        body["events"] = json!([{"name": "x"}, {"name": "y"}]);
        assert_eq!(reasons(&post(&body)), [(0, reason), (1, reason)], "{body}");
    }
    let app = json!({"app_instance_id": "0".repeat(32), "events": [{"name": "x"}],
        "device": {"operating_system": "iOS"}});
    let parsed = measurement_protocol(
        "firebase_app_id=1:2:ios:3",
        app.to_string().as_bytes(),
        &receipt(),
        &limits(),
    );
    let row = only(&parsed);
    assert_eq!(
        (&row["platform"], &row["app_info"]["firebase_app_id"]),
        (&json!("IOS"), &json!("1:2:ios:3"))
    );
    assert_eq!(row["user_pseudo_id"], "0".repeat(32));
}

#[test]
fn bodies_that_cannot_be_read() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50), "]".repeat(50));
    let cases: [(&[u8], Reason); 12] = [
        (b"", Reason::BadJson),
        (b"{", Reason::BadJson),
        (b"[]", Reason::BadJson),
        (b"{\"events\":NaN}", Reason::BadJson),
        (b"{\"events\":1e999}", Reason::BadJson),
        (b"{\"client_id\":\"\\ud800\"}", Reason::BadJson),
        (b"{\"client_id\":\"\xff\"}", Reason::BadUtf8),
        (b"{\"client_id\":\"\\u0000\"}", Reason::NulCharacter),
        (b"{\"client_id\":\"1\",\"client_id\":\"2\"}", Reason::DuplicateKey),
        (deep.as_bytes(), Reason::TooDeep),
        (b"{\"client_id\":\"1\"}", Reason::NoEvents),
        (b"{\"client_id\":\"1\",\"events\":[]}", Reason::NoEvents),
    ];
    for (body, reason) in cases {
        let parsed = measurement_protocol(QUERY, body, &receipt(), &limits());
        assert_eq!(malformed(&parsed), reason, "{}", String::from_utf8_lossy(body));
        assert_eq!(parsed.malformed.unwrap().raw, body);
        let messages = validate_measurement_protocol(QUERY, body, &receipt(), &limits());
        assert!(!messages.is_empty());
    }
    let large = vec![b' '; 130_001];
    let parsed = measurement_protocol(QUERY, &large, &receipt(), &limits());
    assert_eq!(malformed(&parsed), Reason::BodyTooLarge);
    assert_eq!(parsed.malformed.unwrap().raw.len(), 64_000);
}

#[test]
fn what_is_repaired_is_counted_and_told_by_the_validation() {
    let body = json!({
        "client_id": "1.2",
        "consent": {"ad_user_data": "maybe", "other": "GRANTED"},
        "user_properties": {"p".repeat(25): {"value": 1}, "user_id": {"value": 1}, "v": {"value": "x".repeat(37)}},
        "events": [{"name": "x", "params": {
            "ga_own": 1, "1st": 1, "firebase_conversion": 1, "list": [1],
            "long": "é".repeat(101), "page_location": format!("https://s.example/?{}&utm_source=late", "x".repeat(1000)),
            "session_id": "abc",
        }}],
    });
    let parsed = post(&body);
    let row = only(&parsed);
    assert_eq!(names(&row), ["long", "page_location", "ga_session_id"]);
    assert_eq!(param(&row, "long")["string_value"].as_str().unwrap().chars().count(), 100);
    assert_eq!(param(&row, "page_location")["string_value"].as_str().unwrap().len(), 1000);
    // The campaign is read before the address is cut.
    assert_eq!(row["collected_traffic_source"]["manual_source"], "late");
    assert_eq!(row["user_properties"].as_array().unwrap().len(), 1);
    assert_eq!((parsed.oddities.dropped_params, parsed.oddities.cut_values), (6, 3));
    let found: Vec<String> =
        codes(&body).into_iter().map(|(path, code)| format!("{path} {}", json!(code))).collect();
    let expected = [
        "consent.ad_user_data \"VALUE_INVALID\"".to_owned(),
        "consent.other \"NAME_INVALID\"".to_owned(),
        format!("user_properties.{} \"NAME_INVALID\"", "p".repeat(25)),
        "user_properties.user_id \"NAME_RESERVED\"".to_owned(),
        "user_properties.v \"VALUE_OUT_OF_BOUNDS\"".to_owned(),
        "events[0].params.ga_own \"NAME_RESERVED\"".to_owned(),
        "events[0].params.1st \"NAME_INVALID\"".to_owned(),
        "events[0].params.firebase_conversion \"NAME_RESERVED\"".to_owned(),
        "events[0].params.list \"VALUE_INVALID\"".to_owned(),
        "events[0].params.long \"VALUE_OUT_OF_BOUNDS\"".to_owned(),
        "events[0].params.page_location \"VALUE_OUT_OF_BOUNDS\"".to_owned(),
        "events[0].params.session_id \"VALUE_INVALID\"".to_owned(),
    ];
    assert_eq!(found, expected);
    let mut strict = body;
    strict["validation_behavior"] = json!("ENFORCE_RECOMMENDATIONS");
    assert_eq!(reasons(&post(&strict)), [(0, Reason::ParamNameInvalid)]);
}

#[test]
fn the_validation_writes_as_google_does() {
    let messages = validate(&event(json!({"name": "_x"})));
    assert_eq!(
        json!({"validationMessages": messages}),
        json!({"validationMessages": [{
            "fieldPath": "events[0].name",
            "description": "the name does not start with a letter",
            "validationCode": "NAME_INVALID",
        }]})
    );
    assert!(validate(&event(json!({"name": "x", "params": {"value": 1}}))).is_empty());
}

#[test]
fn campaign_details_name_the_campaign() {
    let body = event(json!({"name": "campaign_details", "params": {
        "source": "s", "medium": "m", "campaign": "c", "campaign_id": 7, "term": "t", "content": "x",
        "gclid": "G", "page_location": "https://s.example/?utm_source=other&utm_id=9&dclid=D",
    }}));
    let row = only(&post(&body));
    assert_eq!(
        row["collected_traffic_source"],
        json!({
            "manual_campaign_id": "7", "manual_campaign_name": "c", "manual_source": "s",
            "manual_medium": "m", "manual_term": "t", "manual_content": "x", "gclid": "G",
            "dclid": "D",
        })
    );
}

#[test]
fn an_idempotency_key_names_events_without_an_id() {
    let mut keyed = receipt();
    keyed.idempotency_key = Some("K".to_owned());
    let body = json!({"client_id": "1", "events": [
        {"name": "a"}, {"name": "-"}, {"name": "b", "event_id": 7, "params": {"clicktrail_event_id": "p"}},
        {"name": "c", "params": {"clicktrail_event_id": "p"}},
    ]});
    let parsed = measurement_protocol(QUERY, body.to_string().as_bytes(), &keyed, &limits());
    let ids: Vec<_> = parsed.accepted.iter().map(|row| row.event_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["K/0", "7", "p"]);
    for (row, id) in accepted(&parsed).iter().zip(ids) {
        assert_eq!(param(row, "clicktrail_event_id")["string_value"], id);
    }
}

#[test]
fn many_refusals_do_not_multiply_a_long_body() {
    let events = vec![json!(0); 20_000];
    let body = json!({"client_id": "1", "user_data": "x".repeat(80_000), "events": events});
    let parsed = post(&body);
    assert_eq!(parsed.rejected.len(), 20_000);
    let kept: usize = parsed.rejected.iter().map(|one| one.raw.len()).sum();
    assert!(kept <= 1 << 20, "{kept}");
}
