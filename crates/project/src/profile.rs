//! `profiles.yml`: which engine a target names, and how to reach it.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value as Json};

/// The adapter types we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Adapter {
    /// The embedded engine.
    Clicktrail,
    /// DuckDB, by dbt itself.
    Duckdb,
    /// Google BigQuery.
    Bigquery,
    /// PostgreSQL, which takes published tables only.
    Postgres,
}

impl Adapter {
    /// The word of the `type` key, and the prefix of dispatched macros.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clicktrail => "clicktrail",
            Self::Duckdb => "duckdb",
            Self::Bigquery => "bigquery",
            Self::Postgres => "postgres",
        }
    }

    /// The adapter that templates are rendered for: no model runs in PostgreSQL, and no macro needs to know it.
    pub(crate) fn renders_as(self) -> Self {
        match self {
            Self::Postgres => Self::Clicktrail,
            other => other,
        }
    }
}

/// The chosen target of the chosen profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// Profile name.
    pub profile_name: String,
    /// Target name.
    pub name: String,
    /// Engine.
    pub adapter: Adapter,
    /// Schema (BigQuery: dataset).
    pub schema: String,
    /// Database (BigQuery: project).
    pub database: Option<String>,
    /// Threads, at least 1.
    pub threads: usize,
    /// All fields of the output, rendered, including those above.
    pub fields: Map<String, Json>,
    /// The file it came from; `None` for the built-in default.
    pub file: Option<PathBuf>,
}
