//! The live stream as it is told to pages: a ring of events that a slow reader can fall out of, never one that waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::clock::Clock;

/// Events kept for readers that come back: at 20 a second the last eight minutes.
const RING: usize = 10_000;

/// Seconds of which the rate is remembered: the strip of the Live page.
const RATE_SECONDS: i64 = 900;

/// An event as it is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LiveEvent {
    /// The event's key.
    pub id: String,
    /// Its number in this process; given by the feed.
    pub seq: u64,
    /// The frame of the log that it came in.
    pub frame: u64,
    /// When it happened, RFC 3339.
    pub ts: String,
    /// When the server took it in, microseconds since 1970.
    pub ingest_us: i64,
    /// Its name.
    pub name: String,
    /// Channel of its person's last touch at that time.
    pub channel: Option<String>,
    /// Source of that touch.
    pub source: Option<String>,
    /// Medium of that touch.
    pub medium: Option<String>,
    /// Campaign of that touch.
    pub campaign: Option<String>,
    /// Revenue, if it has any.
    pub value: Option<String>,
    /// Its currency.
    pub currency: Option<String>,
    /// The conversion it is.
    pub conv: Option<String>,
    /// Who.
    pub person: String,
    /// Seconds between what it says and when it came; 0 up to a minute.
    pub late_s: i64,
}

#[derive(Default)]
struct Inner {
    last: u64,
    ring: VecDeque<Arc<LiveEvent>>,
    seconds: VecDeque<(i64, u64)>,
    marts: u64,
    changed: Vec<String>,
    closed: bool,
}

/// Where rounds are told, and pages read.
pub struct Feed {
    inner: Mutex<Inner>,
    moved: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// What a reader has not seen.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) gap: Option<(u64, u64)>,
    pub(crate) events: Vec<Arc<LiveEvent>>,
    /// Where the reader is after them.
    pub(crate) cursor: u64,
    pub(crate) marts: u64,
    pub(crate) changed: Vec<String>,
    pub(crate) closed: bool,
}

impl Feed {
    /// An empty feed.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Mutex::default(), moved: watch::Sender::new(0), clock }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the youngest events of a round; `skipped` older ones of it are only counted. Never waits for readers.
    pub fn tell(&self, events: Vec<LiveEvent>, skipped: u64, changed: Vec<String>) {
        let second = self.clock.now_micros() / 1_000_000;
        let mut inner = self.inner();
        let count = skipped + events.len() as u64;
        match inner.seconds.back_mut() {
            Some((last, sum)) if *last == second => *sum += count,
            _ => inner.seconds.push_back((second, count)),
        }
        while inner.seconds.front().is_some_and(|(old, _)| *old <= second - RATE_SECONDS) {
            inner.seconds.pop_front();
        }
        inner.last += skipped;
        for mut event in events {
            inner.last += 1;
            event.seq = inner.last;
            inner.ring.push_back(Arc::new(event));
        }
        while inner.ring.len() > RING {
            inner.ring.pop_front();
        }
        inner.marts += 1;
        inner.changed = changed;
        drop(inner);
        self.moved.send_modify(|moves| *moves += 1);
    }

    /// Something other than events changed: tables were built, tests ran.
    pub fn nudge(&self) {
        self.inner().marts += 1;
        self.moved.send_modify(|moves| *moves += 1);
    }

    /// Ends every reader, so that a shutdown need not wait for them.
    pub fn close(&self) {
        self.inner().closed = true;
        self.moved.send_modify(|moves| *moves += 1);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// Number of the last event.
    pub(crate) fn last(&self) -> u64 {
        self.inner().last
    }

    /// Where a reader begins that wants the last `events` ones.
    pub(crate) fn back(&self, events: usize) -> u64 {
        let inner = self.inner();
        let first = inner.ring.len().saturating_sub(events);
        inner.ring.get(first).map_or(inner.last, |event| event.seq - 1)
    }

    /// What came after `cursor`, at most `limit` events.
    pub(crate) fn news(&self, cursor: u64, limit: usize) -> News {
        let inner = self.inner();
        let first = inner.ring.partition_point(|event| event.seq <= cursor);
        let mut events: Vec<Arc<LiveEvent>> = Vec::new();
        let mut gap = None;
        let mut at = cursor;
        for event in inner.ring.iter().skip(first).take(limit) {
            if event.seq > at + 1 {
                if events.is_empty() {
                    gap = Some((at + 1, event.seq - 1));
                } else {
                    // The next message begins with the gap.
                    break;
                }
            }
            at = event.seq;
            events.push(Arc::clone(event));
        }
        let changed = inner.changed.clone();
        News { gap, events, cursor: at, marts: inner.marts, changed, closed: inner.closed }
    }

    /// Events in each of the last seconds, the running one left out; oldest first.
    pub(crate) fn rates(&self, seconds: i64) -> Vec<u64> {
        let now = self.clock.now_micros() / 1_000_000;
        let inner = self.inner();
        let mut rates = vec![0; usize::try_from(seconds).unwrap_or(0)];
        for (second, count) in &inner.seconds {
            let back = now - second;
            if (1..=seconds).contains(&back) {
                rates[(seconds - back) as usize] = *count;
            }
        }
        rates
    }

    /// The rate of the last five seconds, and what the strip shows.
    pub(crate) fn rate(&self) -> f64 {
        let five = self.rates(5);
        five.iter().sum::<u64>() as f64 / five.len() as f64
    }

    /// Seconds that the strip shows.
    pub(crate) fn strip(&self) -> Vec<u64> {
        self.rates(RATE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;

    impl Clock for Still {
        fn now_micros(&self) -> i64 {
            10_000_000
        }

        fn seconds(&self) -> f64 {
            10.0
        }
    }

    fn events(count: usize) -> Vec<LiveEvent> {
        vec![LiveEvent::default(); count]
    }

    #[test]
    fn readers_read_on_and_learn_of_what_they_missed() {
        let feed = Feed::new(Arc::new(Still));
        feed.tell(events(3), 0, Vec::new());
        let news = feed.news(0, 50);
        assert_eq!((news.gap, news.events.len(), news.cursor), (None, 3, 3));
        feed.tell(events(RING + 2), 0, Vec::new());
        let news = feed.news(3, 50);
        assert_eq!((news.gap, news.events.len()), (Some((4, 5)), 50));
        assert_eq!(news.cursor, 55);
    }

    #[test]
    fn events_that_were_only_counted_are_a_gap() {
        let feed = Feed::new(Arc::new(Still));
        feed.tell(events(2), 0, Vec::new());
        feed.tell(events(1), 40, Vec::new());
        let news = feed.news(0, 50);
        assert_eq!((news.gap, news.events.len(), news.cursor), (None, 2, 2));
        let news = feed.news(news.cursor, 50);
        assert_eq!((news.gap, news.cursor), (Some((3, 42)), 43));
        assert_eq!((feed.last(), feed.back(1)), (43, 42));
    }
}
