//! The columns that `stg_events` derives from one row alone, against plain Rust on the same JSON.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use chrono::NaiveDate;
use clicktrail_attribution::reference::Text;
use clicktrail_attribution::reference::event_key::event_key;
use clicktrail_attribution::reference::evidence::{
    CollectedSource, Item, Param, ParamValue, RawEvent, ReferrerRules, derive,
};
use clicktrail_attribution::reference::order::{Amounts, revenue, transaction_id};
use clicktrail_ingest::Format;
use clicktrail_ingest::generate::{GenerateSettings, generate};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::fold::money;
use super::support::{Answers, NULL, Shop, same, sample_dir};

const SQL: &str = "select event_key, ga_session_id, evidence_class, source, medium, campaign, click_id, \
    term, content, referrer_dropped, transaction_id, revenue, currency from stg_events";

#[test]
fn a_sample_day() {
    let Some(dir) = sample_dir() else { return };
    check(&dir.join("events_20210131.ndjson.gz"));
}

/// A few rows of each of the 92 days: every shape that the public sample has.
#[test]
fn rows_of_all_sample_days() {
    let Some(dir) = sample_dir() else { return };
    check(&dir.join("sample_rows_92_days.ndjson"));
}

#[test]
fn generated_rows() {
    let folder = tempfile::tempdir().unwrap();
    let settings = GenerateSettings {
        seed: 5,
        events: 20_000,
        days: 20,
        format: Format::Ndjson { gzip: false },
        ..GenerateSettings::starting(NaiveDate::from_ymd_opt(2026, 3, 1).unwrap())
    };
    generate(&settings, folder.path(), &|_, _| {}).unwrap();
    let mut files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let all: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
    let one = folder.path().join("all.ndjson");
    fs::write(&one, all).unwrap();
    check(&one);
}

