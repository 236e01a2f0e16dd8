//! gtag hits.

use clicktrail_ingest::collect::{Parsed, Reason, gtag};
use serde_json::json;

use super::{accepted, limits, malformed, names, only, param, reasons, receipt};

const BASE: &str = "v=2&tid=G-ABC&cid=123.456&sid=1779256000&sct=3&seg=1&ul=EN-us&_p=77&_s=1&\
    dl=https%3A%2F%2Fshop.example%2Fa%3Fx%3D1&dr=https%3A%2F%2Fnews.example%2F&dt=Caf%C3%A9";

fn hit(query: &str, body: &str) -> Parsed {
    gtag(query, body.as_bytes(), &receipt(), &limits())
}

/// `BASE` with more fields.
fn with(fields: &str) -> Parsed {
    hit(&format!("{BASE}&{fields}"), "")
}

#[test]
fn a_single_get_becomes_a_row_of_the_export() {
    let parsed = with("en=page_view&_et=42&epn.whole=5&epn.part=2.5&ep.text=a%2Bb%20c");
    let row = only(&parsed);
    assert_eq!(
        row,
        json!({
            "event_date": "20260519",
            "event_timestamp": "1779256800000000",
            "event_name": "page_view",
            "event_params": [
                {"key": "ga_session_id", "value": {"int_value": "1779256000"}},
                {"key": "ga_session_number", "value": {"int_value": "3"}},
                {"key": "page_location", "value": {"string_value": "https://shop.example/a?x=1"}},
                {"key": "page_referrer", "value": {"string_value": "https://news.example/"}},
                {"key": "page_title", "value": {"string_value": "Café"}},
                {"key": "session_engaged", "value": {"string_value": "1"}},
                {"key": "engaged_session_event", "value": {"int_value": "1"}},
                {"key": "engagement_time_msec", "value": {"int_value": "42"}},
                {"key": "whole", "value": {"int_value": "5"}},
                {"key": "part", "value": {"double_value": 2.5}},
                {"key": "text", "value": {"string_value": "a+b c"}},
            ],
            "user_pseudo_id": "123.456",
            "privacy_info": {
                "analytics_storage": "Unset", "ads_storage": "Unset", "uses_transient_token": "No"
            },
            "device": {"language": "en-us", "web_info": {"hostname": "shop.example"}},
            "stream_id": "S1",
            "platform": "WEB",
            "batch_event_index": "1",
            "batch_page_id": "77",
            "batch_ordering_id": "1",
        })
    );
    // A POST with an empty body is the same.
    let posted = gtag(
        &format!("{BASE}&en=page_view&_et=42&epn.whole=5&epn.part=2.5&ep.text=a%2Bb%20c"),
        b"\r\n",
        &receipt(),
        &limits(),
    );
    assert_eq!(posted.accepted, parsed.accepted);
}

#[test]
fn lines_of_a_batch_override_the_query() {
    let body = "en=page_view&_et=1\r\n\nen=scroll&epn.percent_scrolled=90&dt=Other\nen=x&uid=u1";
    let rows = accepted(&hit(BASE, body));
    let seen: Vec<_> =
        rows.iter().map(|row| (&row["event_name"], &row["batch_event_index"])).collect();
    assert_eq!(json!(seen), json!([["page_view", "1"], ["scroll", "2"], ["x", "3"]]));
    assert_eq!(param(&rows[1], "page_title")["string_value"], "Other");
    assert_eq!(param(&rows[2], "page_title")["string_value"], "Café");
    assert_eq!(rows[2]["user_id"], "u1");
    assert!(rows.iter().all(|row| row["event_timestamp"] == rows[0]["event_timestamp"]));
}

