//! Token buckets in events, one for each sender, in bounded memory.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::settings::{Rate, Rates};

/// Buckets kept, ~100 bytes each. The one unused for longest is forgotten first, and starts full
/// again.
const BUCKETS_MAX: usize = 65_536;

/// The addresses that share a bucket: whoever has one usually has the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    /// A /24.
    V4([u8; 3]),
    /// A /56: what one customer of a provider gets.
    V6([u8; 7]),
}

impl Prefix {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g])
            }
        }
    }
}

/// Whose bucket it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// Anybody, where nothing is configured.
    Open,
    /// A write secret, by its place in the settings.
    Secret(usize),
    /// A write key, by its place in the settings.
    WriteKey(usize),
    /// A network.
    Prefix(Prefix),
    /// Bytes of dead letters, whoever sends them.
    DeadLetters,
}

struct Bucket {
    /// May be below 0: a request is taken whole when there is anything at all, and the next one
    /// waits for it. Otherwise a batch above the burst could never be sent.
    tokens: f64,
    /// When `tokens` was right, in seconds of the clock.
    at: f64,
}

/// The buckets of all senders.
pub(crate) struct Buckets {
    rates: Rates,
    known: Mutex<LruCache<Sender, Bucket>>,
}

impl Buckets {
    pub(crate) fn new(rates: Rates) -> Self {
        let most = NonZeroUsize::new(BUCKETS_MAX).unwrap_or(NonZeroUsize::MIN);
        Self { rates, known: Mutex::new(LruCache::new(most)) }
    }

    /// Takes `events` tokens if there is at least one in every bucket.
    ///
    /// # Errors
    /// Seconds until there is one.
    pub(crate) fn take(&self, senders: &[Sender], events: usize, now: f64) -> Result<(), f64> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait: f64 = 0.0;
        for sender in senders {
            let rate = self.rate(sender);
            let bucket =
                known.get_or_insert_mut(sender.clone(), || Bucket { tokens: rate.burst, at: now });
            let gained = (now - bucket.at).max(0.0) * rate.per_second;
            bucket.tokens = (bucket.tokens + gained).min(rate.burst);
            bucket.at = bucket.at.max(now);
            wait = wait.max((1.0 - bucket.tokens) / rate.per_second);
        }
        if wait > 0.0 {
            return Err(wait);
        }
        for sender in senders {
            if let Some(bucket) = known.get_mut(sender) {
                bucket.tokens -= events as f64;
            }
        }
        Ok(())
    }

    fn rate(&self, sender: &Sender) -> Rate {
        match sender {
            Sender::Open | Sender::Secret(_) => self.rates.secret,
            Sender::WriteKey(_) => self.rates.write_key,
            Sender::Prefix(_) => self.rates.prefix,
            Sender::DeadLetters => self.rates.dead_letter_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets() -> Buckets {
        let rate = Rate { per_second: 10.0, burst: 20.0 };
        Buckets::new(Rates { secret: rate, write_key: rate, prefix: rate, dead_letter_bytes: rate })
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let buckets = buckets();
        let from = [Sender::Open];
        buckets.take(&from, 15, 0.0).unwrap();
        buckets.take(&from, 15, 0.0).unwrap();
        let wait = buckets.take(&from, 1, 0.0).unwrap_err();
        assert!((wait - 1.1).abs() < 1e-9, "{wait}");
        assert!(buckets.take(&from, 1, 1.0).is_err());
        buckets.take(&from, 1, 1.25).unwrap();
        // A clock that stands still or goes back gives nothing.
        assert!(buckets.take(&from, 9, 0.5).is_ok());
        assert!(buckets.take(&from, 1, 0.0).is_err());
    }

    #[test]
    fn over_time_no_more_than_the_rate() {
        let buckets = buckets();
        let taken = (0..1_000)
            .filter(|tick| buckets.take(&[Sender::Secret(0)], 5, f64::from(*tick) * 0.1).is_ok());
        let events = taken.count() * 5;
        assert!((1_000..=1_030).contains(&events), "{events}");
    }

    #[test]
    fn senders_do_not_share_and_all_must_agree() {
        let buckets = buckets();
        let network = Sender::Prefix(Prefix::of("192.0.2.1".parse().unwrap()));
        buckets.take(&[Sender::WriteKey(0), network.clone()], 20, 0.0).unwrap();
        assert!(buckets.take(&[Sender::WriteKey(0)], 1, 0.0).is_err());
        assert!(buckets.take(&[Sender::WriteKey(1), network], 1, 0.0).is_err());
        buckets.take(&[Sender::WriteKey(1)], 1, 0.0).unwrap();
    }

    #[test]
    fn prefixes() {
        let prefix = |text: &str| Prefix::of(text.parse().unwrap());
        assert_eq!(prefix("192.0.2.1"), prefix("192.0.2.255"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.9"));
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.3.1"));
        assert_eq!(prefix("2001:db8:1:2200::1"), prefix("2001:db8:1:22ff::2"));
        assert_ne!(prefix("2001:db8:1:2200::1"), prefix("2001:db8:1:2300::1"));
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = buckets();
        for number in 0..100_000_u32 {
            let sender = Sender::Prefix(Prefix::of(IpAddr::from((number << 8).to_be_bytes())));
            buckets.take(&[sender], 1, 0.0).unwrap();
        }
        assert_eq!(buckets.known.lock().unwrap().len(), BUCKETS_MAX);
    }
}
