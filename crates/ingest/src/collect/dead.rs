//! Refused events as NDJSON, so that none is lost: they can be looked at and sent again.

use super::Reason;
use super::form::hex_byte;
use super::json::{self, Json};
use super::object::Members;
use super::outcome::{Parsed, Receipt, Refusal, Rejected};
use super::{Limits, gtag, measurement_protocol, rows};

/// A refused event as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The route it came by, such as `/mp/collect`.
    pub route: String,
    /// When it was received, in microseconds since 1970.
    pub received_at: i64,
    /// Position in its request, from 0.
    pub index: usize,
    /// Code of the reason, see [`Reason::code`]; kept as text, so that those of later versions can
    /// be read.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The request with this event alone, see [`Rejected::raw`].
    pub raw: Vec<u8>,
}

impl DeadLetter {
    /// Judges the event once more. It counts as received when it was, so that a time of receipt that stands for its own
    /// time is the same each time; only where that refuses it, because it was ahead of the clock, as received now.
    ///
    /// `stream_id` is that of the sender, which a letter of the Measurement Protocol does not hold.
    pub fn judge_again(&self, now: &Receipt, limits: &Limits) -> Parsed {
        let then = Receipt { received_at: self.received_at, ..now.clone() };
        let parsed = self.judge(&then, limits);
        if parsed.accepted.is_empty() { self.judge(now, limits) } else { parsed }
    }

    fn judge(&self, receipt: &Receipt, limits: &Limits) -> Parsed {
        match self.route.as_str() {
            "/mp/collect" => measurement_protocol("", &self.raw, receipt, limits),
            "/v1/events" => rows(&self.raw, receipt, limits),
            // What is kept of a hit is one line of fields, those of its request included.
            _ => gtag(&String::from_utf8_lossy(&self.raw), b"", receipt, limits),
        }
    }
}

/// Writes refused events as an NDJSON payload, one line each; `raw` as text where it is UTF-8, else
/// as `raw_hex`.
pub fn dead_letters(rejected: &[Rejected], route: &str, received_at: i64) -> Vec<u8> {
    let mut out = Vec::new();
    for one in rejected {
        Members::write(&mut out, |letter| {
            letter.text("route", Some(route));
            letter.int("received_at", Some(received_at));
            letter.int("index", i64::try_from(one.index).ok());
            letter.text("reason", Some(one.reason.code()));
            letter.text("detail", Some(&one.detail));
            // A reader of JSON may refuse NUL, ours does.
            match std::str::from_utf8(&one.raw).ok().filter(|raw| !raw.contains('\0')) {
                Some(raw) => letter.text("raw", Some(raw)),
                None => letter.text("raw_hex", Some(&hex(&one.raw))),
            }
        });
        out.push(b'\n');
    }
    out
}

/// Reads a payload of [`dead_letters`].
///
/// # Errors
/// The number of the first line that is none of its lines, from 1, and what is wrong with it.
pub fn read_dead_letters(payload: &[u8]) -> Result<Vec<DeadLetter>, (usize, String)> {
    let lines = payload.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty());
    lines
        .map(|(number, line)| letter(line).map_err(|refusal| (number + 1, refusal.detail)))
        .collect()
}

fn letter(line: &[u8]) -> Result<DeadLetter, Refusal> {
    let object = json::object(line)?;
    let missing = |key: &str| Refusal::new(Reason::BadType, format!("no usable `{key}`"));
    let text = |key: &str| object.text(key).map(str::to_owned).ok_or_else(|| missing(key));
    let int = |key: &str| match object.get(key) {
        Some(Json::Int(value)) => Ok(*value),
        Some(Json::Text(text)) => text.parse().map_err(|_| missing(key)),
        _ => Err(missing(key)),
    };
    let raw = match object.text("raw_hex") {
        Some(hex) => {
            let bytes = hex.as_bytes().chunks(2).map(hex_byte);
            bytes.collect::<Option<Vec<u8>>>().ok_or_else(|| missing("raw_hex"))?
        }
        None => text("raw")?.into_bytes(),
    };
    Ok(DeadLetter {
        route: text("route")?,
        received_at: int("received_at")?,
        index: usize::try_from(int("index")?).map_err(|_| missing("index"))?,
        reason: text("reason")?,
        detail: text("detail")?,
        raw,
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(route: &str, received_at: i64, raw: &str) -> DeadLetter {
        DeadLetter {
            route: route.to_owned(),
            received_at,
            index: 0,
            reason: "future_ts".to_owned(),
            detail: String::new(),
            raw: raw.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_later_judgement_keeps_the_time_of_receipt() {
        const DAY: i64 = 86_400_000_000;
        let then = 20_000 * DAY;
        let limits = Limits::default();
        let judged = |letter: &DeadLetter, days: i64| {
            let parsed =
                letter.judge_again(&Receipt::at(then + days * DAY, chrono_tz::UTC), &limits);
            let lines = parsed.accepted.iter().map(|row| String::from_utf8(row.line.clone()));
            lines.collect::<Result<Vec<_>, _>>().unwrap()
        };
        // Three days ahead of the clock that refused it.
        let ahead = format!(
            r#"{{"event_name":"a","user_pseudo_id":"u","event_timestamp":{}}}"#,
            then + 3 * DAY
        );
        let ahead = letter("/v1/events", then, &ahead);
        assert_eq!((judged(&ahead, 1).len(), judged(&ahead, 3).len()), (0, 1));
        // Without a time of its own: equal however late it is judged.
        let body = r#"{"client_id":"1.2","events":[{"name":"a"}]}"#;
        let without = letter("/mp/collect", then, body);
        assert_eq!(judged(&without, 1), judged(&without, 9));
        assert!(judged(&without, 1)[0].contains(&then.to_string()));
        let hit = letter("/g/collect", then, "v=2&tid=G-1&cid=1.2&en=a");
        assert_eq!(judged(&hit, 1), judged(&hit, 9));
        assert_eq!(judged(&hit, 1).len(), 1);
        assert!(judged(&letter("/v1/events", then, "{"), 1).is_empty());
    }

    #[test]
    fn any_bytes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        for raw in [Vec::new(), b"a=1\n".to_vec(), b"a\0b".to_vec(), all] {
            let rejected = Rejected {
                index: 3,
                reason: Reason::FutureTs,
                detail: "é \"quoted\"".to_owned(),
                raw: raw.clone(),
            };
            let payload = dead_letters(&[rejected.clone(), rejected.clone()], "/mp/collect", -5);
            let letters = read_dead_letters(&payload).unwrap();
            assert_eq!(letters.len(), 2);
            let expected = DeadLetter {
                route: "/mp/collect".to_owned(),
                received_at: -5,
                index: 3,
                reason: "future_ts".to_owned(),
                detail: rejected.detail,
                raw,
            };
            assert_eq!(letters[1], expected);
        }
        assert!(read_dead_letters(b"").unwrap().is_empty());
        assert_eq!(read_dead_letters(b"\n{}\n").unwrap_err().0, 2);
    }
}
