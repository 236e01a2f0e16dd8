//! SQL in, Arrow out: the engines that run a project's models, and the tables they keep.
//!
//! Rooms: [`datafusion`] is the embedded engine, [`delta`] its tables, `bigquery` (a feature) Google's warehouse,
//! `postgres` (a feature) a place for finished tables.

#[cfg(feature = "bigquery")]
pub mod bigquery;
pub mod datafusion;
pub mod delta;
mod error;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use error::{EngineError, Kind, Result};
