//! Names of headers that are ours.

/// Makes resends of a request recognisable: events without an id get one made of it.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Name of a sender that numbers its events.
pub(crate) const PRODUCER: &str = "x-clicktrail-producer";

/// Offset of a request's first event in that numbering.
pub(crate) const PRODUCER_OFFSET: &str = "x-clicktrail-offset";