/// What hardly any export shows, row by row.
#[test]
fn odd_rows() {
    let rows = [
        (
            "page_location",
            "https://shop.example/?utm_source=A%20b+c&UTM_SOURCE=last&utm_medium=cpc",
        ),
        (
            "page_location",
            "https://shop.example/?utm_source=(direct)&utm_medium=(none)&utm_campaign=x",
        ),
        ("page_location", "https://shop.example/?utm_source=direct&gclid=G"),
        ("page_location", "https://shop.example/?utm_id=7"),
        ("page_location", "https://shop.example/?utm_campaign=spring&msclkid=M"),
        ("page_location", "https://shop.example/?utm_campaign=(Organic)&gclid=G"),
        ("page_location", "https://shop.example/?utm_source=mail&utm_campaign=(referral)&gbraid=B"),
        ("page_location", "https://shop.example/?utm_source=g&utm_medium=Organic&wbraid=W&dclid=D"),
        ("page_location", "https://shop.example/?fbclid=F&srsltid=S"),
        ("page_location", "https://shop.example/?gclsrc=aw.ds&dclid=D"),
        ("page_location", "https://shop.example/?gclid=(not set)&dclid=D#utm_source=hash"),
        ("page_location", "https://shop.example/?utm_source=%E4%BD&utm_medium=%zz"),
        ("page_location", "https://shop.example/?utm_source=undefined&utm_medium=null"),
        ("page_referrer", "https://www.google.de/search?q=x"),
        ("page_referrer", "https://chatgpt.com/"),
        ("page_referrer", "https://user@News.example:8080/a"),
        ("page_referrer", "https://checkout.stripe.com/pay"),
        ("page_referrer", "https://notstripe.com/"),
        ("page_referrer", "https://pay.shop.example/"),
        ("page_referrer", "https://workshop.example/"),
        ("page_referrer", "android-app://com.google.android.gm/"),
        ("source", "shop.example"),
        ("source", "www.shop.example"),
        ("source", "checkout.stripe.com"),
        ("source", "partner.example"),
        ("source", "(direct)"),
        ("campaign", "summer"),
        ("medium", "email"),
        ("gclid", "G"),
    ];
    let mut text = String::new();
    let mut number = 0;
    let mut push = |params: &[(&str, &str)], collected: &str| {
        number += 1;
        let params: Vec<String> = params
            .iter()
            .map(|(key, value)| {
                format!(r#"{{"key":"{key}","value":{{"string_value":"{value}"}}}}"#)
            })
            .collect();
        let page = r#"{"key":"page_title","value":{"string_value":"é"}}"#;
        text.push_str(&format!(
            "{{\"event_date\":\"20260301\",\"event_timestamp\":\"{}\",\"event_name\":\"page_view\",\
             \"user_pseudo_id\":\"u\",\"event_params\":[{page},{}]{collected}}}\n",
            1_772_366_400_000_000_i64 + number,
            params.join(",")
        ));
    };
    let location = ("page_location", "https://www.shop.example/a");
    for row in rows {
        push(&[row], "");
        push(&[row, ("medium", "referral"), location], "");
        push(&[location, row, ("gclid", "P")], "");
        push(&[location, row, ("ignore_referrer", "TRUE")], "");
        push(&[location, row, ("ignore_referrer", "TRUE"), ("medium", "organic")], "");
        for record in [
            r#""manual_source":"direct""#,
            r#""manual_source":"Shop.example","manual_medium":"Referral""#,
            r#""manual_campaign_name":"x""#,
            r#""manual_source":"news","manual_campaign_name":"(organic)","gclid":"C""#,
            r#""dclid":"D""#,
            r#""srsltid":"S","manual_medium":"(not set)""#,
        ] {
            push(&[location, row], &format!(r#","collected_traffic_source":{{{record}}}"#));
        }
    }
    for (page, other) in [
        ("shop.brand.co.uk", "blog.brand.co.uk"),
        ("shop.brand.co.uk", "blog.other.co.uk"),
        ("a.b.brand.example", "c.brand.example"),
        ("co.uk", "other.co.uk"),
        ("mine.github.io", "yours.github.io"),
        ("10.0.0.1", "10.5.0.1"),
    ] {
        let (page, referrer) = (format!("https://{page}/"), format!("https://{other}/"));
        push(&[("page_location", &page), ("page_referrer", &referrer)], "");
        push(&[("page_location", &page), ("source", other), ("medium", "referral")], "");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("odd.ndjson");
    fs::write(&file, text).unwrap();
    check(&file);
}

/// Stages a file and compares row by row.
#[track_caller]
fn check(file: &Path) {
    let shop = Shop::demo();
    shop.take(file);
    let name = file.file_name().unwrap().to_str().unwrap();
    let shop = shop.with("ga4_export", format!("data/{name}"));
    shop.run(clicktrail_pipeline::Verb::Seed, &[]);
    shop.run(clicktrail_pipeline::Verb::Run, &["stg_source_categories", "stg_exchange_rates"]);
    let sites = Sites::read(&shop);
    let reader: Box<dyn Read> = match name.ends_with(".gz") {
        true => Box::new(MultiGzDecoder::new(File::open(file).unwrap())),
        false => Box::new(File::open(file).unwrap()),
    };
    let mut expected: Vec<String> = BufReader::new(reader)
        .lines()
        .map(|line| sites.staged(&serde_json::from_str(&line.unwrap()).unwrap()))
        .collect();
    expected.sort_unstable();
    assert!(!expected.is_empty());
    same("stg_events", &shop.rows(SQL), &expected);
}

/// The seed of known sites.
struct Sites {
    engines: HashMap<String, String>,
    assistants: Vec<String>,
}

impl Sites {
    fn read(shop: &Shop) -> Self {
        let text = shop.read("seeds/source_categories.csv");
        let (mut engines, mut assistants) = (HashMap::new(), Vec::new());
        for line in text.lines().skip(1) {
            let columns: Vec<&str> = line.split(',').collect();
            match columns[1] {
                "SEARCH" => {
                    let name = if columns[2].is_empty() { columns[0] } else { columns[2] };
                    engines.insert(columns[0].to_owned(), name.to_owned());
                }
                "AI" => assistants.push(columns[0].to_owned()),
                _ => {}
            }
        }
        Self { engines, assistants }
    }

    /// The staged columns of one exported row.
    fn staged(&self, row: &Value) -> String {
        const EXCLUSIONS: &[&str] = &[
            "paypal.com",
            "stripe.com",
            "klarna.com",
            "adyen.com",
            "mollie.com",
            "afterpay.com",
            "clearpay.co.uk",
            "worldpay.com",
            "shop.app",
            "3dsecure.io",
            "arcot.com",
            "cardinalcommerce.com",
            "securesuite.net",
            "wlp-acs.com",
            "accounts.google.com",
            "login.microsoftonline.com",
            "login.live.com",
            "appleid.apple.com",
        ];
        let event = raw(row);
        let engine = |host: &str| self.engines.get(host).map(|name| Text::from(name.as_str()));
        let rules = ReferrerRules {
            exclusions: EXCLUSIONS,
            own_domains: &[],
            shared_domains: &["github.io", "myshopify.com"],
            search_engine: &engine,
            is_ai_assistant: &|host| self.assistants.iter().any(|known| known == host),
        };
        let derived = derive(&event, &rules);
        let evidence = derived.evidence.as_ref();
        let ecommerce = &row["ecommerce"];
        let amounts = Amounts {
            purchase_revenue_in_usd: number(&ecommerce["purchase_revenue_in_usd"]),
            purchase_revenue: number(&ecommerce["purchase_revenue"]),
            refund_value_in_usd: number(&ecommerce["refund_value_in_usd"]),
            refund_value: number(&ecommerce["refund_value"]),
            event_value_in_usd: number(&row["event_value_in_usd"]),
        };
        let (micros, currency) = revenue(&event, &amounts);
        let shown = |value: Option<&str>| value.unwrap_or(NULL).to_owned();
        let fields = evidence.map(|found| &found.fields);
        [
            event_key(&event, "demo"),
            event.ga_session_id().map_or(NULL.to_owned(), |id| id.to_string()),
            evidence.map_or(NULL.to_owned(), |found| found.class.to_string()),
            shown(fields.and_then(|f| f.source.as_deref())),
            shown(fields.and_then(|f| f.medium.as_deref())),
            shown(fields.and_then(|f| f.campaign.as_deref())),
            shown(evidence.and_then(|found| found.click_id.as_deref())),
            shown(derived.term.as_deref()),
            shown(derived.content.as_deref()),
            shown(derived.referrer_dropped.map(|why| why.name())),
            shown(transaction_id(ecommerce["transaction_id"].as_str(), &event).as_deref()),
            micros.map_or(NULL.to_owned(), |micros| money(micros.into())),
            shown(currency.as_deref()),
        ]
        .join("|")
    }
}

/// A row of the export as JSON.
fn raw(row: &Value) -> RawEvent {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let collected = row.get("collected_traffic_source").filter(|record| !record.is_null());
    RawEvent {
        stream_id: text(&row["stream_id"]),
        user_pseudo_id: text(&row["user_pseudo_id"]),
        event_name: text(&row["event_name"]),
        event_date: text(&row["event_date"]),
        event_timestamp: int(&row["event_timestamp"]),
        batch_page_id: int(&row["batch_page_id"]),
        batch_ordering_id: int(&row["batch_ordering_id"]),
        batch_event_index: int(&row["batch_event_index"]),
        params: list(&row["event_params"]).iter().map(param).collect(),
        items: list(&row["items"]).iter().map(item).collect(),
        collected: collected.map(|record| CollectedSource {
            manual_source: text(&record["manual_source"]),
            manual_medium: text(&record["manual_medium"]),
            manual_campaign_name: text(&record["manual_campaign_name"]),
            manual_term: text(&record["manual_term"]),
            manual_content: text(&record["manual_content"]),
            gclid: text(&record["gclid"]),
            dclid: text(&record["dclid"]),
            srsltid: text(&record["srsltid"]),
        }),
    }
}

fn param(param: &Value) -> Param {
    let value = &param["value"];
    Param {
        key: text(&param["key"]),
        value: ParamValue {
            string_value: text(&value["string_value"]),
            int_value: int(&value["int_value"]),
            float_value: number(&value["float_value"]),
            double_value: number(&value["double_value"]),
        },
    }
}

fn item(item: &Value) -> Item {
    Item {
        item_id: text(&item["item_id"]),
        item_name: text(&item["item_name"]),
        quantity: int(&item["quantity"]),
        price: number(&item["price"]),
        item_revenue: number(&item["item_revenue"]),
    }
}

/// BigQuery writes INT64 as text; ids come as either.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn int(value: &Value) -> Option<i64> {
    text(value)?.parse().ok()
}

fn number(value: &Value) -> Option<f64> {
    text(value)?.parse().ok()
}