#[test]
fn params_of_a_long_event_overflow_into_the_body() {
    let row =
        only(&hit(&format!("{BASE}&en=purchase"), "epn.value=10&cu=USD&ep.transaction_id=T1"));
    assert_eq!(row["event_name"], "purchase");
    assert_eq!(
        row["ecommerce"],
        json!({"purchase_revenue_in_usd": 10.0, "purchase_revenue": 10.0, "transaction_id": "T1"})
    );
    assert_eq!(row["event_value_in_usd"], 10.0);
}

#[test]
fn a_bad_line_leaves_its_neighbours_alone() {
    let body = b"en=a\nep.x=1\nen=b&ep.x=%ff\nen=c&ep.\xff\nen=d&ep.x=%00\nen=e";
    let parsed = gtag(BASE, body, &receipt(), &limits());
    assert_eq!(
        reasons(&parsed),
        [
            (1, Reason::MissingEventName),
            (2, Reason::BadUtf8),
            (3, Reason::BadUtf8),
            (4, Reason::NulCharacter)
        ]
    );
    assert_eq!(accepted(&parsed).len(), 2);
    // The raw bytes are a request with this event alone.
    assert!(parsed.rejected[0].raw.starts_with(b"ep.x=1&v=2&tid=G-ABC&"));
    let fixed = [b"en=again&", parsed.rejected[0].raw.as_slice()].concat();
    let again = hit(std::str::from_utf8(&fixed).unwrap(), "");
    assert_eq!(param(&only(&again), "x")["string_value"], "1");
}

#[test]
fn items_keep_order_text_and_custom_params() {
    let row = only(&with(
        "en=purchase&cu=USD&epn.value=25.98&epn.tax=1&ep.item_list_name=List&\
         pr10=idZ~qt2~pr1&\
         pr2=nmCaf%C3%A9%20%F0%9F%98%80~k0color~v0r%C3%A9d~pr19.99~lp4~qt3~x~%C3%A9y&\
         pr1=idA~nmB~lnOwn~ds0.5~pr5&prx=id0&pr3=qt1",
    ));
    assert_eq!(
        row["items"],
        json!([
            {
                "item_id": "A", "item_name": "B", "price_in_usd": 5.0, "price": 5.0,
                "quantity": "1", "item_revenue_in_usd": 5.0, "item_revenue": 5.0,
                "item_list_name": "Own",
                "item_params": [{"key": "discount", "value": {"double_value": 0.5}}],
            },
            {
                "item_name": "Café 😀", "price_in_usd": 19.99, "price": 19.99, "quantity": "3",
                "item_revenue_in_usd": 59.97, "item_revenue": 59.97, "item_list_name": "List",
                "item_list_index": "4",
                "item_params": [{"key": "color", "value": {"string_value": "réd"}}],
            },
            {
                "item_id": "Z", "price_in_usd": 1.0, "price": 1.0, "quantity": "2",
                "item_revenue_in_usd": 2.0, "item_revenue": 2.0, "item_list_name": "List",
            },
        ])
    );
    assert_eq!(
        row["ecommerce"],
        json!({
            "total_item_quantity": "6", "purchase_revenue_in_usd": 25.98,
            "purchase_revenue": 25.98, "tax_value_in_usd": 1.0, "tax_value": 1.0,
            "unique_items": "3",
        })
    );
    let row = only(&with("en=refund&cu=EUR&epn.value=5&pr1=idA~pr5&ep.transaction_id=T"));
    assert_eq!(row["ecommerce"]["refund_value"], 5.0);
    assert_eq!(row["items"][0]["item_refund"], 5.0);
    assert!(row["ecommerce"].get("refund_value_in_usd").is_none());
    assert!(row.get("event_value_in_usd").is_none());
}

