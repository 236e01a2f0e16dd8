//! Days of the property's time zone in UTC microseconds, and how busy they are.

use chrono::{Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone as _};
use chrono_tz::Tz;

use super::random::Random;
use super::user::HORIZON_DAYS;

/// Microseconds of a second.
pub(super) const SECOND: i64 = 1_000_000;
/// Microseconds of a day without clock change.
pub(super) const DAY: i64 = 86_400 * SECOND;

/// Arrivals by weekday, Monday first: shops sell most early in the week.
const WEEKDAYS: [u64; 7] = [108, 110, 106, 103, 97, 84, 92];
/// Of a thousand sessions, those that start in the day's last five minutes beyond the usual number,
/// so that every export of some size has sessions over midnight.
const LAST_MINUTES: u64 = 8;
/// Sessions by local hour.
const HOURS: [u32; 24] =
    [14, 8, 5, 4, 4, 6, 12, 24, 38, 48, 54, 57, 58, 55, 54, 54, 55, 57, 62, 70, 76, 70, 50, 28];

/// The days around the generated period; day 0 is its first.
#[derive(Debug)]
pub(super) struct Calendar {
    first_day: NaiveDate,
    /// Starts of the days from `-HORIZON_DAYS` on.
    starts: Vec<i64>,
}

impl Calendar {
    /// A calendar that also covers the horizon before and after the period.
    pub(super) fn new(first_day: NaiveDate, days: u32, timezone: Tz) -> Self {
        let count = 2 * u64::from(HORIZON_DAYS) + u64::from(days) + 2;
        let oldest = first_day - Days::new(u64::from(HORIZON_DAYS));
        let start = |offset| start_of(oldest + Days::new(offset), timezone);
        Self { first_day, starts: (0..count).map(start).collect() }
    }

    /// First microsecond of a day.
    pub(super) fn start(&self, day: i32) -> i64 {
        let index = usize::try_from(day + HORIZON_DAYS as i32).unwrap_or(0);
        self.starts[index.min(self.starts.len() - 1)]
    }

    /// First microsecond after a day.
    pub(super) fn end(&self, day: i32) -> i64 {
        self.start(day + 1)
    }

    /// The day as `YYYYMMDD`.
    pub(super) fn text(&self, day: i32) -> String {
        (self.first_day + TimeDelta::days(day.into())).format("%Y%m%d").to_string()
    }

    /// Relative number of users who first arrive on a day.
    pub(super) fn arrivals(&self, day: i32, seed: u64) -> u64 {
        let date = self.first_day + TimeDelta::days(day.into());
        let mut random = Random::new(seed, [u64::from(u32::MAX), i64::from(day) as u64]);
        WEEKDAYS[date.weekday().num_days_from_monday() as usize] * (94 + random.below(13))
    }

    /// A moment of a day, busy hours more often.
    pub(super) fn moment(&self, day: i32, random: &mut Random) -> i64 {
        let within = if random.chance(LAST_MINUTES) {
            DAY - random.between(1, 300 * SECOND)
        } else {
            let hour = random.weighted(HOURS.into_iter()) as i64;
            hour * 3600 * SECOND + random.between(0, 3600 * SECOND)
        };
        // A day of 23 or 25 hours is stretched, so that no moment falls outside of it.
        let length = self.end(day) - self.start(day);
        self.start(day) + (i128::from(within) * i128::from(length) / i128::from(DAY)) as i64
    }
}

/// Start of a local day; where clocks skip midnight, the first moment after the gap.
fn start_of(date: NaiveDate, timezone: Tz) -> i64 {
    let midnight = date.and_time(NaiveTime::MIN);
    (0..16)
        .find_map(|quarter| {
            timezone.from_local_datetime(&(midnight + TimeDelta::minutes(15 * quarter))).earliest()
        })
        .map_or_else(|| midnight.and_utc().timestamp_micros(), |start| start.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_time_zone() {
        let first = NaiveDate::from_ymd_opt(2026, 3, 28).unwrap();
        let calendar = Calendar::new(first, 3, Tz::Europe__Berlin);
        let hours = |day| (calendar.end(day) - calendar.start(day)) / (3600 * SECOND);
        assert_eq!((hours(0), hours(1), hours(2)), (24, 23, 24));
        assert_eq!(calendar.text(-1), "20260327");
        let mut random = Random::new(1, [0, 0]);
        for _ in 0..1000 {
            let moment = calendar.moment(1, &mut random);
            assert!((calendar.start(1)..calendar.end(1)).contains(&moment));
        }
    }
}
