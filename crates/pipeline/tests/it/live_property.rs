//! Any order, cut, copy, delay and restart of a history gives, at every prefix, the tables of one plain run.
//!
//! The judge knows nothing of keys, rounds or differences: it runs each model's compiled SQL once over all rows so
//! far, in the order of the graph. At the end of each history a second judge, the fold in plain Rust, has its say.
//!
//! Two of the tests have nearly all rows of the live tables on disk, one has them in memory.
//!
//! A server costs a second to start, so one server follows many histories, each with visitors of its own; all its
//! tables are compared whole each time. Alone, a history is cut and restarted in its own way; in a crowd, hundreds take
//! each step together, so that thousands of histories are compared at every prefix of theirs in the time of a few.
//! `PROPTEST_CASES` sets how many histories each test tries alone, and how many crowds.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use clicktrail_attribution::reference::TouchGrain;
use clicktrail_ingest::collect::{self, Limits, Receipt};
use clicktrail_pipeline::{Live, LiveMemory};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::fold::{self, Variant};
use crate::live::{LITTLE_MEMORY, LIVE, NOW, live_in, table};
use crate::live_judge::{Followed, Judge};
use crate::support::{Shop, same};

/// Histories of each test that come alone; each is compared at every one of its prefixes, about nine.
const CASES: u32 = 16;

/// Crowds of each test, and the histories of a crowd.
const CROWDS: u32 = 2;
const CROWD: std::ops::Range<usize> = 300..400;

/// Histories that one server follows.
const HISTORIES_MAX: u32 = 8;

const DAY: i64 = 86_400_000_000;

/// An event as a shopper makes it.
#[derive(Debug, Clone)]
struct Hit {
    user: u8,
    session: u8,
    /// Days before now: up to 400 late.
    days_ago: u16,
    second: u8,
    name: usize,
    campaign: Option<u8>,
    order: Option<u8>,
    /// Another copy differs in what its key does not cover.
    country: u8,
    /// An id of the sender's own: copies of it differ in anything.
    id: Option<u8>,
}

const NAMES: [&str; 6] = ["page_view", "session_start", "purchase", "purchase", "scroll", "refund"];

fn hit() -> impl Strategy<Value = Hit> {
    let days = prop_oneof![Just(0u16), Just(1), Just(2), Just(31), Just(89), Just(90), 0..400u16];
    (
        0..3u8,
        0..4u8,
        days,
        0..6u8,
        0..NAMES.len(),
        prop::option::of(0..4u8),
        prop::option::of(0..3u8),
        0..2u8,
        prop::option::weighted(0.2, 0..2u8),
    )
        .prop_map(|(user, session, days_ago, second, name, campaign, order, country, id)| {
            Hit { user, session, days_ago, second, name, campaign, order, country, id }
        })
}

impl Hit {
    /// The hit as a line of `/v1/events`, made by a visitor of a history.
    fn line(&self, history: u32) -> String {
        let at = NOW - i64::from(self.days_ago) * DAY + i64::from(self.second) * 1_000_000;
        let location = match self.campaign {
            Some(0) => {
                "https://shop.example/?utm_source=news&utm_medium=email&utm_campaign=w1".into()
            }
            Some(1) => "https://shop.example/?gclid=abc".into(),
            Some(other) => format!("https://shop.example/?utm_source=s{other}&utm_medium=cpc"),
            None => "https://shop.example/".to_owned(),
        };
        let mut row = json!({
            "event_timestamp": at,
            "event_name": NAMES[self.name],
            "event_params": {
                "ga_session_id": 1_700_000_000 + i64::from(self.session), "page_location": location,
            },
            "batch_page_id": i64::from(self.session) + 1,
            "batch_ordering_id": i64::from(self.second),
            "batch_event_index": 1,
            "geo": {"country": if self.country == 0 { "Norway" } else { "Chile" }},
        });
        if let Some(id) = self.id {
            row["event_params"]["clicktrail_event_id"] = json!(format!("e{id}"));
        }
        // One in four visitors gave no consent.
        if self.user > 0 || self.session != 3 {
            row["user_pseudo_id"] = json!(format!("h{history}u{}", self.user));
        }
        if NAMES[self.name] == "purchase" {
            let value = 10.25 * f64::from(self.second + 1);
            row["ecommerce"] = json!({"purchase_revenue_in_usd": value});
            if let Some(order) = self.order {
                row["ecommerce"]["transaction_id"] = json!(format!("t{order}"));
            }
        }
        if NAMES[self.name] == "refund" {
            // Every third one is of the whole order.
            let value = (self.second % 3 > 0).then_some(7.77 * f64::from(self.second));
            row["ecommerce"] = json!({"refund_value_in_usd": value});
            if let Some(order) = self.order {
                row["ecommerce"]["transaction_id"] = json!(format!("t{order}"));
            }
        }
        row.to_string()
    }
}

