//! Ids of events that came lately, so that a sender is told of duplicates.
//!
//! Only the answer's counts depend on this: a duplicate is stored like any other event, and the
//! models recognise it, however old it is.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// The first half of a hash: a false match among a million ids has a chance below 1e-26.
pub(crate) type Id = [u8; 16];

/// The ids that came lately.
pub(crate) struct Recent {
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ids: HashSet<Id>,
    order: VecDeque<Id>,
}

/// The id of an event of a stream.
pub(crate) fn id(stream: &str, event_id: &str) -> Id {
    let mut hash = Sha256::new();
    hash.update((stream.len() as u64).to_le_bytes());
    hash.update(stream);
    hash.update(event_id);
    let mut id = Id::default();
    id.copy_from_slice(&hash.finalize()[..16]);
    id
}

impl Recent {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, seen: Mutex::default() }
    }

    /// Remembers ids; says how many of them were known, or came twice among them.
    ///
    /// To be told only of events that are on disk: one that is not may be sent again, and is then
    /// new.
    pub(crate) fn remember(&self, ids: &[Id]) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = 0;
        for id in ids {
            if !seen.ids.insert(*id) {
                known += 1;
                continue;
            }
            seen.order.push_back(*id);
            if seen.order.len() > self.most
                && let Some(oldest) = seen.order.pop_front()
            {
                seen.ids.remove(&oldest);
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let recent = Recent::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|event| id("stream", event));
        assert_eq!(recent.remember(&[a, b, a]), 1);
        assert_eq!(recent.remember(&[b]), 1);
        assert_eq!(recent.remember(&[c]), 0);
        assert_eq!(recent.remember(&[b, c]), 2);
        assert_eq!(recent.remember(&[a]), 0);
        assert_eq!(recent.seen.lock().unwrap().ids.len(), 2);
    }

    #[test]
    fn streams_have_ids_of_their_own() {
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }
}
