//! Persons with very many events, such as a bot or a shared device.
//!
//! To compute a person again takes time in proportion to all of their events. One that has a hundred thousand and
//! sends more each second would hold up everybody else, so such persons wait and are computed at a pace of their
//! own. Their new events are in the history at once; only what is computed from it comes later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, Hasher as _, RandomState};

use super::restated::Cause;

/// A person waits from so many events on: some 50 ms of work.
pub(crate) const HEAVY_ROWS: usize = 20_000;

/// The keys of a person's events are remembered from so many events on; below, comparing them all is quicker.
const REMEMBERED_ROWS: usize = 512;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Heavy {
    /// Who waits, and why their figures of past days will change.
    waiting: BTreeMap<u32, Cause>,
    /// Hashes of the event keys of persons with many events.
    event_keys: HashMap<u32, HashSet<u64>>,
    hasher: RandomState,
}

impl Heavy {
    /// Puts the persons with many events among `persons` on the list; gives the others.
    pub(super) fn set_apart(
        &mut self,
        persons: &[u32],
        cause: Cause,
        rows: impl Fn(u32) -> usize,
    ) -> Vec<u32> {
        let (heavy, light): (Vec<u32>, Vec<u32>) =
            persons.iter().partition(|person| rows(**person) >= HEAVY_ROWS);
        for person in heavy {
            let known = self.waiting.entry(person).or_insert(cause);
            if cause == Cause::LateEvent {
                *known = cause;
            }
        }
        light
    }

    /// Who waits.
    pub(super) fn waiting(&self) -> &BTreeMap<u32, Cause> {
        &self.waiting
    }

    /// Those who waited have been computed.
    pub(super) fn done(&mut self) {
        self.waiting.clear();
    }

    /// Whether the keys of a person's events are remembered.
    pub(super) fn remembers(&self, person: u32) -> bool {
        self.event_keys.contains_key(&person)
    }

    /// Remembers the keys of all events of a person.
    pub(super) fn learn<'k>(&mut self, person: u32, all: impl Iterator<Item = &'k str>) {
        let keys = all.map(|key| hash(&self.hasher, key)).collect();
        self.event_keys.insert(person, keys);
    }

    /// Whether a person with `rows` events in memory may have one of this key; `all` gives the keys of these.
    ///
    /// A copy is sought among all events of its person. For a person with many, this answers "no" for a new event
    /// without a look at them.
    pub(super) fn may_have<'k, I: Iterator<Item = &'k str>>(
        &mut self,
        person: u32,
        rows: usize,
        event_key: &str,
        all: impl FnOnce() -> I,
    ) -> bool {
        if rows < REMEMBERED_ROWS && !self.remembers(person) {
            return rows > 0;
        }
        if !self.remembers(person) {
            self.learn(person, all());
        }
        let key = hash(&self.hasher, event_key);
        self.event_keys.get(&person).is_some_and(|keys| keys.contains(&key))
    }

    /// A new event of a person is in the history.
    pub(super) fn remember(&mut self, person: u32, event_key: &str) {
        if let Some(keys) = self.event_keys.get_mut(&person) {
            keys.insert(hash(&self.hasher, event_key));
        }
    }
}

fn hash(state: &RandomState, key: &str) -> u64 {
    let mut hasher = state.build_hasher();
    hasher.write(key.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_persons_with_many_events_wait() {
        let mut heavy = Heavy::default();
        let rows = |person| if person == 2 { HEAVY_ROWS } else { HEAVY_ROWS - 1 };
        assert_eq!(heavy.set_apart(&[1, 2, 3], Cause::Event, rows), [1, 3]);
        assert!(heavy.set_apart(&[2], Cause::LateEvent, rows).is_empty());
        assert_eq!(heavy.waiting().get(&2), Some(&Cause::LateEvent));
        heavy.done();
        assert!(heavy.waiting().is_empty());
    }

    #[test]
    fn keys_of_many_events_are_remembered() {
        let mut heavy = Heavy::default();
        let keys: Vec<String> = (0..REMEMBERED_ROWS).map(|n| format!("key {n}")).collect();
        let all = || keys.iter().map(String::as_str);
        assert!(heavy.may_have(7, keys.len(), "key 5", all));
        assert!(!heavy.may_have(7, keys.len(), "another", all));
        heavy.remember(7, "another");
        assert!(heavy.may_have(7, keys.len() + 1, "another", all));
        // Few events are compared one by one.
        assert!(heavy.may_have(8, 1, "any", || ["x"].into_iter()));
        assert!(!heavy.may_have(8, 0, "any", || ["x"].into_iter()));
    }
}
