//! What is sent with a batch of events, and what is answered.

use serde::{Deserialize, Serialize};

/// How a resend of a batch is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// A key that no other batch has. Events without an id of their own get one made of it.
    Key(String),
    /// The sender numbers its events: its name, and the offset of the batch's first event. Resends
    /// are not stored again, and gaps are refused.
    Producer {
        /// Name of the sender.
        producer: String,
        /// Offset of the first event.
        offset: u64,
    },
    /// Every event has an id or a time of its own.
    Events,
}

/// What became of a batch. Everything in it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchReceipt {
    /// Events accepted, duplicates apart.
    pub accepted: u64,
    /// Events accepted whose id came lately; the tables count them once.
    pub duplicate: u64,
    /// Events refused; they are kept as dead letters.
    #[serde(default)]
    pub rejected: Vec<RejectedEvent>,
    /// Sequence number from which on the tables hold the batch: a query's `min_seq`.
    pub seq: u64,
    /// Whether a producer's batch was on disk before this request.
    #[serde(default)]
    pub already_exists: bool,
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedEvent {
    /// Its place in the batch, from 0; empty lines have none.
    #[serde(rename = "i")]
    pub index: u64,
    /// Why, as a stable word.
    pub reason: String,
    /// The same in words.
    pub detail: String,
}
