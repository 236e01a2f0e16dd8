//! Probabilities of absorption: `h = b + Q·h`, for the states of a chain that always ends.
//!
//! Small systems are eliminated directly. Large ones are swept until an upper and a lower bound of
//! the answer meet, so that the error is known, not guessed.

use crate::AttributionError;

/// States up to which elimination is cheaper than sweeping.
const DIRECT_MAX: usize = 160;

/// Width between the bounds at which sweeping ends.
const GAP_MAX: f64 = 1e-12;

/// Sweeps after which we give up: such a chain almost never ends.
const SWEEPS_MAX: usize = 20_000;

/// Transitions between states, row by row, as probabilities.
#[derive(Debug, Default)]
pub(super) struct System {
    /// Where the row of each state ends in `targets`.
    pub(super) ends: Vec<usize>,
    /// State reached.
    pub(super) targets: Vec<u32>,
    /// Probability of it.
    pub(super) probabilities: Vec<f64>,
    /// Probability to convert next.
    pub(super) converts: Vec<f64>,
    /// Probability to be lost next.
    pub(super) loses: Vec<f64>,
}

impl System {
    fn row(&self, state: usize) -> impl Iterator<Item = (usize, f64)> {
        let start = state.checked_sub(1).map_or(0, |before| self.ends[before]);
        let range = start..self.ends[state];
        let targets = self.targets[range.clone()].iter().map(|&target| target as usize);
        targets.zip(self.probabilities[range].iter().copied())
    }

    /// Probability that a journey which begins in `start` converts and enters no removed state.
    pub(super) fn converts_from(
        &self,
        start: usize,
        removed: &dyn Fn(usize) -> bool,
    ) -> Result<f64, AttributionError> {
        let states: Vec<usize> = (0..self.ends.len()).filter(|state| !removed(*state)).collect();
        if states.len() <= DIRECT_MAX {
            return Ok(self.eliminate(start, &states));
        }
        self.sweep(start, removed, &states)
    }

    /// Gaussian elimination of `(I − Q)·h = b`. Rows are diagonally dominant, so no pivot is needed.
    fn eliminate(&self, start: usize, states: &[usize]) -> f64 {
        let size = states.len();
        let Some(start) = states.iter().position(|state| *state == start) else { return 0.0 };
        let mut place = vec![usize::MAX; self.ends.len()];
        for (at, &state) in states.iter().enumerate() {
            place[state] = at;
        }
        let mut matrix = vec![0.0; size * size];
        let mut answer: Vec<f64> = states.iter().map(|&state| self.converts[state]).collect();
        for (at, &state) in states.iter().enumerate() {
            matrix[at * size + at] = 1.0;
            for (target, probability) in self.row(state) {
                if place[target] != usize::MAX {
                    matrix[at * size + place[target]] -= probability;
                }
            }
        }
        for pivot in 0..size {
            let (above, below) = matrix.split_at_mut((pivot + 1) * size);
            let pivot_row = &above[pivot * size..];
            for (down, row) in below.chunks_exact_mut(size).enumerate() {
                let factor = row[pivot] / pivot_row[pivot];
                if factor == 0.0 {
                    continue;
                }
                for column in pivot + 1..size {
                    row[column] -= factor * pivot_row[column];
                }
                answer[pivot + 1 + down] -= factor * answer[pivot];
            }
        }
        for at in (0..size).rev() {
            let row = &matrix[at * size..(at + 1) * size];
            let known: f64 = (at + 1..size).map(|column| row[column] * answer[column]).sum();
            answer[at] = (answer[at] - known) / row[at];
        }
        answer[start]
    }

    /// Gauss–Seidel from zero, for converting and for being lost at once: both only grow, and their
    /// sum can't exceed 1, so that what is missing to 1 bounds the error of each.
    fn sweep(
        &self,
        start: usize,
        removed: &dyn Fn(usize) -> bool,
        states: &[usize],
    ) -> Result<f64, AttributionError> {
        let gone: Vec<bool> = (0..self.ends.len()).map(removed).collect();
        let mut converted = vec![0.0; self.ends.len()];
        let mut lost = vec![0.0; self.ends.len()];
        let mut gap = 1.0_f64;
        for _ in 0..SWEEPS_MAX {
            for &state in states {
                let (mut converts, mut loses) = (self.converts[state], self.loses[state]);
                let mut stays = 0.0;
                for (target, probability) in self.row(state) {
                    if target == state {
                        stays = probability;
                    } else if gone[target] {
                        loses += probability;
                    } else {
                        converts += probability * converted[target];
                        loses += probability * lost[target];
                    }
                }
                converted[state] = converts / (1.0 - stays);
                lost[state] = loses / (1.0 - stays);
            }
            let open = |&state: &usize| (1.0 - converted[state] - lost[state]).abs();
            gap = states.iter().map(open).fold(0.0, f64::max);
            if gap <= GAP_MAX {
                return Ok(if gone[start] { 0.0 } else { converted[start] });
            }
        }
        Err(AttributionError::NotSolved { gap, sweeps: SWEEPS_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of states, each of which may end: both ways of solving must agree.
    fn ring(size: usize) -> System {
        let mut system = System::default();
        for state in 0..size {
            let (ahead, back) = ((state + 1) % size, (state + size - 1) % size);
            let end = 0.02 + 0.2 * (state % 7) as f64 / 7.0;
            for (target, part) in [(state, 0.1), (ahead, 0.5), (back, 0.4)] {
                system.targets.push(target as u32);
                system.probabilities.push((1.0 - end) * part);
            }
            system.ends.push(system.targets.len());
            system.converts.push(end * (state % 3) as f64 / 3.0);
            system.loses.push(end * (1.0 - (state % 3) as f64 / 3.0));
        }
        system
    }

    #[test]
    fn sweeping_and_elimination_agree() {
        let system = ring(100);
        let all: Vec<usize> = (0..100).collect();
        let nobody = |_: usize| false;
        let direct = system.eliminate(3, &all);
        let swept = system.sweep(3, &nobody, &all).unwrap();
        assert!((direct - swept).abs() < 1e-11, "{direct} {swept}");
        let some = |state: usize| state % 10 == 7;
        let rest: Vec<usize> = (0..100).filter(|state| !some(*state)).collect();
        let direct = system.eliminate(3, &rest);
        let swept = system.sweep(3, &some, &rest).unwrap();
        assert!((direct - swept).abs() < 1e-11, "{direct} {swept}");
        assert_eq!(system.eliminate(7, &rest), 0.0);
    }

    #[test]
    fn a_chain_that_almost_never_ends_is_refused() {
        let mut system = ring(200);
        for state in 0..200 {
            system.probabilities[3 * state..3 * state + 3].copy_from_slice(&[0.0, 0.5, 0.5]);
            (system.converts[state], system.loses[state]) = (0.0, 0.0);
        }
        let error = system.converts_from(0, &|_| false).unwrap_err();
        assert!(matches!(error, AttributionError::NotSolved { gap, .. } if gap == 1.0), "{error}");
    }
}