#[test]
fn without_consent_there_is_no_visitor() {
    for consent in ["gcs=G100", "gcs=G110", "gcd=13p3p3p2p5l1"] {
        let row = only(&with(&format!("en=page_view&{consent}")));
        assert!(row.get("user_pseudo_id").is_none(), "{consent}");
        assert!(!names(&row).contains(&"ga_session_id"), "{consent}");
        assert_eq!(row["privacy_info"]["analytics_storage"], "No", "{consent}");
    }
    let row = only(&with("en=page_view&gcs=G101&gcd=13p3p3p2p5l1"));
    assert_eq!(row["user_pseudo_id"], "123.456");
    assert_eq!(
        row["privacy_info"],
        json!({"analytics_storage": "Yes", "ads_storage": "No", "uses_transient_token": "No"})
    );
    // Then nothing asks for a client id either.
    only(&hit("v=2&tid=G-A&en=x&gcs=G100", ""));
    assert_eq!(reasons(&hit("v=2&tid=G-A&en=x", "")), [(0, Reason::MissingClientId)]);
}

#[test]
fn first_hits_bring_their_derived_rows() {
    let source = "dl=https%3A%2F%2Fs.example%2F%3Futm_source%3Dnews%26utm_medium%3Demail";
    let query = format!("{source}&{BASE}&en=page_view&_ss=2&_fv=1&ep.own=1&up.tier=gold&_c=1");
    let parsed = hit(&query, "");
    let rows = accepted(&parsed);
    let seen: Vec<_> = rows.iter().map(|row| row["event_name"].as_str().unwrap()).collect();
    assert_eq!(seen, ["first_visit", "session_start", "page_view"]);
    let derived: Vec<_> = parsed.accepted.iter().map(|row| (row.index, row.derived)).collect();
    assert_eq!(derived, [(0, true), (0, true), (0, false)]);
    for row in &rows {
        assert_eq!(row["event_timestamp"], rows[2]["event_timestamp"]);
        assert_eq!(row["user_pseudo_id"], "123.456");
        assert_eq!(row["user_properties"][0]["key"], "tier");
        assert_eq!(param(row, "ga_session_id")["int_value"], "1779256000");
    }
    assert_eq!(param(&rows[0], "firebase_conversion"), &json!(null));
    assert_eq!(param(&rows[1], "firebase_conversion")["int_value"], "1");
    for row in &rows[..2] {
        assert!(row.get("collected_traffic_source").is_none());
        assert!(!names(row).iter().any(|name| ["source", "own", "entrances"].contains(name)));
    }
    assert_eq!(param(&rows[2], "entrances")["int_value"], "1");
    assert_eq!(param(&rows[2], "source")["string_value"], "news");
    assert_eq!(rows[2]["collected_traffic_source"]["manual_medium"], "email");
}

#[test]
fn campaigns_come_from_the_address_of_a_first_request() {
    let address = "https://s.example/?UTM_Source=a&utm_source=big+news&utm_medium=cpc&\
        utm_campaign=50%2525&utm_id=7&utm_content=&gclid=Cj0%2B&dclid=D&srsltid=S&gad_source=1&_gl=1*x*_ga*ZZ#frag";
    let encoded: String = address.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let row = only(&hit(&format!("dl={encoded}&{BASE}&en=page_view"), ""));
    assert_eq!(param(&row, "page_location")["string_value"], address);
    assert_eq!(
        row["collected_traffic_source"],
        json!({
            "manual_campaign_id": "7", "manual_campaign_name": "50%25",
            "manual_source": "big news", "manual_medium": "cpc",
            "gclid": "Cj0+", "dclid": "D", "srsltid": "S",
        })
    );
    assert_eq!(param(&row, "campaign")["string_value"], "50%25");
    assert_eq!(param(&row, "gad_source")["string_value"], "1");
    assert_eq!(row["user_pseudo_id"], "123.456");
    // The address stays as it is during the page; the click does not come again.
    let row = only(&hit(&format!("dl={encoded}&_s=2&{BASE}&en=scroll"), ""));
    assert!(row.get("collected_traffic_source").is_none());
    assert!(!names(&row).contains(&"source"));
}

