//! Tables of the embedded warehouse: Delta Lake folders of Parquet files and a JSON log.
//!
//! Clicktrail writes the open protocol itself (reader version 1, writer version 2; 3/7 with `timestampNtz`
//! where a table holds wall-clock timestamps). The `deltalake` crate brings ~180 further crates, among them
//! two HTTP clients and a C cryptography library, to a binary that only ever touches a local folder; what
//! is needed of the protocol is a list of files that changes atomically. Tests read every table back with
//! the reference implementation.

mod log;
mod provider;
mod replay;
mod schema;
mod sums;
mod writer;

pub use log::{Commit, DataFile, DeltaTable, Removal, Snapshot};
pub use provider::DeltaProvider;
pub use schema::{conform, stored_schema};
pub use writer::{TableWriter, WriterSettings};
