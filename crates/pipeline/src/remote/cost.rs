//! Bytes and money.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use clicktrail_engine::EngineError;
use clicktrail_engine::bigquery::{Done, Fault, FaultKind};

use crate::error::Result;
use crate::report::{Cost, Reporter};

/// On-demand price of a tebibyte in US dollars (US and EU multi-regions, 2026). Only for what people are told.
const DOLLARS_PER_TIB: f64 = 6.25;

/// What a run may bill, and what it has.
#[derive(Debug, Default)]
pub(super) struct Budget {
    max: Option<u64>,
    spent: Mutex<BTreeMap<String, Cost>>,
}

impl Budget {
    pub(super) fn new(max: Option<u64>) -> Self {
        Self { max, spent: Mutex::default() }
    }

    fn total(&self) -> Cost {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.values().fold(Cost::default(), |sum, one| Cost {
            bytes_processed: sum.bytes_processed + one.bytes_processed,
            bytes_billed: sum.bytes_billed + one.bytes_billed,
        })
    }

    /// What is left; several nodes at a time may each use it, and the next one gets what they leave.
    pub(super) fn left(&self) -> Option<u64> {
        self.max.map(|max| max.saturating_sub(self.total().bytes_billed))
    }

    pub(super) fn spend(&self, node: &str, done: &Done) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = spent.entry(node.to_owned()).or_default();
        cost.bytes_processed += done.bytes_processed;
        cost.bytes_billed += done.bytes_billed;
    }

    pub(super) fn of(&self, node: &str) -> Option<Cost> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied()
    }

    /// Whether an estimate is within the limit.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn check(&self, estimate: u64) -> Result<()> {
        let Some(max) = self.max.filter(|max| estimate > *max) else { return Ok(()) };
        let what = format!(
            "the run would read {} ({}), and may read {}; nothing was run",
            bytes(estimate),
            dollars(estimate),
            bytes(max)
        );
        Err(EngineError::from(Fault::new(FaultKind::TooExpensive, what)).into())
    }

    /// Tells what the run cost.
    pub(super) fn tell(&self, reporter: &dyn Reporter) {
        let Cost { bytes_processed, bytes_billed } = self.total();
        reporter.note(&format!(
            "  {} read, {} billed ({})",
            bytes(bytes_processed),
            bytes(bytes_billed),
            dollars(bytes_billed)
        ));
    }
}

/// A number of bytes for people, in powers of 1024.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// What so many bytes cost on demand.
pub(super) fn dollars(count: u64) -> String {
    let price = count as f64 / (1u64 << 40) as f64 * DOLLARS_PER_TIB;
    if count > 0 && price < 0.01 { "under $0.01".into() } else { format!("${price:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_dollars_are_readable() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(10 << 20), "10.0 MiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
        assert_eq!(
            (dollars(0), dollars(1), dollars(2 << 40)),
            ("$0.00".into(), "under $0.01".into(), "$12.50".into())
        );
    }

    #[test]
    fn a_limit_shrinks_by_what_is_billed() {
        let budget = Budget::new(Some(100));
        assert!(budget.check(100).is_ok() && budget.check(101).is_err());
        budget.spend("a", &Done { bytes_billed: 60, ..Done::default() });
        budget.spend("a", &Done { bytes_billed: 50, ..Done::default() });
        assert_eq!(budget.left(), Some(0));
        assert_eq!(budget.of("a").map(|cost| cost.bytes_billed), Some(110));
    }
}
