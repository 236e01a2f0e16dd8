//! Times of events: which are believed, and the day they belong to.

use chrono::{DateTime, Datelike};
use chrono_tz::Tz;

use super::Reason;
use super::json::Json;
use super::limits::Limits;
use super::outcome::Refusal;

/// Largest whole number that a JSON number with fraction or exponent gives exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The year 10000 in UTC less a day: `event_date` has room for four digits, in every zone.
const END_MICROS: i64 = 253_402_214_400_000_000;

/// Microseconds as sent: a whole number, also as a string or with an empty fraction.
pub(super) fn micros(value: &Json<'_>) -> Result<i64, Refusal> {
    let found = match value {
        Json::Int(value) => Some(*value),
        Json::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            Some(*value as i64)
        }
        // Beyond 64 bits: what else it is, it is in the future or before all time.
        Json::Float(value) if value.fract() == 0.0 && *value > 0.0 => Some(i64::MAX),
        Json::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| {
        let detail = format!("the time is {}, not a whole number of microseconds", value.kind());
        Refusal::new(Reason::BadTimestamp, detail)
    })
}

/// Accepts a time of an event, whatever its age, unless it cannot be meant.
pub(super) fn judge(micros: i64, received_at: i64, limits: &Limits) -> Result<(), Refusal> {
    if micros < limits.earliest_micros {
        let detail = format!("{micros} is before the year 2000: are these microseconds?");
        return Err(Refusal::new(Reason::BadTimestamp, detail));
    }
    if micros > received_at.saturating_add(limits.future_micros) {
        let hours = micros.saturating_sub(received_at) / 3_600_000_000;
        let detail = format!("{micros} is {hours} h after receipt: are these microseconds?");
        return Err(Refusal::new(Reason::FutureTs, detail));
    }
    if micros >= END_MICROS {
        return Err(Refusal::new(Reason::BadTimestamp, format!("{micros} is after the year 9999")));
    }
    Ok(())
}

/// True when GA4 would call the event too old.
pub(super) fn is_stale(micros: i64, received_at: i64, limits: &Limits) -> bool {
    received_at.saturating_sub(micros) > limits.stale_micros
}

/// `YYYYMMDD` in the zone.
pub(super) fn day(micros: i64, zone: Tz) -> Option<String> {
    let time = DateTime::from_timestamp_micros(micros).filter(|_| micros < END_MICROS)?;
    let date = time.with_timezone(&zone);
    Some(format!("{:04}{:02}{:02}", date.year(), date.month(), date.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_zone() {
        let micros = 1_700_000_000_000_000; // 2023-11-14 22:13:20 UTC
        assert_eq!(day(micros, chrono_tz::UTC).unwrap(), "20231114");
        assert_eq!(day(micros, chrono_tz::Asia::Tokyo).unwrap(), "20231115");
        assert_eq!(day(i64::MAX, chrono_tz::UTC), None);
    }
}
