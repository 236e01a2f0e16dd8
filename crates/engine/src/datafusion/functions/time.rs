//! Instants in microseconds to dates and timestamps, in UTC and in the property's time zone [2.23].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

const DAY_MICROS: i64 = 86_400_000_000;

/// Which function of this module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `utc_timestamp(micros)`: TIMESTAMP in UTC, without zone.
    UtcTimestamp,
    /// `local_timestamp(micros, 'Europe/Paris')`: wall-clock TIMESTAMP.
    LocalTimestamp,
    /// `local_date(micros, 'Europe/Paris')`: DATE of the wall clock.
    LocalDate,
    /// `local_midnight_micros(date, 'Europe/Paris')`: the instant at which that local day begins.
    LocalMidnight,
}

/// A function of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct LocalTime {
    kind: Kind,
    signature: Signature,
}

impl LocalTime {
    pub(super) fn new(kind: Kind) -> Self {
        let arguments = if kind == Kind::UtcTimestamp { 1 } else { 2 };
        Self { kind, signature: Signature::any(arguments, Volatility::Immutable) }
    }

    fn zone(&self, args: &ScalarFunctionArgs) -> Result<Tz> {
        let Some(ColumnarValue::Scalar(value)) = args.args.get(1) else {
            return exec_err!("{}: the time zone must be one text, as 'Europe/Paris'", self.name());
        };
        let name = value.try_as_str().flatten().unwrap_or_default();
        match name.parse() {
            Ok(zone) => Ok(zone),
            Err(_) => exec_err!(
                "{}: `{name}` is no IANA time zone such as 'Europe/Paris' or 'UTC'; set the var `timezone`",
                self.name()
            ),
        }
    }
}

/// Remembers the offset of the last hour asked for: events come in runs, look-ups cost.
struct Offsets {
    zone: Tz,
    hour: i64,
    micros: i64,
}

impl Offsets {
    fn new(zone: Tz) -> Self {
        Self { zone, hour: i64::MIN, micros: 0 }
    }

    /// Local wall clock of an instant, in microseconds. Zone rules change on quarter hours, never inside.
    fn local(&mut self, instant: i64) -> i64 {
        const QUARTER: i64 = 900_000_000;
        let quarter = instant.div_euclid(QUARTER);
        if quarter != self.hour {
            self.hour = quarter;
            self.micros = DateTime::from_timestamp_micros(instant).map_or(0, |utc| {
                let offset = self.zone.offset_from_utc_datetime(&utc.naive_utc()).fix();
                i64::from(offset.local_minus_utc()) * 1_000_000
            });
        }
        instant.saturating_add(self.micros)
    }
}

/// The instant at which a local day begins; a day without midnight (clocks moved at 0:00) begins later.
fn midnight(days: i32, zone: Tz) -> Option<i64> {
    let date = NaiveDate::from_epoch_days(days)?;
    (0..24).find_map(|hour| {
        let time = date.and_hms_opt(hour, 0, 0)?;
        zone.from_local_datetime(&time).earliest().map(|start| start.timestamp_micros())
    })
}

impl ScalarUDFImpl for LocalTime {
    fn name(&self) -> &str {
        match self.kind {
            Kind::UtcTimestamp => "utc_timestamp",
            Kind::LocalTimestamp => "local_timestamp",
            Kind::LocalDate => "local_date",
            Kind::LocalMidnight => "local_midnight_micros",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::UtcTimestamp | Kind::LocalTimestamp => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            Kind::LocalDate => DataType::Date32,
            Kind::LocalMidnight => DataType::Int64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let input = args.args[0].to_array(args.number_rows)?;
        let result: ArrayRef = match self.kind {
            Kind::UtcTimestamp => {
                Arc::new(instants(&input)?.reinterpret_cast::<TimestampMicrosecondType>())
            }
            Kind::LocalTimestamp => {
                let mut offsets = Offsets::new(self.zone(&args)?);
                let local = instants(&input)?;
                let local: TimestampMicrosecondArray = local
                    .iter()
                    .map(|instant| instant.map(|instant| offsets.local(instant)))
                    .collect();
                Arc::new(local)
            }
            Kind::LocalDate => {
                let mut offsets = Offsets::new(self.zone(&args)?);
                let days: Date32Array = instants(&input)?
                    .iter()
                    .map(|instant| {
                        let day = offsets.local(instant?).div_euclid(DAY_MICROS);
                        i32::try_from(day).ok()
                    })
                    .collect();
                Arc::new(days)
            }
            Kind::LocalMidnight => {
                let zone = self.zone(&args)?;
                let days = cast(&input, &DataType::Date32)?;
                let starts: Int64Array = days
                    .as_primitive::<Date32Type>()
                    .iter()
                    .map(|day| day.and_then(|day| midnight(day, zone)))
                    .collect();
                Arc::new(starts)
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn instants(array: &ArrayRef) -> Result<Int64Array> {
    let micros = match array.data_type() {
        DataType::Timestamp(_, _) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            cast(&micros, &DataType::Int64)?
        }
        _ => cast(array, &DataType::Int64)?,
    };
    Ok(micros.as_primitive::<Int64Type>().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
    }

    #[test]
    fn local_time_follows_summer_time() {
        let mut offsets = Offsets::new(chrono_tz::Europe::Paris);
        let before = micros("2021-03-28T00:59:59Z");
        let after = micros("2021-03-28T01:00:00Z");
        assert_eq!(offsets.local(before) - before, 3_600_000_000);
        assert_eq!(offsets.local(after) - after, 7_200_000_000);
    }

    #[test]
    fn a_day_without_midnight_begins_at_its_first_hour() {
        // Beirut moved its clocks at midnight: 2021-03-28 began at 01:00.
        let day = NaiveDate::from_ymd_opt(2021, 3, 28).expect("a date").to_epoch_days();
        assert_eq!(midnight(day, chrono_tz::Asia::Beirut), Some(micros("2021-03-27T22:00:00Z")));
    }
}
