//! Removal effects of an absorbing Markov chain `[2.31]`.
//!
//! A state is the last touches of a journey, as many as the order says; a journey starts in the
//! empty state and ends as converted or lost. Transition probabilities are counts of journeys, those
//! that were lost among them. The removal effect of a channel is the share of conversions that
//! would be lost if every touch of it ended its journey as lost: `1 − p(without it) / p`. It is
//! computed from the chain's equations, not simulated.
//!
//! Source: Anderl, Becker, von Wangenheim, Schumann, "Mapping the customer journey", 2016.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::AttributionError;

use super::PathCounts;
use super::hash::Spread;
use super::solve::System;

/// The longest memory of a chain.
pub const ORDER_MAX: usize = 3;

/// What a touch of channel `c` is in a state or as a next step: `c + 1`, so that 0 is "none yet".
const CONVERTED: u64 = 0xffff;
const LOST: u64 = 0xfffe;
const STEP_BITS: u32 = 16;

/// The states and transitions of a set of paths.
#[derive(Debug)]
pub struct Chain {
    order: usize,
    channels: usize,
    /// State keys, sorted; the first is 0, the start.
    states: Vec<u64>,
    /// Transitions by (state, next step).
    edges: Vec<Edge>,
    /// Journeys over each transition.
    counts: Vec<u64>,
    /// (state key, next step) → number of the transition.
    numbers: HashMap<u64, u32, BuildHasherDefault<Spread>>,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u32,
    next: Next,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    State(u32),
    Converted,
    Lost,
}

/// What removal of each channel would cost.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovalEffects {
    /// Probability that a journey converts.
    pub conversion_probability: f64,
    /// Share of conversions lost without each channel, in the order of the channels.
    pub effects: Vec<f64>,
}

/// For each path, the transitions it takes: to count a resampled set of paths without looking
/// them up again.
#[derive(Debug)]
pub struct Walks {
    edges: Vec<u32>,
    /// Where each path's transitions end, its two last steps left out.
    ends: Vec<usize>,
    /// Transition to converted and to lost of each path's last state; `None` where nobody took it.
    last: Vec<[Option<u32>; 2]>,
    transitions: usize,
}

/// Resampled counts of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Number of the path.
    pub path: usize,
    /// Converted journeys drawn.
    pub converted: u64,
    /// Lost journeys drawn.
    pub lost: u64,
}

impl Chain {
    /// Counts the transitions.
    ///
    /// # Errors
    /// [`AttributionError::BadOrder`].
    pub fn new(paths: &PathCounts, order: usize) -> Result<Self, AttributionError> {
        if order == 0 || order > ORDER_MAX {
            return Err(AttributionError::BadOrder { order });
        }
        let mut numbers: HashMap<u64, u32, BuildHasherDefault<Spread>> = HashMap::default();
        let (mut keys, mut counts) = (Vec::new(), Vec::new());
        let mut count = |key: u64, journeys: u64| {
            if journeys == 0 {
                return;
            }
            let fresh = counts.len() as u32;
            let number = *numbers.entry(key).or_insert(fresh);
            if number == fresh {
                keys.push(key);
                counts.push(0);
            }
            counts[number as usize] += journeys;
        };
        for path in paths.iter() {
            let mut state = 0;
            for &step in path.steps {
                count(edge_key(state, u64::from(step) + 1), path.converted + path.lost);
                state = after(state, step, order);
            }
            count(edge_key(state, CONVERTED), path.converted);
            count(edge_key(state, LOST), path.lost);
        }
        let mut chain = Self {
            order,
            channels: paths.channels().len(),
            states: Vec::new(),
            edges: Vec::new(),
            counts,
            numbers,
        };
        chain.arrange(&keys);
        Ok(chain)
    }

    /// Sorts transitions and states, so that the order of paths leaves no trace.
    fn arrange(&mut self, keys: &[u64]) {
        let mut sorted: Vec<usize> = (0..keys.len()).collect();
        sorted.sort_unstable_by_key(|&at| keys[at]);
        // Every state has a transition out of it, as a path goes on or ends there.
        self.states = sorted.iter().map(|&at| keys[at] >> STEP_BITS).collect();
        self.states.dedup();
        self.counts = sorted.iter().map(|&at| self.counts[at]).collect();
        let state = |key: u64| self.states.partition_point(|known| *known < key) as u32;
        let edge = |&at: &usize| {
            let (from, step) = (keys[at] >> STEP_BITS, keys[at] & 0xffff);
            let next = match step {
                CONVERTED => Next::Converted,
                LOST => Next::Lost,
                step => Next::State(state(after(from, (step - 1) as u16, self.order))),
            };
            Edge { from: state(from), next }
        };
        self.edges = sorted.iter().map(edge).collect();
        self.numbers = sorted.iter().enumerate().map(|(new, &at)| (keys[at], new as u32)).collect();
    }

