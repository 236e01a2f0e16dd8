//! Journeys → their distinct paths with counts.
//!
//! Journeys come in no order, so nearly all that takes time is waiting for memory: what a path is found by is kept small and in
//! one place, and lookups of many paths are under way at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::AttributionError;

use super::PathCounts;
use super::hash::Spread;
use super::paths::{Counted, Path};
use super::recent::Recent;

/// Channels are numbered with 16 bits, of which the chain keeps two values for itself.
pub const CHANNELS_MAX: usize = 65_000;

/// Paths that are added together: so many that what is known of them stays in a core's cache.
const PORTION_PATHS: usize = 1_024;

/// A path that is known. What it is found by lies beside its number: a table that grows, and most lookups, need not go to the
/// steps, which are in no cache.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// The steps, a byte each, or their hash.
    key: u64,
    is_hash: bool,
    number: u32,
}

/// What a path is found by, and whether that is only a hash: most paths are short and are their own key.
#[inline]
fn key_of(steps: &[u16], hasher: &RandomState) -> (u64, bool) {
    let is_short = steps.len() <= size_of::<u64>();
    if is_short && steps.iter().all(|&step| step < u16::from(u8::MAX)) {
        // No byte is 0, so that no path is another one with something before it.
        (steps.iter().fold(0, |key, &step| key << u8::BITS | u64::from(step + 1)), false)
    } else {
        (hasher.hash_one(steps), true)
    }
}

/// Where a path belongs in the table of known ones.
#[derive(Debug, Clone, Copy)]
struct Place {
    key: u64,
    is_hash: bool,
    hash: u64,
    /// Its number, if it is known to be there.
    found: Option<u32>,
}

/// Some paths on their way into a [`PathCountsBuilder`], each with its journeys.
#[derive(Debug, Default)]
pub struct Portion {
    steps: Vec<u16>,
    rows: Vec<Counted>,
}

impl Portion {
    /// Whether it is time to add it.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= PORTION_PATHS
    }

    /// Adds a touch to the path that is begun: a number that [`PathCountsBuilder::channel`] gave.
    #[inline]
    pub fn step(&mut self, channel: u16) {
        self.steps.push(channel);
    }

    /// Ends the path that is begun, with its journeys as [`PathCountsBuilder::add`] takes them.
    #[inline]
    pub fn end(&mut self, converted: u64, lost: u64, value_micros: i64) {
        self.rows.push(Counted { end: self.steps.len(), converted, lost, value_micros });
    }

    fn paths(&self) -> impl Iterator<Item = Path<'_>> {
        let mut start = 0;
        self.rows.iter().map(move |&Counted { end, converted, lost, value_micros }| {
            let steps = &self.steps[std::mem::replace(&mut start, end)..end];
            Path { steps, converted, lost, value_micros }
        })
    }
}

/// Takes paths one by one.
#[derive(Debug, Default)]
pub struct PathCountsBuilder {
    pub(super) counts: PathCounts,
    numbers: HashMap<String, u16, BuildHasherDefault<Spread>>,
    /// Channels that were asked for lately.
    recent: Recent,
    known: HashTable<Known>,
    /// Seeded anew each time: who sends paths can't choose ones that collide.
    hasher: RandomState,
    /// Of the paths that are added now.
    places: Vec<Place>,
    journeys: u64,
    /// Sum of all values without their signs, so that sums of products stay inside 128 bits.
    absolute: u64,
}

impl PathCountsBuilder {
    /// The number of a channel, a new one when the name is new.
    ///
    /// # Errors
    /// [`AttributionError::TooManyChannels`].
    #[inline]
    pub fn channel(&mut self, name: &str) -> Result<u16, AttributionError> {
        if let Some(number) = self.recent.get(name, &self.counts.channels) {
            return Ok(number);
        }
        let number = self.number(name)?;
        self.recent.set(name, number);
        Ok(number)
    }

