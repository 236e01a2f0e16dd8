//! Distinct paths of channels with how often each converted and was lost.
//!
//! A path is a list of channels, never a joined text: a name may hold any character `[2.29]`.
//! Memory grows with the number of distinct paths (about 60 bytes and 2 for each step), not with
//! the number of journeys.

use crate::AttributionError;

use super::PathCountsBuilder;

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
    pub(super) channels: Vec<String>,
    pub(super) steps: Vec<u16>,
    /// One for each path.
    pub(super) counted: Vec<Counted>,
    /// Conversions of journeys without a touch: no channel can get them.
    pub(super) untouched: u64,
}

/// What is known of a path, in one place: paths come in no order, and each array would be another wait for memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// Where its steps end; they begin where those of the path before end.
    pub(super) end: usize,
    pub(super) converted: u64,
    pub(super) lost: u64,
    pub(super) value_micros: i64,
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
