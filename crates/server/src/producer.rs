//! Senders that number their events: a resend is recognised, a gap is refused.
//!
//! A producer says in two headers who it is and the offset of its request's first event. The next
//! offset it must use is then that offset plus the events of the request, good and bad.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

/// Producers remembered; the one that was silent for longest is forgotten first. One forgotten may
/// start at any offset again, as one never seen may.
pub const PRODUCERS_MAX: usize = 10_000;

/// How far a producer's numbering is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerMark {
    /// The producer's name.
    pub producer: String,
    /// The offset that its next event must have.
    pub next_offset: u64,
}

impl ProducerMark {
    /// As the log keeps it.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "producer": self.producer, "next_offset": self.next_offset })
    }

    /// Reads what [`ProducerMark::to_json`] gave.
    pub fn from_json(mark: &serde_json::Value) -> Option<Self> {
        Self::deserialize(mark).ok()
    }
}

/// A producer's next offset, `None` before its first request. Held locked while one of its requests
/// is on its way to the disk, so that its requests are judged one after the other.
type Next = Arc<tokio::sync::Mutex<Option<u64>>>;

/// The producers that are remembered.
pub(crate) struct Producers {
    known: Mutex<LruCache<String, Next>>,
}

/// What is to be done with a request of a producer.
pub(crate) enum Verdict {
    /// Append it. Whoever drops the turn lets the producer's next request in.
    New(Turn),
    /// All of it is on disk already.
    Known,
    /// Something is missing in between, or the request is partly known.
    Gap {
        /// The offset that would have been right.
        expected: u64,
    },
}

/// The right to append one request of a producer.
pub(crate) struct Turn {
    next: OwnedMutexGuard<Option<u64>>,
    mark: ProducerMark,
}

impl Turn {
    pub(crate) fn mark(&self) -> ProducerMark {
        self.mark.clone()
    }

    /// The request is on disk.
    pub(crate) fn done(mut self) {
        *self.next = Some(self.mark.next_offset);
    }
}

impl Producers {
    /// Starts with what the log knows.
    pub(crate) fn new(marks: Vec<ProducerMark>) -> Self {
        let mut known =
            LruCache::new(NonZeroUsize::new(PRODUCERS_MAX).unwrap_or(NonZeroUsize::MIN));
        for mark in marks {
            known.put(mark.producer, Arc::new(tokio::sync::Mutex::new(Some(mark.next_offset))));
        }
        Self { known: Mutex::new(known) }
    }

    /// Judges a request of `rows` events; waits while an earlier one of the producer is under way.
    pub(crate) async fn judge(&self, producer: &str, offset: u64, rows: u64) -> Verdict {
        let next = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get_or_insert(producer.to_owned(), Next::default).clone()
        };
        let next = next.lock_owned().await;
        let end = offset.saturating_add(rows);
        match *next {
            Some(expected) if end <= expected && offset < expected => Verdict::Known,
            Some(expected) if offset != expected => Verdict::Gap { expected },
            _ => {
                let mark = ProducerMark { producer: producer.to_owned(), next_offset: end };
                Verdict::New(Turn { next, mark })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn append(producers: &Producers, offset: u64, rows: u64) -> &'static str {
        match producers.judge("p", offset, rows).await {
            Verdict::New(turn) => {
                turn.done();
                "new"
            }
            Verdict::Known => "known",
            Verdict::Gap { expected: 5 } => "gap, 5 expected",
            Verdict::Gap { .. } => "gap",
        }
    }

    #[tokio::test]
    async fn resends_are_known_and_gaps_are_told() {
        let producers = Producers::new(vec![]);
        assert_eq!(append(&producers, 2, 3).await, "new");
        assert_eq!(append(&producers, 2, 3).await, "known");
        assert_eq!(append(&producers, 3, 1).await, "known");
        assert_eq!(append(&producers, 6, 1).await, "gap, 5 expected");
        assert_eq!(append(&producers, 4, 2).await, "gap, 5 expected");
        assert_eq!(append(&producers, 5, 1).await, "new");
        assert_eq!(append(&producers, u64::MAX, 9).await, "gap");
    }

    #[tokio::test]
    async fn what_failed_may_be_sent_again() {
        let mark = ProducerMark { producer: "p".into(), next_offset: 5 };
        assert_eq!(ProducerMark::from_json(&mark.to_json()), Some(mark.clone()));
        let producers = Producers::new(vec![mark]);
        drop(producers.judge("p", 5, 1).await);
        assert_eq!(append(&producers, 5, 2).await, "new");
        assert_eq!(append(&producers, 5, 1).await, "known");
    }
}