    /// Number of states, the start among them, the two ends not.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// Journeys over each transition.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The transitions of each path.
    pub fn walks(&self, paths: &PathCounts) -> Walks {
        let mut walks = Walks {
            edges: Vec::with_capacity(paths.steps()),
            ends: Vec::with_capacity(paths.len()),
            last: Vec::with_capacity(paths.len()),
            transitions: self.edges.len(),
        };
        let number = |key: u64| self.numbers.get(&key).copied();
        for path in paths.iter() {
            let mut state = 0;
            for &step in path.steps {
                walks.edges.extend(number(edge_key(state, u64::from(step) + 1)));
                state = after(state, step, self.order);
            }
            walks.ends.push(walks.edges.len());
            walks.last.push([number(edge_key(state, CONVERTED)), number(edge_key(state, LOST))]);
        }
        walks
    }

    /// Probability that a journey converts when all touches of the channels for which `is_removed`
    /// holds end it as lost.
    ///
    /// # Errors
    /// [`AttributionError::NotSolved`].
    pub fn conversion_probability(
        &self,
        counts: &[u64],
        is_removed: &dyn Fn(usize) -> bool,
    ) -> Result<f64, AttributionError> {
        self.probability(&self.system(counts), is_removed)
    }

    fn probability(
        &self,
        system: &System,
        is_removed: &dyn Fn(usize) -> bool,
    ) -> Result<f64, AttributionError> {
        // A journey enters the states that hold a channel by the one that ends in it.
        let removed = |state: usize| match self.states[state] & 0xffff {
            0 => false,
            step => is_removed(step as usize - 1),
        };
        system.converts_from(0, &removed)
    }

    /// Removal effects from the chain's own or from resampled counts.
    ///
    /// # Errors
    /// [`AttributionError::NoConversions`] when nothing converts; [`AttributionError::NotSolved`].
    pub fn removal_effects(&self, counts: &[u64]) -> Result<RemovalEffects, AttributionError> {
        let system = self.system(counts);
        let whole = self.probability(&system, &|_| false)?;
        if whole <= 0.0 {
            let starts = self.edges.iter().zip(counts).filter(|(edge, _)| edge.from == 0);
            let journeys = starts.map(|(_, count)| count).sum();
            return Err(AttributionError::NoConversions { journeys });
        }
        let effect = |channel: usize| {
            let without = self.probability(&system, &|removed| removed == channel)?;
            // Rounding may leave a channel that no conversion needs a hair below zero.
            Ok((1.0 - without / whole).clamp(0.0, 1.0))
        };
        let effects = (0..self.channels).map(effect).collect::<Result<_, AttributionError>>()?;
        Ok(RemovalEffects { conversion_probability: whole, effects })
    }

    pub(super) fn system(&self, counts: &[u64]) -> System {
        let states = self.states.len();
        let mut totals = vec![0_u64; states];
        for (edge, &count) in self.edges.iter().zip(counts) {
            totals[edge.from as usize] += count;
        }
        let mut system = System {
            ends: vec![0; states],
            converts: vec![0.0; states],
            // A state that no resampled journey visits is lost at once; nothing leads to it.
            loses: totals.iter().map(|&total| if total == 0 { 1.0 } else { 0.0 }).collect(),
            ..System::default()
        };
        for (edge, &count) in self.edges.iter().zip(counts) {
            let from = edge.from as usize;
            if count > 0 {
                let probability = count as f64 / totals[from] as f64;
                match edge.next {
                    Next::Converted => system.converts[from] = probability,
                    Next::Lost => system.loses[from] = probability,
                    Next::State(target) => {
                        system.targets.push(target);
                        system.probabilities.push(probability);
                    }
                }
            }
            system.ends[from] = system.targets.len();
        }
        system
    }
}

impl Walks {
    /// Journeys over each transition when these counts of paths are drawn.
    pub fn count(&self, drawn: &[Drawn]) -> Vec<u64> {
        let mut counts = vec![0; self.transitions];
        for draw in drawn {
            let start = draw.path.checked_sub(1).map_or(0, |before| self.ends[before]);
            for &edge in &self.edges[start..self.ends[draw.path]] {
                counts[edge as usize] += draw.converted + draw.lost;
            }
            for (edge, count) in self.last[draw.path].iter().zip([draw.converted, draw.lost]) {
                if let Some(edge) = edge {
                    counts[*edge as usize] += count;
                }
            }
        }
        counts
    }
}

fn edge_key(state: u64, step: u64) -> u64 {
    state << STEP_BITS | step
}

/// The state after a touch: the oldest touch is forgotten.
fn after(state: u64, step: u16, order: usize) -> u64 {
    let kept = (1 << (STEP_BITS * order as u32)) - 1;
    (state << STEP_BITS | (u64::from(step) + 1)) & kept
}
