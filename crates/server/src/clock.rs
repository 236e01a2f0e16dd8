//! The seam through which time enters.

/// Tells the time. Timeouts of sockets use the runtime's timers instead.
pub trait Clock: Send + Sync {
    /// Wall clock, microseconds since 1970 in UTC.
    fn now_micros(&self) -> i64;

    /// Seconds on a clock that never jumps, from an arbitrary start.
    fn seconds(&self) -> f64;
}