#[test]
fn a_campaign_set_by_the_page_wins_whole() {
    let address = "dl=https%3A%2F%2Fs.example%2F%3Futm_source%3Da%26utm_term%3Dt%26gclid%3DG";
    let row = only(&hit(&format!("{address}&{BASE}&en=page_view&cs=own&cm=qr&cn=spring&ct=k"), ""));
    assert_eq!(
        row["collected_traffic_source"],
        json!({
            "manual_campaign_name": "spring", "manual_source": "own", "manual_medium": "qr",
            "manual_term": "k", "gclid": "G",
        })
    );
    // On promotions these keys are slot and name of the creative.
    let row = only(&with("en=select_promotion&cs=top&cn=banner&pr1=idA"));
    assert!(row.get("collected_traffic_source").is_none());
    assert_eq!(row["items"][0]["creative_slot"], "top");
    assert_eq!(row["items"][0]["creative_name"], "banner");
}

#[test]
fn client_hints_are_decoded_once_more_than_the_rest() {
    let list =
        "Google%2520Chrome%3B137.0.7151.56%7CChromium%3B137.0.7151.56%7CNot%252FA)Brand%3B24.0.0.0";
    let mut receipt = receipt();
    receipt.user_agent = Some("Mozilla/5.0 (Linux; Android 10; K) Mobile Safari/537.36".to_owned());
    let query = format!(
        "{BASE}&en=page_view&uafvl={list}&uap=Android&uapv=14.0.0&uam=Pixel%208&uamb=1&\
         ep.half=50%2525&pr1=idA~nm50%2525&richsstsse"
    );
    let row = only(&gtag(&query, b"", &receipt, &limits()));
    assert_eq!(
        row["device"],
        json!({
            "category": "mobile", "mobile_model_name": "Pixel 8", "operating_system": "Android",
            "operating_system_version": "14.0.0", "language": "en-us",
            "web_info": {
                "browser": "Chrome", "browser_version": "137.0.7151.56", "hostname": "shop.example"
            },
        })
    );
    assert_eq!(param(&row, "half")["string_value"], "50%25");
    assert_eq!(row["items"][0]["item_name"], "50%25");
}

#[test]
fn user_agents_tell_the_kind_of_device() {
    let cases = [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126", "desktop"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Mobile/15E148", "mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) Mobile/15E148", "tablet"),
        ("Mozilla/5.0 (Linux; Android 13; SM-X700) Safari/537.36", "tablet"),
        ("Mozilla/5.0 (Linux; Android 13; K) Mobile Safari/537.36", "mobile"),
        ("", "desktop"),
    ];
    for (agent, category) in cases {
        let mut receipt = receipt();
        receipt.user_agent = Some(agent.to_owned());
        let row = only(&gtag(&format!("{BASE}&en=x"), b"", &receipt, &limits()));
        assert_eq!(row["device"]["category"], category, "{agent}");
    }
}

#[test]
fn flags_become_params() {
    let row = only(&with("en=x&ir=1&_dbg=1&tt=internal&_c=1&seg=0&_ss=0&up.a=1&upn.b=2.5&upn.c=x"));
    assert_eq!(param(&row, "ignore_referrer")["string_value"], "true");
    assert_eq!(param(&row, "debug_mode")["int_value"], "1");
    assert_eq!(param(&row, "traffic_type")["string_value"], "internal");
    assert_eq!(param(&row, "firebase_conversion")["int_value"], "1");
    let set = "1779256800000000";
    assert_eq!(
        row["user_properties"],
        json!([
            {"key": "a", "value": {"string_value": "1", "set_timestamp_micros": set}},
            {"key": "b", "value": {"double_value": 2.5, "set_timestamp_micros": set}},
            {"key": "c", "value": {"string_value": "x", "set_timestamp_micros": set}},
        ])
    );
}

