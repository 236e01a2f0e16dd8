//! Any order, cut, copy, delay and restart of a history gives, at every prefix, the tables of one plain run.
//!
//! The judge knows nothing of keys, rounds or differences: it runs each model's compiled SQL once over all rows so
//! far, in the order of the graph. At the end of each history a second judge, the fold in plain Rust, has its say.
//!
//! Two of the tests have nearly all rows of the live tables on disk, one has them in memory.
//!
//! A server costs a second to start, so one server follows many histories, each with visitors of its own; all its
//! tables are compared whole each time. `PROPTEST_CASES` sets how many histories each test tries.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use clicktrail_attribution::reference::TouchGrain;
use clicktrail_engine::datafusion::{Embedded, EmbeddedSettings, Prepared, Session, Slot};
use clicktrail_ingest::collect::{self, Limits, Receipt};
use clicktrail_pipeline::{Live, LiveMemory, QueryResult};
use clicktrail_project::{Materialized, ResourceType, SelectArgs};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::fold::{self, Variant};
use crate::live::{LITTLE_MEMORY, LIVE, NOW, live_in, table};
use crate::support::{Answers, Shop, same, shown};

/// Histories of each test; each is compared at every one of its prefixes, about nine.
const CASES: u32 = 16;

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
}

const NAMES: [&str; 5] = ["page_view", "session_start", "purchase", "purchase", "scroll"];

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
    )
        .prop_map(|(user, session, days_ago, second, name, campaign, order, country)| Hit {
            user,
            session,
            days_ago,
            second,
            name,
            campaign,
            order,
            country,
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

/// Runs every model over all rows, one after another.
struct Judge {
    session: Session,
    stream: Slot,
    models: Vec<(String, Prepared, Slot)>,
}

impl Judge {
    fn new(shop: &Shop) -> Self {
        let workspace = shop.open().unwrap();
        let engine = Embedded::new(EmbeddedSettings {
            threads: 1,
            memory_bytes: 1 << 30,
            spill_dir: std::env::temp_dir(),
        })
        .unwrap();
        let session = engine.single_threaded_session().unwrap();
        let events = clicktrail_ingest::schema::events();
        session.add_live_slot("ga4.events", Arc::clone(&events)).unwrap();
        session.add_live_slot("ga4.events_intraday", Arc::clone(&events)).unwrap();
        let stream = session.add_live_slot("live.events_stream", events).unwrap();
        let compiled = workspace.compile(&SelectArgs::default()).unwrap();
        let manifest = &workspace.project().manifest;
        let mut models = Vec::new();
        for id in manifest.order() {
            let Some(node) = manifest.nodes.get(&id) else { continue };
            if node.resource_type == ResourceType::Seed {
                let QueryResult { schema, batches } =
                    workspace.query(&format!("select * from {}", node.alias)).unwrap();
                session.add_batches(&node.alias, schema, batches).unwrap();
            }
            let Some(found) = compiled.iter().find(|found| found.unique_id == id) else { continue };
            if node.resource_type != ResourceType::Model {
                continue;
            }
            match node.config.materialized {
                Materialized::View => session.add_view(&node.alias, &found.sql).unwrap(),
                Materialized::Ephemeral => {}
                _ => {
                    let plan = session.plan(&found.sql).unwrap();
                    let prepared = session.prepare(&plan).unwrap();
                    let slot = session.add_live_slot(&node.alias, plan.schema()).unwrap();
                    models.push((node.alias.clone(), prepared, slot));
                }
            }
        }
        Self { session, stream, models }
    }

    fn tables(&self, rows: &RecordBatch) -> BTreeMap<String, Vec<String>> {
        self.stream.set(vec![rows.clone()]);
        let mut tables = BTreeMap::new();
        for (name, plan, slot) in &self.models {
            let batches = self.session.run_prepared(plan).unwrap();
            let mut lines: Vec<String> = batches.iter().flat_map(shown).collect();
            lines.sort_unstable();
            tables.insert(name.clone(), lines);
            slot.set(batches);
        }
        tables
    }
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
}

impl World {
    fn new(shop: Shop, memory: LiveMemory) -> Self {
        let live = live_in(&shop, memory);
        Self { shop, memory, live, sent: Vec::new(), seq: 0, stored: 0, histories: 0 }
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
                    self.live.store(&self.sent[self.stored..], self.seq).unwrap();
                    self.stored = self.sent.len();
                    drop(self.live);
                    self.live = live_in(&self.shop, self.memory);
                    continue;
                }
            };
            self.seq += 1;
            self.live.apply(&rows, self.seq, NOW).unwrap();
            self.sent.push(rows);
            let all = concat_batches(&self.sent[0].schema(), &self.sent).unwrap();
            let expected = judge.tables(&all);
            for name in LIVE {
                let place = format!("{name} after {} steps", self.sent.len() - before);
                same(&place, &table(&self.live, name), &expected[name]);
            }
        }
        assert_eq!(self.live.audit(1, 10).unwrap(), 0);
        if self.sent.len() > before {
            // An excluded channel is in no table, so the fold must be told of it.
            let email = ["news", "email", "w1"].map(str::to_owned);
            let known = HashMap::from([(email, "Email".to_owned())]);
            fold::check_with(&Followed { live: &self.live, judge }, variant.clone(), known);
        }
        self
    }
}

/// The live tables, for the fold; what does not follow the stream comes from the plain run.
struct Followed<'a> {
    live: &'a Live,
    judge: &'a Judge,
}

impl Answers for Followed<'_> {
    fn batches(&self, sql: &str) -> Vec<RecordBatch> {
        if ["stg_events", "int_events", "int_traffic_sources"].iter().any(|t| sql.contains(t)) {
            return self.judge.session.query(sql).unwrap().1;
        }
        self.live.query(sql).unwrap().result.batches
    }
}

fn histories(variant: &Variant, memory: LiveMemory) {
    let project = || variant.apply(Shop::demo().with("ga4_export", ""));
    let first = World::new(project(), memory);
    let judge = Judge::new(&first.shop);
    let (world, prefixes) = (RefCell::new(Some(first)), Cell::new(0));
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
            world.replace(Some(followed));
            Ok(())
        })
        .unwrap();
    println!("compared at {} prefixes", prefixes.get());
}

#[test]
fn histories_by_click() {
    histories(&Variant::default(), LITTLE_MEMORY);
}

#[test]
fn histories_by_session() {
    let variant = Variant {
        touch_grain: TouchGrain::Session,
        timezone: chrono_tz::Tz::America__New_York,
        ..Variant::default()
    };
    histories(&variant, LITTLE_MEMORY);
}

#[test]
fn histories_with_several_key_events() {
    let variant = Variant {
        key_events: &[("purchase", 30), ("session_start", 7)],
        excluded_channels: &["Email"],
        ..Variant::default()
    };
    histories(&variant, LiveMemory::default());
}
