//! Google BigQuery over its REST interface (version 2): jobs, tables, rows, loads.
//!
//! | module | what it does |
//! |---|---|
//! | `client` | the calls: queries, dry runs, jobs |
//! | `tables` | datasets and tables, and their rows without a query |
//! | `write` | load jobs, streamed rows |
//! | `job` | what a query or load is asked to do, and what became of it |
//! | `transport` | requests, and when they are sent again |
//! | `auth` | credentials → access tokens; secrets are never shown |
//! | `parquet_rows` | rows → a file that says which version of a table it holds |
//! | `rows`, `types` | rows as JSON → Arrow; schemas both ways |
//! | `fault` | answers that are errors, by what to do about them |
//!
//! REST and not gRPC: an HTTPS client is in the program anyway, and a gRPC stack would add some ninety crates. So rows
//! are read as JSON pages and written by load jobs or `tabledata.insertAll`, not through the Storage APIs.

mod auth;
mod client;
mod fault;
mod job;
mod parquet_rows;
mod rows;
mod tables;
mod transport;
mod types;
mod write;

pub use auth::Credentials;
pub use client::{Client, Settings};
pub use fault::{Fault, FaultKind};
pub use job::{Done, Load, Query};
pub use parquet_rows::ParquetRows;
pub use rows::json_rows;
pub use tables::{Dataset, Table, TableId};
pub use types::{arrow_schema, fields_of, sql_type};
