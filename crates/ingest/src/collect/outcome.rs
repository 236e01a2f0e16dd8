//! What comes in beside the bytes, and what comes out of them.

use chrono_tz::Tz;

use super::Reason;
use super::limits::Limits;

/// Most bytes of a refused event that are kept.
pub const REJECTED_RAW_BYTES: usize = 64_000;

/// Most bytes of refused events that are kept of one request, or its body where that is longer: a
/// small request could otherwise ask for many copies of its longest part.
const REJECTED_RAW_BYTES_TOTAL: usize = 1 << 20;

/// What the server knows about a request besides its bytes. Stored with the request, it makes
/// every decision repeatable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// When the request was received, in microseconds since 1970.
    pub received_at: i64,
    /// The property's time zone, which decides `event_date`.
    pub time_zone: Tz,
    /// The stream the request belongs to, as the export's `stream_id` names it.
    pub stream_id: Option<String>,
    /// The request's `User-Agent`, for gtag only: that of a Measurement Protocol request is a
    /// server's.
    pub user_agent: Option<String>,
    /// True when an authenticated server sent it: only then claims about the visitor's place are
    /// believed.
    pub trusted: bool,
    /// The request's `Idempotency-Key`: with the index of an event it makes an event id.
    pub idempotency_key: Option<String>,
}

impl Receipt {
    /// A receipt with nothing known but time and zone.
    pub fn at(received_at: i64, time_zone: Tz) -> Self {
        Self {
            received_at,
            time_zone,
            stream_id: None,
            user_agent: None,
            trusted: false,
            idempotency_key: None,
        }
    }

    /// The event id that the idempotency key makes, for events without one of their own.
    pub(super) fn event_id(&self, index: usize) -> Option<String> {
        self.idempotency_key.as_ref().map(|key| format!("{key}/{index}"))
    }

    /// Refuses an idempotency key that makes no usable ids.
    pub(super) fn check(&self, limits: &Limits) -> Result<(), Refusal> {
        // Room for `/index/first_visit`.
        const SUFFIX_CHARS: usize = 32;
        let Some(key) = &self.idempotency_key else { return Ok(()) };
        let chars = key.chars().count();
        if key.trim().is_empty() || key.contains('\0') {
            return Err(Refusal::new(Reason::EventIdInvalid, "the idempotency key is empty"));
        }
        if chars + SUFFIX_CHARS > limits.event_id_chars {
            let most = limits.event_id_chars.saturating_sub(SUFFIX_CHARS);
            let detail = format!("the idempotency key has {chars} characters, {most} allowed");
            return Err(Refusal::new(Reason::EventIdInvalid, detail));
        }
        Ok(())
    }
}

/// One event as a canonical row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// One JSON object in the shape of the export, without line end; only event params, where all are plain, are an object of names
    /// and values. [`super::decode`] reads it.
    pub line: Vec<u8>,
    /// Position of its event in the request, from 0.
    pub index: usize,
    /// The id the sender gave it, or that of idempotency key and index. Unique in its stream as
    /// far as the sender keeps it so; also in the row, as param [`super::EVENT_ID_PARAM`].
    pub event_id: Option<String>,
    /// True for a `session_start` or `first_visit` row that was derived from a flag of the event at
    /// `index`.
    pub derived: bool,
}

/// One event that was refused, or a request that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Position of the event in the request, from 0.
    pub index: usize,
    /// Why.
    pub reason: Reason,
    /// The same in words, for whoever sent it: lower case, one line.
    pub detail: String,
    /// A request of the same format with this event alone, without its api secret; at most
    /// [`REJECTED_RAW_BYTES`].
    pub raw: Vec<u8>,
}

/// What is odd but no reason to refuse, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Keys that came twice in a url-encoded line; the first counted.
    pub repeated_keys: u64,
    /// Values cut to their limit.
    pub cut_values: u64,
    /// Params, user properties, items and their params left out: invalid or reserved name, value
    /// of no use, or beyond the limit.
    pub dropped_params: u64,
    /// Keys of a row that the export does not have, left out.
    pub unknown_keys: u64,
    /// Rows whose `event_date` was not that of their time in the property's zone; it was corrected.
    pub corrected_dates: u64,
    /// Events older than 72 hours, accepted with their time.
    pub old_events: u64,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Rows to store, in the order of the request.
    pub accepted: Vec<Accepted>,
    /// Events refused, in the order of the request.
    pub rejected: Vec<Rejected>,
    /// Set when the request as a whole could not be read; then nothing else is. Its `index` is 0
    /// and its `raw` the head of the body.
    pub malformed: Option<Rejected>,
    /// Events in the request: those of [`Parsed::rejected`] and the accepted ones not derived.
    pub received: usize,
    /// What was odd.
    pub oddities: Oddities,
    /// Bytes of refused events that may still be kept.
    raw_room: usize,
}

impl Default for Parsed {
    fn default() -> Self {
        Self::of_body(&[])
    }
}

impl Parsed {
    /// Nothing yet of a request with this body.
    pub(super) fn of_body(body: &[u8]) -> Self {
        Self {
            accepted: Vec::new(),
            rejected: Vec::new(),
            malformed: None,
            received: 0,
            oddities: Oddities::default(),
            raw_room: body.len().max(REJECTED_RAW_BYTES_TOTAL),
        }
    }

    /// A request that could not be read.
    pub(super) fn malformed(refusal: Refusal, raw: &[u8]) -> Self {
        let raw = raw[..raw.len().min(REJECTED_RAW_BYTES)].to_vec();
        let rejected = Rejected { index: 0, reason: refusal.reason, detail: refusal.detail, raw };
        Self { malformed: Some(rejected), ..Self::default() }
    }

    /// Adds a refused event. `raw` is asked only while there is room for it.
    pub(super) fn reject(&mut self, index: usize, refusal: Refusal, raw: impl FnOnce() -> Vec<u8>) {
        let mut raw = if self.raw_room == 0 { Vec::new() } else { raw() };
        raw.truncate(REJECTED_RAW_BYTES.min(self.raw_room));
        self.raw_room -= raw.len();
        raw.shrink_to_fit();
        self.rejected.push(Rejected { index, reason: refusal.reason, detail: refusal.detail, raw });
    }

    /// The accepted rows as one NDJSON payload: each line and its end.
    pub fn payload(&self) -> Vec<u8> {
        let bytes = self.accepted.iter().map(|row| row.line.len() + 1).sum();
        let mut out = Vec::with_capacity(bytes);
        for row in &self.accepted {
            out.extend_from_slice(&row.line);
            out.push(b'\n');
        }
        out
    }
}

/// A reason with its words, before it is known which event it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
