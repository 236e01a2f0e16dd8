//! What one request leaves in the log: its events and its dead letters, durable together.
//!
//! The first line is a header in JSON, then come the events and then the dead letters, one JSON line each; so a
//! damaged or quarantined frame can be read by eye.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one request brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Number of events.
    pub events: u32,
    /// The events, NDJSON: lines of [`super::Accepted`].
    pub event_lines: Vec<u8>,
    /// Number of dead letters.
    pub dead_letters: u32,
    /// The dead letters, NDJSON.
    pub dead_letter_lines: Vec<u8>,
    /// How far the sender's own numbering is, as the server writes it.
    pub producer: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    events: u32,
    event_bytes: usize,
    dead_letters: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    producer: Option<Value>,
}

impl Envelope {
    /// The bytes of one frame of the log.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            events: self.events,
            event_bytes: self.event_lines.len(),
            dead_letters: self.dead_letters,
            producer: self.producer.clone(),
        };
        let mut bytes = serde_json::to_vec(&header).unwrap_or_default();
        bytes.reserve(1 + self.event_lines.len() + self.dead_letter_lines.len());
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.event_lines);
        bytes.extend_from_slice(&self.dead_letter_lines);
        bytes
    }
}

/// A frame's content without a copy of it.
#[derive(Debug, Clone)]
pub struct EnvelopeParts<'a> {
    /// Number of events.
    pub events: u32,
    /// The events, NDJSON.
    pub event_lines: &'a [u8],
    /// The dead letters, NDJSON.
    pub dead_letter_lines: &'a [u8],
    /// How far the sender's own numbering is.
    pub producer: Option<Value>,
}

/// Takes a frame apart; `None` for bytes that [`Envelope::encode`] never makes.
pub fn open_envelope(bytes: &[u8]) -> Option<EnvelopeParts<'_>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let header: Header = serde_json::from_slice(&bytes[..end]).ok()?;
    let (event_lines, dead_letter_lines) = bytes[end + 1..].split_at_checked(header.event_bytes)?;
    let (events, producer) = (header.events, header.producer);
    Some(EnvelopeParts { events, event_lines, dead_letter_lines, producer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_back_what_went_in() {
        let envelope = Envelope {
            events: 2,
            event_lines: b"{\"a\":1}\n{\"a\":2}\n".to_vec(),
            dead_letters: 1,
            dead_letter_lines: b"{\"reason\":\"bad_json\"}\n".to_vec(),
            producer: Some(serde_json::json!({"name": "shop", "offset": 7})),
        };
        let bytes = envelope.encode();
        let parts = open_envelope(&bytes).unwrap();
        assert_eq!(parts.event_lines, envelope.event_lines);
        assert_eq!(parts.dead_letter_lines, envelope.dead_letter_lines);
        assert_eq!((parts.events, parts.producer), (2, envelope.producer));
    }

    #[test]
    fn other_bytes_are_no_frame() {
        for bytes in
            [&b""[..], b"{}", b"\n", b"{\"events\":1,\"event_bytes\":9,\"dead_letters\":0}\nshort"]
        {
            assert!(open_envelope(bytes).is_none());
        }
    }
}
