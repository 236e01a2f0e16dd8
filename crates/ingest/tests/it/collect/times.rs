//! Clocks that are wrong: the same decision in every format.

use clicktrail_ingest::collect::{Parsed, Reason, Receipt, measurement_protocol, rows};

use super::{NOW, limits, reasons, receipt};

const YEAR: i64 = 365 * 86_400_000_000;
const DAY: i64 = 86_400_000_000;

fn parse(format: &str, time: &str, receipt: &Receipt) -> Parsed {
    match format {
        "mp event" => {
            let event = format!("{{\"name\":\"x\",\"timestamp_micros\":{time}}}");
            let body = format!("{{\"client_id\":\"1\",\"events\":[{event}]}}");
            measurement_protocol("", body.as_bytes(), receipt, &limits())
        }
        "mp request" => {
            let body = format!(
                "{{\"client_id\":\"1\",\"timestamp_micros\":{time},\"events\":[{{\"name\":\"x\"}}]}}"
            );
            measurement_protocol("", body.as_bytes(), receipt, &limits())
        }
        _ => {
            let body = format!("{{\"event_name\":\"x\",\"event_timestamp\":{time}}}");
            rows(body.as_bytes(), receipt, &limits())
        }
    }
}

#[test]
fn clocks_that_are_wrong() {
    let ok = |micros: i64| Ok(micros);
    let cases = [
        (NOW.to_string(), ok(NOW)),
        (format!("\"{NOW}\""), ok(NOW)),
        (format!("{NOW}.0"), ok(NOW)),
        ((NOW + DAY).to_string(), ok(NOW + DAY)),
        ((NOW + DAY + 1).to_string(), Err(Reason::FutureTs)),
        ((NOW + 10 * YEAR).to_string(), Err(Reason::FutureTs)),
        ((NOW - 10 * YEAR).to_string(), ok(NOW - 10 * YEAR)),
        ((NOW - 400 * DAY).to_string(), ok(NOW - 400 * DAY)),
        ("946684800000000".to_owned(), ok(946_684_800_000_000)),
        ("946684799999999".to_owned(), Err(Reason::BadTimestamp)),
        // Nanoseconds, milliseconds, seconds in the place of microseconds.
        ((i128::from(NOW) * 1000).to_string(), Err(Reason::FutureTs)),
        ((i128::from(NOW) * 1_000_000).to_string(), Err(Reason::FutureTs)),
        ((NOW / 1000).to_string(), Err(Reason::BadTimestamp)),
        ((NOW / 1_000_000).to_string(), Err(Reason::BadTimestamp)),
        ("0".to_owned(), Err(Reason::BadTimestamp)),
        ("-1".to_owned(), Err(Reason::BadTimestamp)),
        (i64::MIN.to_string(), Err(Reason::BadTimestamp)),
        (i64::MAX.to_string(), Err(Reason::FutureTs)),
        ("-1e300".to_owned(), Err(Reason::BadTimestamp)),
        ("1e300".to_owned(), Err(Reason::FutureTs)),
        ("1.5".to_owned(), Err(Reason::BadTimestamp)),
        ("\"\"".to_owned(), Err(Reason::BadTimestamp)),
        ("\"2026-05-20\"".to_owned(), Err(Reason::BadTimestamp)),
        ("true".to_owned(), Err(Reason::BadTimestamp)),
        ("[]".to_owned(), Err(Reason::BadTimestamp)),
        ("null".to_owned(), ok(NOW)),
    ];
    for format in ["mp event", "mp request", "row"] {
        for (time, expected) in &cases {
            let parsed = parse(format, time, &receipt());
            match expected {
                Ok(micros) => {
                    let row = super::only(&parsed);
                    assert_eq!(row["event_timestamp"], micros.to_string(), "{format} {time}");
                }
                Err(reason) => assert_eq!(reasons(&parsed), [(0, *reason)], "{format} {time}"),
            }
            // The same bytes and receipt decide the same again.
            assert_eq!(parse(format, time, &receipt()), parsed);
        }
    }
}

#[test]
fn a_server_clock_far_off_is_no_panic() {
    for received_at in [i64::MIN, -1, 0, 1, i64::MAX / 2, i64::MAX] {
        let receipt = Receipt::at(received_at, chrono_tz::Pacific::Kiritimati);
        for format in ["mp event", "mp request", "row"] {
            for time in ["null", "1779256800000000", "253402300799000000", "253402214399000000"] {
                super::consistent(&parse(format, time, &receipt));
            }
        }
        let hit = "v=2&tid=G-A&cid=1&en=x";
        super::consistent(&clicktrail_ingest::collect::gtag(hit, b"", &receipt, &limits()));
    }
}

#[test]
fn days_are_those_of_the_property() {
    let cases = [
        (chrono_tz::UTC, "20260520"),
        (chrono_tz::America::Los_Angeles, "20260519"),
        (chrono_tz::Pacific::Kiritimati, "20260520"),
    ];
    for (zone, day) in cases {
        let parsed = parse("row", "null", &Receipt::at(NOW, zone));
        assert_eq!(super::only(&parsed)["event_date"], day);
    }
}
