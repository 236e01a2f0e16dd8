//! Bytes to events: reads GA4 BigQuery export files as Arrow record batches, and writes demo
//! exports.
//!
//! | stage | in → out |
//! |---|---|
//! | [`discover`] | files, folders, globs → [`ExportFile`]s, sorted |
//! | [`open`] | one file + [`ReadOptions`] → [`EventReader`], an iterator of record batches |
//! | [`schema`] | the canonical columns, and their leaf-precise projection |
//! | [`Rejects`] | rows that could not be read, kept or turned into an error |
//! | [`collect`] | bytes of a request → canonical rows; rows → one batch |
//! | [`generate`] | settings + seed → a folder of export files |
//!
//! Every batch has the canonical schema ([`schema::events`], or [`schema::project`] of it),
//! whatever the age or origin of the file: columns are matched by name at every level, missing ones
//! are null.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod collect;
mod column;
mod discover;
mod error;
pub mod generate;
mod ndjson;
mod parquet;
mod reader;
mod rejects;
pub mod schema;

pub use column::all_null;
pub use discover::{ExportFile, Format, Kind, discover};
pub use error::{ErrorKind, IngestError};
pub use ndjson::write_rows as write_ndjson_rows;
pub use reader::{BATCH_ROWS_DEFAULT, EventReader, ReadOptions, open};
pub use rejects::{MAX_BAD_ROWS_DEFAULT, Reject, Rejects};