    fn number(&mut self, name: &str) -> Result<u16, AttributionError> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let channels = self.counts.channels.len();
        let number = u16::try_from(channels).ok().filter(|_| channels < CHANNELS_MAX);
        let number = number.ok_or(AttributionError::TooManyChannels {
            channels: channels + 1,
            most: CHANNELS_MAX,
            what: "paths",
        })?;
        self.counts.channels.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Distinct paths so far.
    pub fn paths(&self) -> usize {
        self.counts.len()
    }

    /// Adds journeys of one path, whose steps are numbers that [`PathCountsBuilder::channel`] gave. The value
    /// is that of the converted ones; without any there is none.
    ///
    /// # Errors
    /// [`AttributionError::CountsTooLarge`].
    pub fn add(
        &mut self,
        steps: &[u16],
        converted: u64,
        lost: u64,
        value_micros: i64,
    ) -> Result<(), AttributionError> {
        let place = self.place(steps);
        self.count(Path { steps, converted, lost, value_micros }, place)
    }

    /// Adds many paths and leaves none in the portion. Quicker than one by one: a lookup need not wait until the one before it has
    /// come from memory.
    ///
    /// # Errors
    /// As [`PathCountsBuilder::add`].
    pub fn add_all(&mut self, portion: &mut Portion) -> Result<(), AttributionError> {
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.extend(portion.paths().map(|path| self.place(path.steps)));
        for (place, path) in places.iter_mut().zip(portion.paths()) {
            place.found = self.find(*place, path.steps);
        }
        for (path, place) in portion.paths().zip(&places) {
            self.count(path, *place)?;
        }
        self.places = places;
        portion.steps.clear();
        portion.rows.clear();
        Ok(())
    }

    #[inline]
    fn place(&self, steps: &[u16]) -> Place {
        let (key, is_hash) = key_of(steps, &self.hasher);
        Place { key, is_hash, hash: self.hasher.hash_one(key), found: None }
    }

    /// The number of a path that is known.
    #[inline]
    fn find(&self, place: Place, steps: &[u16]) -> Option<u32> {
        let is_it = |known: &Known| {
            known.key == place.key
                && known.is_hash == place.is_hash
                && (!known.is_hash || self.counts.path(known.number as usize).steps == steps)
        };
        self.known.find(place.hash, is_it).map(|known| known.number)
    }

    #[inline]
    fn count(&mut self, path: Path<'_>, place: Place) -> Result<(), AttributionError> {
        let Path { steps, converted, lost, value_micros } = path;
        let too_large = AttributionError::CountsTooLarge { what: "journeys" };
        let journeys = converted.checked_add(lost).and_then(|n| self.journeys.checked_add(n));
        self.journeys = journeys.ok_or(too_large)?;
        let value_micros = if converted == 0 { 0 } else { value_micros };
        let absolute = self.absolute.checked_add(value_micros.unsigned_abs());
        let absolute = absolute.filter(|sum| i64::try_from(*sum).is_ok());
        self.absolute = absolute.ok_or(AttributionError::CountsTooLarge { what: "values" })?;
        if steps.is_empty() {
            self.counts.untouched += converted;
            return Ok(());
        }
        if converted == 0 && lost == 0 {
            return Ok(());
        }
        // What was not there before may have come with the paths just before it.
        if let Some(number) = place.found.or_else(|| self.find(place, steps)) {
            let path = &mut self.counts.counted[number as usize];
            path.converted += converted;
            path.lost += lost;
            path.value_micros += value_micros;
            return Ok(());
        }
        self.put(Path { value_micros, ..path }, place)
    }

    /// Adds a path that is new.
    fn put(&mut self, path: Path<'_>, place: Place) -> Result<(), AttributionError> {
        let Path { steps, converted, lost, value_micros } = path;
        let (counts, hasher) = (&mut self.counts, &self.hasher);
        let number = u32::try_from(counts.len())
            .map_err(|_| AttributionError::CountsTooLarge { what: "distinct paths" })?;
        counts.steps.extend_from_slice(steps);
        counts.counted.push(Counted { end: counts.steps.len(), converted, lost, value_micros });
        let known = Known { key: place.key, is_hash: place.is_hash, number };
        self.known.insert_unique(place.hash, known, |known| hasher.hash_one(known.key));
        Ok(())
    }

