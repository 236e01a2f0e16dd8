//! What the server asks of the tables: how far they are, and rows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The live tables as the server sees them.
pub trait Live: Send + Sync {
    /// How far the tables are. Called for each scrape and health check, so it must be cheap and
    /// must not wait for work under way.
    fn status(&self) -> LiveStatus;

    /// Rows. May block up to the request's timeout: it is called on a thread for blocking work.
    ///
    /// # Errors
    /// [`QueryFailure`], whose kind decides the HTTP status.
    fn query(&self, request: &QueryRequest) -> Result<QueryAnswer, QueryFailure>;
}

/// How far the live tables are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveStatus {
    /// Whether recovery is over and queries are answered.
    pub ready: bool,
    /// What is being done until then, in words; "live" afterwards.
    pub phase: String,
    /// Why the tables are not the newest, where they are copies of tables elsewhere; `None` when they are.
    pub stale: Option<String>,
    /// Highest sequence number that is on disk.
    pub durable_seq: u64,
    /// Highest sequence number that the tables hold.
    pub applied_seq: u64,
    /// Age of the oldest durable event that the tables lack, seconds.
    pub lag_seconds: f64,
    /// Events in the tables, without duplicates.
    pub events: u64,
    /// Copies that were recognised.
    pub duplicates: u64,
    /// Events that came after younger ones of their user had been applied.
    pub late: u64,
    /// Persons with so many events that they are computed at a pace of their own, and wait for it.
    pub waiting_persons: u64,
    /// Differences that the comparison with a batch run has found. Anything but 0 is a fault.
    pub live_batch_mismatch: u64,
    /// Rows by table.
    pub tables: BTreeMap<String, u64>,
}

/// What rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// The rows of a query. Only reading statements may be answered.
    Sql(String),
    /// The rows of a table; the name is letters, digits and underscores.
    Table(String),
}

/// A question to the tables.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// What is wanted.
    pub ask: Ask,
    /// Wait until this sequence number is applied: a client then reads what it wrote.
    pub min_seq: Option<u64>,
    /// Give up after this time, waiting included.
    pub timeout: Duration,
    /// At most so many rows.
    pub limit: usize,
}

/// Rows, all of one state of the tables.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// The sequence number whose state this is.
    pub seq: u64,
    /// Columns in order.
    pub columns: Vec<Column>,
    /// One object per row. Decimals as strings, so that no digit is lost.
    pub rows: Vec<Value>,
    /// Whether there were more rows than the limit.
    pub truncated: bool,
}

/// A column of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its SQL type.
    pub data_type: String,
}

/// Why there are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryFailure {
    /// A stable code, of whichever crate found the fault.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What the asker should do.
    pub kind: QueryFailureKind,
}

/// What the asker should do about a failed query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFailureKind {
    /// Change the query: 400.
    Query,
    /// Ask for a table that exists: 404.
    NotFound,
    /// Ask for less, or allow more time: 504.
    Timeout,
    /// Ask again later, as the tables are not ready or not so far yet: 503.
    Unavailable,
    /// Report it: 500.
    Internal,
}