#[test]
fn what_is_too_much_is_cut_and_counted() {
    let long = "é".repeat(150);
    let params: String = (0..30).map(|number| format!("&ep.p{number}=1")).collect();
    let query = format!("{BASE}&en=x&ep.long={long}&uid=a&uid=b{params}&dt={}", "t".repeat(400));
    let parsed = hit(&query, "");
    let row = only(&parsed);
    assert_eq!(param(&row, "long")["string_value"].as_str().unwrap().chars().count(), 100);
    assert_eq!(param(&row, "page_title")["string_value"], "Café");
    assert_eq!(row["user_id"], "a");
    assert_eq!(parsed.oddities.cut_values, 1);
    assert_eq!(parsed.oddities.dropped_params, 6);
    assert_eq!(parsed.oddities.repeated_keys, 2);
    let items: String = (1..=210).map(|number| format!("&pr{number}=id{number}")).collect();
    let parsed = with(&format!("en=view_item_list{items}"));
    let row = only(&parsed);
    assert_eq!(row["items"].as_array().unwrap().len(), 200);
    assert_eq!(row["items"][199]["item_id"], "200");
    assert_eq!(parsed.oddities.dropped_params, 10);
    let lines = "en=x\n".repeat(101);
    assert_eq!(reasons(&hit(BASE, &lines)), [(100, Reason::TooManyEvents)]);
}

#[test]
fn requests_that_are_none() {
    assert_eq!(malformed(&hit("", "")), Reason::MissingMeasurementId);
    assert_eq!(malformed(&hit("v=2&cid=1&en=x", "")), Reason::MissingMeasurementId);
    assert_eq!(malformed(&hit("v=1&tid=UA-1&cid=1&t=pageview", "")), Reason::UnsupportedVersion);
    assert_eq!(malformed(&hit("v=2&tid=%ff", "")), Reason::BadUtf8);
    assert_eq!(malformed(&hit(BASE, &"x".repeat(130_001))), Reason::BodyTooLarge);
    assert_eq!(
        malformed(&hit(&format!("{BASE}&x={}", "x".repeat(17_000)), "")),
        Reason::BodyTooLarge
    );
    let name = "n".repeat(41);
    assert_eq!(reasons(&with(&format!("en={name}"))), [(0, Reason::NameInvalid)]);
    assert_eq!(reasons(&with("en=a%0Ab")), [(0, Reason::NameInvalid)]);
    let id = "9".repeat(257);
    assert_eq!(reasons(&hit(&format!("v=2&tid=G-A&en=x&cid={id}"), "")), [(0, Reason::IdTooLong)]);
    assert_eq!(reasons(&with(&format!("en=x&uid={id}"))), [(0, Reason::IdTooLong)]);
}

#[test]
fn event_ids_are_kept_and_told_apart() {
    let mut keyed = receipt();
    keyed.idempotency_key = Some("K".to_owned());
    let parsed =
        gtag(BASE, b"en=page_view&_ss=1\nen=y&ep.clicktrail_event_id=own", &keyed, &limits());
    let ids: Vec<_> = parsed.accepted.iter().map(|row| row.event_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["K/0/session_start", "K/0", "own"]);
    for (row, id) in accepted(&parsed).iter().zip(ids) {
        assert_eq!(param(row, "clicktrail_event_id")["string_value"], id);
    }
    keyed.idempotency_key = Some("K".repeat(300));
    assert_eq!(malformed(&gtag(BASE, b"en=x", &keyed, &limits())), Reason::EventIdInvalid);
}

#[test]
fn many_refusals_do_not_multiply_a_long_query() {
    let query = format!("{BASE}&ep.x={}", "x".repeat(15_000));
    let parsed = hit(&query, &"a\n".repeat(65_000));
    assert_eq!(parsed.rejected.len(), 65_000);
    let kept: usize = parsed.rejected.iter().map(|one| one.raw.len()).sum();
    assert!(kept <= 1 << 20, "{kept}");
}
