//! Prints how many events a second one core reads of each format, and decodes:
//! `cargo run --release -p clicktrail-ingest --example collect_speed`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::Instant;

use clicktrail_ingest::collect::{
    Limits, Parsed, Receipt, decode, gtag, measurement_protocol, rows,
};

/// Events of one measurement.
const EVENTS: usize = 200_000;

/// The columns that the staging model reads.
const COLUMNS: &str = "event_date event_timestamp event_name event_params event_value_in_usd user_id \
    user_pseudo_id user_first_touch_timestamp device.category geo.country traffic_source stream_id \
    platform ecommerce items collected_traffic_source batch_page_id batch_ordering_id \
    batch_event_index session_traffic_source_last_click.cross_channel_campaign";

const HIT: &str = "v=2&tid=G-ABCDEF1234&gtm=45je65k1v9101&_p=1779256000123&gcd=13l3l3l3l1&npa=0&dma=0&\
    cid=1234567890.1779256000&ul=en-us&sr=1920x1080&uaa=x86&uab=64&uafvl=Google%2520Chrome%3B137.0.7151.56\
    %7CChromium%3B137.0.7151.56%7CNot%252FA)Brand%3B24.0.0.0&uamb=0&uam=&uap=Windows&uapv=19.0.0&uaw=0&\
    _s=1&sid=1779256000&sct=1&seg=0&dl=https%3A%2F%2Fshop.example%2Fproducts%2Fshoes%3Futm_source%3D\
    newsletter%26utm_medium%3Demail%26utm_campaign%3Dspring&dr=https%3A%2F%2Fmail.example%2F&\
    dt=Shoes%20%7C%20Shop&_tu=DA";
const LINE: &str = "en=view_item&_ee=1&epn.value=59.9&cu=EUR&ep.method=list&_et=1207&\
    pr1=idSKU1~nmTrail%20shoe~brAcme~caShoes~pr59.9~qt1";

fn mp_request(events: usize) -> String {
    let event = r#"{"name":"purchase","params":{"session_id":"1779256000","engagement_time_msec":100,
        "transaction_id":"T-1001","value":119.8,"currency":"EUR","tax":19.1,"shipping":4.9,
        "page_location":"https://shop.example/thanks?utm_source=newsletter&utm_medium=email",
        "items":[{"item_id":"SKU1","item_name":"Trail shoe","price":59.9,"quantity":2}]}}"#;
    let events = vec![event; events].join(",");
    format!(
        "{{\"client_id\":\"1234567890.1779256000\",\"timestamp_micros\":1779256000000000,\
         \"user_properties\":{{\"tier\":{{\"value\":\"gold\"}}}},\"events\":[{events}]}}"
    )
}

/// Runs `parse` until [`EVENTS`] were read; the best of three rounds.
fn measure(name: &str, bytes: usize, parse: impl Fn() -> Parsed) -> Parsed {
    let parsed = parse();
    assert!(parsed.malformed.is_none() && parsed.rejected.is_empty());
    let requests = EVENTS / parsed.accepted.len();
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..requests {
            black_box(parse());
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let events = (requests * parsed.accepted.len()) as f64;
    let megabytes = (requests * bytes) as f64 / 1e6;
    println!(
        "{name:32} {:>9.0} events/s {:>6.0} MB/s  {:>5} B/row out",
        events / best,
        megabytes / best,
        parsed.payload().len() / parsed.accepted.len()
    );
    parsed
}

fn measure_decode(name: &str, parsed: &Parsed, columns: Option<&[String]>) {
    let payload = parsed.payload();
    let payloads = vec![payload.as_slice(); 8192_usize.div_ceil(parsed.accepted.len())];
    let rounds = EVENTS / (payloads.len() * parsed.accepted.len());
    let mut best = f64::MAX;
    let mut rows = 0;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..rounds {
            rows = black_box(decode(payloads.iter().copied(), columns).unwrap()).num_rows();
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let megabytes = (rounds * payloads.len() * payload.len()) as f64 / 1e6;
    println!(
        "{name:32} {:>9.0} events/s {:>6.0} MB/s",
        (rounds * rows) as f64 / best,
        megabytes / best
    );
}

fn main() {
    let limits = Limits::default();
    let mut receipt = Receipt::at(1_779_256_800_000_000, chrono_tz::Europe::Vienna);
    receipt.stream_id = Some("1234567".to_owned());
    receipt.user_agent = Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/137".to_owned());

    let single = format!("{HIT}&en=page_view&_et=5");
    let one = measure("gtag, one event", single.len(), || gtag(&single, b"", &receipt, &limits));
    let body = [LINE; 10].join("\n");
    let batch = measure("gtag, batch of 10", HIT.len() + body.len(), || {
        gtag(HIT, body.as_bytes(), &receipt, &limits)
    });
    for events in [1, 25] {
        let body = mp_request(events);
        let name = format!("measurement protocol, {events} events");
        measure(&name, body.len(), || {
            measurement_protocol("api_secret=x", body.as_bytes(), &receipt, &limits)
        });
    }
    let payload = one.payload().repeat(1000);
    measure("rows, 1,000 page views", payload.len(), || rows(&payload, &receipt, &limits));
    let payload = batch.payload().repeat(100);
    measure("rows, 1,000 with items", payload.len(), || rows(&payload, &receipt, &limits));

    let columns: Vec<String> = COLUMNS.split_whitespace().map(str::to_owned).collect();
    measure_decode("decode, page views, all columns", &one, None);
    measure_decode("decode, page views, staging's", &one, Some(&columns));
    measure_decode("decode, items, all columns", &batch, None);
    measure_decode("decode, items, staging's", &batch, Some(&columns));
}
