//! Counters and gauges in the text format that Prometheus reads.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use clicktrail_eventlog::SYNC_BOUNDS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::live::LiveStatus;
use crate::log::LogFigures;

/// Content type of what [`Metrics::text`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the acknowledgement histogram, seconds: a sync takes 0.2 ms on a good disk and
/// 200 on a bad one.
const ACK_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What is asked at each scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    pub(crate) connections: usize,
    pub(crate) bodies_bytes: usize,
    pub(crate) log: LogFigures,
    pub(crate) live: LiveStatus,
}

struct Scrape(Box<dyn Fn() -> Reading + Send + Sync>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = (self.0)();
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let size = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let gauges = [
            ("connections", "open connections", size(read.connections)),
            ("bodies_bytes", "bytes of request bodies in memory", size(read.bodies_bytes)),
            ("queue_bytes", "bytes on their way to disk", size(read.log.queued_bytes)),
            ("ready", "1 when the tables answer queries", i64::from(read.live.ready)),
            ("durable_seq", "highest sequence number on disk", count(read.log.durable_seq)),
            ("applied_seq", "highest sequence number in the tables", count(read.live.applied_seq)),
            ("table_events", "events in the tables", count(read.live.events)),
            ("table_duplicates", "copies that the tables recognised", count(read.live.duplicates)),
            ("table_late_events", "events that came out of order", count(read.live.late)),
            (
                "waiting_persons",
                "persons with very many events who wait to be computed",
                count(read.live.waiting_persons),
            ),
            (
                "live_batch_mismatch",
                "differences between live tables and a batch run; must be 0",
                count(read.live.live_batch_mismatch),
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let lag = ConstGauge::new(read.live.lag_seconds);
        let help = "age of the oldest durable event that the tables lack, seconds";
        lag.encode(encoder.encode_descriptor("lag_seconds", help, None, lag.metric_type())?)?;
        let syncs = read.log.counters;
        let buckets: Vec<(f64, u64)> = SYNC_BOUNDS
            .map(|bound| bound.as_secs_f64())
            .into_iter()
            .chain([f64::INFINITY])
            .zip(syncs.sync_classes)
            .collect();
        let help = "time of a sync to disk, seconds";
        let mut metric =
            encoder.encode_descriptor("fsync_seconds", help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(
            syncs.sync_total.as_secs_f64(),
            syncs.syncs,
            &buckets,
            None,
        )
    }
}

/// All figures of a server.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    accepted: Family<Route, Counter>,
    duplicate: Family<Route, Counter>,
    rejected: Family<Reason, Counter>,
    refused: AtomicU64,
    cut_dead_letters: Counter,
    ack: Histogram,
}

impl Metrics {
    pub(crate) fn new(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let mut registry = Registry::with_prefix("clicktrail");
        let requests = Family::default();
        registry.register("requests", "requests by route and status", requests.clone());
        let accepted = Family::default();
        registry.register("events_accepted", "events on disk, duplicates apart", accepted.clone());
        let duplicate = Family::default();
        registry.register("events_duplicate", "events whose id came lately", duplicate.clone());
        let rejected = Family::default();
        registry.register("events_rejected", "events refused, by reason", rejected.clone());
        let cut_dead_letters = Counter::default();
        let help = "requests whose refused events were kept without their bytes";
        registry.register("dead_letters_cut", help, cut_dead_letters.clone());
        let ack = Histogram::new(ACK_BUCKETS);
        registry.register("ack_seconds", "from parsed to on disk, seconds", ack.clone());
        registry.register_collector(Box::new(Scrape(Box::new(read))));
        let refused = AtomicU64::new(0);
        Self { registry, requests, accepted, duplicate, rejected, refused, cut_dead_letters, ack }
    }

    pub(crate) fn request(&self, route: &str, code: u16) {
        self.requests.get_or_create(&Request { route: route.to_owned(), code }).inc();
    }

    pub(crate) fn stored(
        &self,
        route: &'static str,
        accepted: usize,
        duplicate: usize,
        seconds: f64,
    ) {
        self.accepted.get_or_create(&Route { route }).inc_by(accepted as u64);
        self.duplicate.get_or_create(&Route { route }).inc_by(duplicate as u64);
        self.ack.observe(seconds);
    }

    pub(crate) fn cut_dead_letters(&self) {
        self.cut_dead_letters.inc();
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&Reason { reason }).inc();
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Events refused since the start, whatever the reason.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string can't fail, and the names are ours.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
