//! Distinct paths of channels with how often each converted and was lost.
//!
//! A path is a list of channels, never a joined text: a name may hold any character `[2.29]`.
//! Memory grows with the number of distinct paths (about 60 bytes and 2 for each step), not with
//! the number of journeys.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::AttributionError;

use super::hash::Spread;
use super::recent::Recent;

/// Channels are numbered with 16 bits, of which the chain keeps two values for itself.
pub const CHANNELS_MAX: usize = 65_000;

/// One path and its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a> {
    /// Indexes into [`PathCounts::channels`], first touch first; never empty.
    pub steps: &'a [u16],
    /// Journeys that converted.
    pub converted: u64,
    /// Journeys that did not.
    pub lost: u64,
    /// Value of the converted ones, millionths.
    pub value_micros: i64,
}

/// All paths.
#[derive(Debug, Clone, Default)]
pub struct PathCounts {
    channels: Vec<String>,
    steps: Vec<u16>,
    /// One for each path.
    counted: Vec<Counted>,
    /// Conversions of journeys without a touch: no channel can get them.
    untouched: u64,
}

/// What is known of a path, in one place: paths come in no order, and each array would be another wait for memory.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// Where its steps end; they begin where those of the path before end.
    end: usize,
    converted: u64,
    lost: u64,
    value_micros: i64,
}

/// How many journeys a channel was part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    /// All.
    pub journeys: u64,
    /// Those that converted.
    pub converted: u64,
}

impl PathCounts {
    /// Names of the channels, sorted.
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Number of distinct paths.
    pub fn len(&self) -> usize {
        self.counted.len()
    }

    /// Whether there is no path with a touch.
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty()
    }

    /// The path of a number below [`PathCounts::len`].
    #[inline]
    pub fn path(&self, at: usize) -> Path<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.counted[before].end);
        let Counted { end, converted, lost, value_micros } = self.counted[at];
        Path { steps: &self.steps[start..end], converted, lost, value_micros }
    }

    /// All paths, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = Path<'_>> {
        (0..self.len()).map(|at| self.path(at))
    }

    /// Numbers of the paths in the order of their steps, whatever order they were added in.
    pub fn sorted(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_unstable_by(|one, other| self.path(*one).steps.cmp(self.path(*other).steps));
        order
    }

    /// Touches of all distinct paths.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Converted journeys with a touch.
    pub fn conversions(&self) -> u64 {
        self.counted.iter().map(|path| path.converted).sum()
    }

    /// Journeys with a touch.
    pub fn journeys(&self) -> u64 {
        self.conversions() + self.counted.iter().map(|path| path.lost).sum::<u64>()
    }

    /// Converted journeys without a touch; no fit knows of them.
    pub fn untouched(&self) -> u64 {
        self.untouched
    }

    /// Share of journeys with a touch that converted.
    pub fn conversion_probability(&self) -> f64 {
        self.conversions() as f64 / self.journeys() as f64
    }

    /// Value of all conversions, millionths.
    pub fn value_micros(&self) -> i64 {
        self.counted.iter().map(|path| path.value_micros).sum()
    }

    /// Journeys and conversions that each channel was part of, in the order of the channels.
    pub fn reach(&self) -> Vec<Reach> {
        let mut reach = vec![Reach::default(); self.channels.len()];
        let mut seen = vec![usize::MAX; self.channels.len()];
        for (at, path) in self.iter().enumerate() {
            for &step in path.steps {
                let step = usize::from(step);
                if seen[step] != at {
                    seen[step] = at;
                    reach[step].journeys += path.converted + path.lost;
                    reach[step].converted += path.converted;
                }
            }
        }
        reach
    }

    /// The same journeys with repeats of a channel that follow each other taken as one touch.
    ///
    /// Removal effects of a chain of order 1 stay what they are; shares of `linear` do not `[2.29]`.
    ///
    /// # Errors
    /// [`AttributionError::CountsTooLarge`].
    pub fn compacted(&self) -> Result<Self, AttributionError> {
        let mut builder = PathCountsBuilder::default();
        for channel in &self.channels {
            builder.channel(channel)?;
        }
        let mut steps = Vec::new();
        for path in self.iter() {
            steps.clear();
            steps.extend_from_slice(path.steps);
            steps.dedup();
            builder.add(&steps, path.converted, path.lost, path.value_micros)?;
        }
        builder.counts.untouched = self.untouched;
        Ok(builder.finish())
    }

    /// Whether there is something to fit.
    pub(super) fn check(&self) -> Result<(), AttributionError> {
        if self.is_empty() {
            return Err(AttributionError::NoPaths);
        }
        if self.conversions() == 0 {
            return Err(AttributionError::NoConversions { journeys: self.journeys() });
        }
        Ok(())
    }
}

/// Takes paths one by one.
#[derive(Debug, Default)]
pub struct PathCountsBuilder {
    counts: PathCounts,
    numbers: HashMap<String, u16, BuildHasherDefault<Spread>>,
    /// Channels that were asked for lately.
    recent: Recent,
    /// Numbers of the paths, by their steps.
    known: HashTable<u32>,
    /// Seeded anew each time: who sends paths can't choose ones that collide.
    hasher: RandomState,
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
        let (counts, hasher) = (&mut self.counts, &self.hasher);
        let hash = hasher.hash_one(steps);
        let found = self.known.find(hash, |&at| counts.path(at as usize).steps == steps);
        if let Some(&at) = found {
            let path = &mut counts.counted[at as usize];
            path.converted += converted;
            path.lost += lost;
            path.value_micros += value_micros;
            return Ok(());
        }
        let number = u32::try_from(counts.len())
            .map_err(|_| AttributionError::CountsTooLarge { what: "distinct paths" })?;
        counts.steps.extend_from_slice(steps);
        counts.counted.push(Counted { end: counts.steps.len(), converted, lost, value_micros });
        let hash_of = |&at: &u32| hasher.hash_one(counts.path(at as usize).steps);
        self.known.insert_unique(hash, number, hash_of);
        Ok(())
    }

    /// Adds all paths of another builder: what a second thread has read.
    ///
    /// # Errors
    /// As [`PathCountsBuilder::channel`] and [`PathCountsBuilder::add`].
    pub fn merge(&mut self, other: &Self) -> Result<(), AttributionError> {
        let names = other.counts.channels.iter();
        let numbers = names.map(|name| self.channel(name)).collect::<Result<Vec<_>, _>>()?;
        let mut steps = Vec::new();
        for path in other.counts.iter() {
            steps.clear();
            steps.extend(path.steps.iter().map(|&step| numbers[usize::from(step)]));
            self.add(&steps, path.converted, path.lost, path.value_micros)?;
        }
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
