//! How long to wait before a request is sent again.

use std::time::Duration;

/// When a request is sent again, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts, the first one included.
    pub attempts: u32,
    /// Pause after the first failure; doubled after each further one.
    pub first_pause: Duration,
    /// Longest pause, whatever the server asks for.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// About five minutes: a server that recovers a large log is back by then.
    fn default() -> Self {
        Self {
            attempts: 70,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(5),
        }
    }
}

impl Retry {
    /// The pause after failure number `failures`, counted from 1. What the server asked for counts
    /// if it is longer.
    pub(super) fn pause(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.max(asked.unwrap_or_default()).min(self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = Retry::default();
        let pause = |failures| retry.pause(failures, None).as_millis();
        assert_eq!([1, 2, 3, 7, 8, 99].map(pause), [50, 100, 200, 3_200, 5_000, 5_000]);
        assert_eq!(retry.pause(1, Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(retry.pause(1, Some(Duration::from_secs(60))), Duration::from_secs(5));
    }
}
