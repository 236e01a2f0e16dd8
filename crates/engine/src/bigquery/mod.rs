//! Google BigQuery: jobs, tables, rows, loads over its REST interface (version 2), rows both ways over the Storage APIs.
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
//! | `storage` | the Storage APIs: rows as Arrow over gRPC |
//! | `fault` | answers that are errors, by what to do about them |

mod auth;
mod client;
mod fault;
mod job;
mod parquet_rows;
mod rows;
mod storage;
mod tables;
mod transport;
mod types;
mod write;

pub use auth::Credentials;
pub use client::{Client, Settings};
pub use fault::{Fault, FaultKind};
pub use job::{Done, Load, Query};
pub use parquet_rows::ParquetRows;
pub use rows::{json_batch, json_rows};
pub use storage::{Appended, Finalized, Offered, ReadSession, Storage, WriteStream};
pub use tables::{Dataset, Table, TableId};
pub use types::{arrow_schema, fields_of, sql_type};