    /// Adds all paths of another builder: what a second thread has read.
    ///
    /// # Errors
    /// As [`PathCountsBuilder::channel`] and [`PathCountsBuilder::add`].
    pub fn merge(&mut self, other: &Self) -> Result<(), AttributionError> {
        let names = other.counts.channels.iter();
        let numbers = names.map(|name| self.channel(name)).collect::<Result<Vec<_>, _>>()?;
        let mut portion = Portion::default();
        for path in other.counts.iter() {
            for &step in path.steps {
                portion.step(numbers[usize::from(step)]);
            }
            portion.end(path.converted, path.lost, path.value_micros);
            if portion.is_full() {
                self.add_all(&mut portion)?;
            }
        }
        self.add_all(&mut portion)?;
        self.counts.untouched += other.counts.untouched;
        Ok(())
    }

    /// The paths, with the channels sorted by name.
    pub fn finish(self) -> PathCounts {
        let mut counts = self.counts;
        let mut order: Vec<usize> = (0..counts.channels.len()).collect();
        order.sort_unstable_by(|one, other| counts.channels[*one].cmp(&counts.channels[*other]));
        let mut numbers = vec![0_u16; order.len()];
        for (new, &old) in order.iter().enumerate() {
            // Below CHANNELS_MAX, as each got its number from `channel`.
            numbers[old] = new as u16;
        }
        for step in &mut counts.steps {
            *step = numbers[usize::from(*step)];
        }
        counts.channels = order.iter().map(|&old| counts.channels[old].clone()).collect();
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Steps around the lengths and numbers where a path is its own key no more.
    fn steps() -> impl Strategy<Value = Vec<u16>> {
        let step = prop_oneof![4 => 0_u16..3, 1 => 252_u16..258];
        prop_oneof![4 => vec(step.clone(), 0..4), 2 => vec(step, 6..11)]
    }

    proptest! {
        /// Each path once, with the sums of its journeys, however they come.
        #[test]
        fn paths_are_counted_alone_and_together(
            rows in vec((steps(), 0_u64..3, 0_u64..3, -5_i64..5), 0..60),
            portion_paths in 1_usize..20,
        ) {
            let mut expected: BTreeMap<&[u16], (u64, u64, i64)> = BTreeMap::new();
            let mut untouched = 0;
            for (steps, converted, lost, value) in &rows {
                if steps.is_empty() {
                    untouched += converted;
                } else if converted + lost > 0 {
                    let sums = expected.entry(steps).or_default();
                    let value = if *converted > 0 { *value } else { 0 };
                    *sums = (sums.0 + converted, sums.1 + lost, sums.2 + value);
                }
            }
            let (mut alone, mut together) = (builder(), builder());
            let mut portion = Portion::default();
            for rows in rows.chunks(portion_paths) {
                for (steps, converted, lost, value) in rows {
                    alone.add(steps, *converted, *lost, *value).unwrap();
                    steps.iter().for_each(|&step| portion.step(step));
                    portion.end(*converted, *lost, *value);
                }
                prop_assert_eq!(portion.rows.len(), rows.len());
                together.add_all(&mut portion).unwrap();
            }
            for builder in [alone, together] {
                let counts = builder.finish();
                let found: BTreeMap<_, _> = counts
                    .iter()
                    .map(|path| (path.steps, (path.converted, path.lost, path.value_micros)))
                    .collect();
                prop_assert_eq!(counts.len(), expected.len());
                prop_assert_eq!(found, expected.clone());
                prop_assert_eq!(counts.untouched(), untouched);
            }
        }
    }

    /// With channels whose numbers are the order of their names.
    fn builder() -> PathCountsBuilder {
        let mut builder = PathCountsBuilder::default();
        for number in 0..260 {
            assert_eq!(builder.channel(&format!("{number:03}")), Ok(number));
        }
        builder
    }
}
