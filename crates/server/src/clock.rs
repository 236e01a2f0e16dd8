//! The seam through which time enters.

/// An instant as RFC 3339 in UTC.
pub(crate) fn rfc3339(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Tells the time. Timeouts of sockets use the runtime's timers instead.
pub trait Clock: Send + Sync {
    /// Wall clock, microseconds since 1970 in UTC.
    fn now_micros(&self) -> i64;

    /// Seconds on a clock that never jumps, from an arbitrary start.
    fn seconds(&self) -> f64;
}
