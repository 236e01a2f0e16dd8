//! What all requests share.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use clicktrail_ingest::collect::Limits;
use lru::LruCache;
use tokio::sync::Semaphore;

use crate::access::Rules;
use crate::body::Memory;
use crate::clock::Clock;
use crate::dashboard::Dashboard;
use crate::feed::Feed;
use crate::live::Live;
use crate::log::Log;
use crate::metrics::{Metrics, Reading};
use crate::producer::Producers;
use crate::rate::Buckets;
use crate::recent::Recent;
use crate::routes::dashboard::Answered;
use crate::server::Parts;
use crate::settings::Settings;
use crate::web::Web;

/// Pages kept: some tens of kB each, so a few MB.
const PAGES: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// Large bodies parsed at one time. One core is left to the tables: senders that are too fast for them should wait
/// for their answer, not the tables for a core.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

/// One server's state.
pub(crate) struct App {
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) buckets: Buckets,
    pub(crate) recent: Recent,
    pub(crate) producers: Producers,
    pub(crate) metrics: Metrics,
    pub(crate) memory: Arc<Memory>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) queries: Arc<Semaphore>,
    /// Large bodies that are parsed at one time.
    pub(crate) workers: Arc<Semaphore>,
    pub(crate) dashboard: Option<Arc<dyn Dashboard>>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) web: Web,
    /// Answers of pages by question and state of the tables.
    pub(crate) pages: Mutex<LruCache<String, Answered>>,
    /// Questions that are being answered.
    pub(crate) flights: Mutex<LruCache<String, Arc<tokio::sync::Mutex<()>>>>,
    started: i64,
    requests: AtomicU64,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        parts: Parts,
        open: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Self {
        let Parts { log, live, clock, producers, dashboard, feed } = parts;
        let memory = Arc::new(Memory::new(settings.bounds.bodies_bytes));
        let metrics = Metrics::new({
            let (log, live) = (Arc::clone(&log), Arc::clone(&live));
            let memory = Arc::clone(&memory);
            move || Reading {
                connections: open(),
                bodies_bytes: memory.held(),
                log: log.figures(),
                live: live.status(),
            }
        });
        let bounds = &settings.bounds;
        let limits = Arc::new(Limits {
            rows: bounds.rows,
            rows_bytes: bounds.rows_bytes,
            body_bytes: bounds.measurement_protocol_bytes.max(bounds.gtag_bytes),
            query_bytes: bounds.head_bytes,
            ..Limits::default()
        });
        Self {
            rules: Rules::new(&settings),
            buckets: Buckets::new(settings.rates),
            recent: Recent::new(settings.bounds.recent_ids),
            producers: Producers::new(producers),
            queries: Arc::new(Semaphore::new(settings.bounds.queries)),
            workers: Arc::new(Semaphore::new(workers())),
            started: clock.now_micros(),
            dashboard,
            feed,
            web: Web::new(settings.web_dir.clone()),
            pages: Mutex::new(LruCache::new(PAGES)),
            flights: Mutex::new(LruCache::new(PAGES)),
            requests: AtomicU64::new(0),
            settings,
            log,
            live,
            clock,
            metrics,
            memory,
            limits,
        }
    }

    /// A name for a request that no other request had, before or after a restart.
    pub(crate) fn request_id(&self) -> String {
        format!("{:x}-{:x}", self.started, self.requests.fetch_add(1, Ordering::Relaxed))
    }
}