/// What happens to the stream.
#[derive(Debug, Clone)]
enum Step {
    /// Some hits come together.
    Hits(Vec<Hit>),
    /// What came in an earlier step comes again.
    Again(prop::sample::Index),
    /// The process ends and begins anew from what is stored.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => prop::collection::vec(hit(), 1..7).prop_map(Step::Hits),
        10 => any::<prop::sample::Index>().prop_map(Step::Again),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 4..14)
}

fn rows_of(hits: &[Hit], history: u32) -> RecordBatch {
    let body: Vec<String> = hits.iter().map(|hit| hit.line(history)).collect();
    let receipt = Receipt::at(NOW, chrono_tz::UTC);
    let parsed = collect::rows(body.join("\n").as_bytes(), &receipt, &Limits::default());
    assert!(parsed.rejected.is_empty(), "{:?}", parsed.rejected);
    collect::decode([parsed.payload().as_slice()], None).unwrap()
}

/// A server and all that it was sent.
struct World {
    shop: Shop,
    memory: LiveMemory,
    live: Live,
    sent: Vec<RecordBatch>,
    /// Frames sent, and how many of them are stored.
    seq: u64,
    stored: usize,
    histories: u32,
    /// Whether the fold had journeys and credits to compare after the newest history.
    has_credits: bool,
}

impl World {
    fn new(shop: Shop, memory: LiveMemory) -> Self {
        let live = live_in(&shop, memory);
        Self {
            shop,
            memory,
            live,
            sent: Vec::new(),
            seq: 0,
            stored: 0,
            histories: 0,
            has_credits: false,
        }
    }

    /// Runs the steps and compares after each.
    fn follow(mut self, judge: &Judge, steps: &[Step], variant: &Variant) -> Self {
        self.histories += 1;
        let before = self.sent.len();
        for step in steps {
            let rows = match step {
                Step::Hits(hits) => rows_of(hits, self.histories),
                Step::Again(which) if self.sent.len() > before => {
                    which.get(&self.sent[before..]).clone()
                }
                Step::Again(_) => continue,
                Step::Restart => {
                    self = self.restart();
                    continue;
                }
            };
            self.take(rows);
            self.compare(judge, self.sent.len() - before);
        }
        self.close(judge, variant);
        self
    }

    /// Runs the histories side by side, a step of each at a time, and compares after each time. A step of all comes in
    /// up to three frames. Restarts are those of the first history.
    fn follow_crowd(mut self, judge: &Judge, crowd: &[Vec<Step>], variant: &Variant) -> Self {
        let mut seen: Vec<Vec<RecordBatch>> = vec![Vec::new(); crowd.len()];
        for time in 0..crowd.iter().map(Vec::len).max().unwrap_or(0) {
            let mut together = Vec::new();
            for (number, steps) in crowd.iter().enumerate() {
                let rows = match steps.get(time) {
                    Some(Step::Hits(hits)) => rows_of(hits, self.histories + number as u32 + 1),
                    Some(Step::Again(which)) if !seen[number].is_empty() => {
                        which.get(&seen[number]).clone()
                    }
                    Some(Step::Restart) if number == 0 => {
                        self = self.restart();
                        continue;
                    }
                    _ => continue,
                };
                seen[number].push(rows.clone());
                together.push(rows);
            }
            for part in together.chunks(together.len().div_ceil(time % 3 + 1).max(1)) {
                self.take(concat_batches(&part[0].schema(), part).unwrap());
            }
            if !self.sent.is_empty() {
                self.compare(judge, time + 1);
            }
        }
        self.histories += crowd.len() as u32;
        self.close(judge, variant);
        self
    }

    fn restart(mut self) -> Self {
        self.live.store(&self.sent[self.stored..], self.seq).unwrap();
        self.stored = self.sent.len();
        drop(self.live);
        self.live = live_in(&self.shop, self.memory);
        self
    }

    /// The server's clock jumps to and fro meanwhile: no table may depend on when something was received.
    fn take(&mut self, rows: RecordBatch) {
        self.seq += 1;
        let jump = (self.seq as i64 * 7 % 5 - 2) * 3_600_000_000;
        self.live.apply(&rows, self.seq, NOW + jump).unwrap();
        self.sent.push(rows);
    }

