//! Requests to events: Measurement Protocol, gtag hits and export-shaped rows, each to one
//! canonical row in the shape of the GA4 export.
//!
//! | function | request |
//! |---|---|
//! | [`measurement_protocol`] | `POST /mp/collect`: JSON, up to 25 events |
//! | [`validate_measurement_protocol`] | the same body, only judged: `/debug/mp/collect` |
//! | [`gtag`] | `GET` or `POST /g/collect`: url-encoded, one event a line |
//! | [`rows`] | `POST /v1/events`: NDJSON, one export row a line |
//! | [`decode`] | the accepted rows of many requests → one Arrow batch |
//! | [`Envelope`], [`open_envelope`] | events and refused events of one request ↔ one frame of the log |
//! | [`dead_letters`], [`read_dead_letters`] | refused events → NDJSON payload and back |
//!
//! Nothing here does I/O or asks for the time: what comes out depends on the bytes and the
//! [`Receipt`] alone, so that a replay decides as the first run did. No bytes make it panic, and
//! what is accepted always decodes.

mod campaign;
mod clock;
mod commerce;
mod consent;
mod dead;
mod device;
mod envelope;
mod event;
mod form;
mod gtag;
mod json;
mod limits;
mod measurement;
mod object;
mod outcome;
mod params;
mod reason;
mod row_params;
mod rows;
mod validate;
mod visitor;

use arrow::array::RecordBatch;

pub use self::dead::{DeadLetter, dead_letters, read_dead_letters};
pub use self::envelope::{Envelope, EnvelopeParts, open_envelope};
pub use self::gtag::gtag;
pub use self::limits::Limits;
pub use self::measurement::measurement_protocol;
pub use self::outcome::{Accepted, Oddities, Parsed, REJECTED_RAW_BYTES, Receipt, Rejected};
pub use self::reason::Reason;
pub use self::rows::rows;
pub use self::validate::{ValidationCode, ValidationMessage, validate_measurement_protocol};
use crate::IngestError;

/// Name of the string event param that keeps the id a sender gave an event.
pub const EVENT_ID_PARAM: &str = "clicktrail_event_id";

/// Reads NDJSON payloads of accepted rows as one batch of the canonical schema, in order.
///
/// `columns` are dotted paths as in [`crate::schema::project`]; `None` reads all 31 columns.
/// Unlike files of others, these rows were judged before: one that does not decode is damage.
///
/// # Errors
/// [`IngestError::UnknownColumn`] for a path that does not exist, [`IngestError::BadPayload`] for
/// bytes that no parser of this module accepted.
pub fn decode<'a>(
    payloads: impl IntoIterator<Item = &'a [u8]>,
    columns: Option<&[String]>,
) -> Result<RecordBatch, IngestError> {
    crate::ndjson::decode_payloads(payloads, columns)
}