    /// Every live table against the plain run.
    fn compare(&self, judge: &Judge, steps: usize) {
        let all = concat_batches(&self.sent[0].schema(), &self.sent).unwrap();
        let expected = judge.tables(&all);
        for name in LIVE {
            let place = format!("{name} after {steps} steps");
            same(&place, &table(&self.live, name), &expected[name]);
        }
    }

    /// The last checks of a history: the server's own audit, and the fold.
    fn close(&mut self, judge: &Judge, variant: &Variant) {
        assert_eq!(self.live.audit(1, 10).unwrap(), 0);
        if !self.sent.is_empty() {
            // An excluded channel is in no table, so the fold must be told of it.
            let email = ["news", "email", "w1"].map(str::to_owned);
            let known = HashMap::from([(email, "Email".to_owned())]);
            let followed = Followed { live: &self.live, judge };
            self.has_credits = fold::check_with(&followed, variant.clone(), known, false);
        }
    }
}

fn histories(variant: &Variant, memory: LiveMemory) {
    let project = || variant.apply(Shop::demo().with("ga4_export", ""));
    let first = World::new(project(), memory);
    let judge = Judge::new(&first.shop);
    // Nobody buys anything: tables without a row are compared, too.
    let page_view = Hit {
        user: 0,
        session: 0,
        days_ago: 1,
        second: 0,
        name: 0,
        campaign: Some(0),
        order: None,
        country: 0,
        id: None,
    };
    let first = first.follow(&judge, &[Step::Hits(vec![page_view])], variant);
    assert!(!first.has_credits);
    let (world, prefixes) = (RefCell::new(Some(first)), Cell::new(0));
    let has_credits = Cell::new(false);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config =
        Config { cases: cases.unwrap_or(CASES), failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            // A server that failed is not put back.
            let known = world.take().filter(|world| world.histories < HISTORIES_MAX);
            let known = known.unwrap_or_else(|| World::new(project(), memory));
            let sent = known.sent.len();
            let followed = known.follow(&judge, &steps, variant);
            prefixes.set(prefixes.get() + followed.sent.len() - sent);
            has_credits.set(has_credits.get() || followed.has_credits);
            world.replace(Some(followed));
            Ok(())
        })
        .unwrap();
    assert!(has_credits.get(), "no history had a credit to compare");
    println!("compared at {} prefixes", prefixes.get());
}

fn crowds(variant: &Variant, memory: LiveMemory) {
    let project = || variant.apply(Shop::demo().with("ga4_export", ""));
    let first = World::new(project(), memory);
    let judge = Judge::new(&first.shop);
    drop(first);
    let (histories, prefixes) = (Cell::new(0), Cell::new(0));
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(CROWDS),
        failure_persistence: None,
        // Each try runs a whole crowd.
        max_shrink_iters: 30,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(steps(), CROWD), |crowd| {
            let world = World::new(project(), memory).follow_crowd(&judge, &crowd, variant);
            assert!(world.has_credits);
            histories.set(histories.get() + crowd.len());
            prefixes.set(prefixes.get() + crowd.iter().map(Vec::len).sum::<usize>());
            Ok(())
        })
        .unwrap();
    println!("compared {} histories at {} prefixes", histories.get(), prefixes.get());
}

#[test]
fn histories_by_click() {
    histories(&Variant::default(), LITTLE_MEMORY);
}

fn by_session() -> Variant {
    Variant {
        touch_grain: TouchGrain::Session,
        timezone: chrono_tz::Tz::America__New_York,
        ..Variant::default()
    }
}

fn several_key_events() -> Variant {
    Variant {
        key_events: &[("purchase", 30), ("session_start", 7)],
        excluded_channels: &["Email"],
        ..Variant::default()
    }
}

#[test]
fn histories_by_session() {
    histories(&by_session(), LITTLE_MEMORY);
}

#[test]
fn histories_with_several_key_events() {
    histories(&several_key_events(), LiveMemory::default());
}

#[test]
fn crowds_by_click() {
    crowds(&Variant::default(), LITTLE_MEMORY);
}

#[test]
fn crowds_by_session() {
    crowds(&by_session(), LITTLE_MEMORY);
}

#[test]
fn crowds_with_several_key_events() {
    crowds(&several_key_events(), LiveMemory::default());
}
