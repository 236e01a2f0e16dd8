//! The configuration of a node: every key we use, and how layers of it merge.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// How a node becomes something in the warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Materialized {
    /// A view.
    #[default]
    View,
    /// A table, rebuilt each run.
    Table,
    /// A table to which each run adds or merges.
    Incremental,
    /// Nothing: inlined into its readers.
    Ephemeral,
    /// A table loaded from a CSV file.
    Seed,
    /// A query that must return no row.
    Test,
}

impl Materialized {
    /// The word of the config key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Table => "table",
            Self::Incremental => "incremental",
            Self::Ephemeral => "ephemeral",
            Self::Seed => "seed",
            Self::Test => "test",
        }
    }
}

/// How an incremental model adds its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IncrementalStrategy {
    /// Update rows with an equal `unique_key`, insert the others.
    #[serde(rename = "merge")]
    Merge,
    /// Delete rows with an equal `unique_key`, then insert.
    #[serde(rename = "delete+insert")]
    DeleteInsert,
    /// Insert only.
    #[serde(rename = "append")]
    Append,
    /// Replace whole partitions.
    #[serde(rename = "insert_overwrite")]
    InsertOverwrite,
}

/// What an incremental model does when its columns change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnSchemaChange {
    /// Nothing: new columns are dropped.
    #[default]
    Ignore,
    /// Stop.
    Fail,
    /// Add new columns.
    AppendNewColumns,
    /// Add new columns, drop missing ones.
    SyncAllColumns,
}

/// Whether a failing data test stops the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Report only.
    Warn,
    /// Fail.
    #[default]
    Error,
}

/// The column by which a table is partitioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBy {
    /// Column name.
    pub field: String,
    /// `date`, `timestamp`, `datetime`, `int64`; absent when written as a plain column name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_type: Option<String>,
    /// `hour`, `day`, `month`, `year`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<String>,
}

/// The merged configuration of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeConfig {
    /// Part of the project at all?
    pub enabled: bool,
    /// How it is built.
    pub materialized: Materialized,
    /// Name in the warehouse when not the node's name.
    pub alias: Option<String>,
    /// Custom schema, before it is joined with the target's.
    pub schema: Option<String>,
    /// Custom database.
    pub database: Option<String>,
    /// Labels for selection; layers add up.
    pub tags: Vec<String>,
    /// Free JSON; layers merge by key.
    pub meta: Map<String, Json>,
    /// Columns that identify a row.
    pub unique_key: Vec<String>,
    /// How rows are added.
    pub incremental_strategy: Option<IncrementalStrategy>,
    /// Partition column.
    pub partition_by: Option<PartitionBy>,
    /// Cluster columns.
    pub cluster_by: Vec<String>,
    /// What to do when columns change.
    pub on_schema_change: OnSchemaChange,
    /// Whether the run rebuilds from nothing; overrides the flag.
    pub full_refresh: Option<bool>,
    /// SQL before the node, raw Jinja; layers add up.
    pub pre_hook: Vec<String>,
    /// SQL after the node, raw Jinja; layers add up.
    pub post_hook: Vec<String>,
    /// Test: warn or fail.
    pub severity: Severity,
    /// Test: condition on the number of rows that warns, such as `> 10`.
    pub warn_if: String,
    /// Test: condition on the number of rows that fails.
    pub error_if: String,
    /// Test: which rows of the model count.
    #[serde(rename = "where")]
    pub where_: Option<String>,
    /// Test: at most so many failing rows are kept.
    pub limit: Option<u64>,
    /// Test: expression that counts failures.
    pub fail_calc: String,
    /// Test: keep failing rows as a table.
    pub store_failures: Option<bool>,
    /// Seed: quote column names.
    pub quote_columns: Option<bool>,
    /// Seed: column → SQL type.
    pub column_types: Map<String, Json>,
    /// Seed: field separator.
    pub delimiter: String,
    /// Known keys of dbt and of adapters that Clicktrail carries but does not use.
    #[serde(flatten)]
    pub extra: Map<String, Json>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            materialized: Materialized::View,
            alias: None,
            schema: None,
            database: None,
            tags: Vec::new(),
            meta: Map::new(),
            unique_key: Vec::new(),
            incremental_strategy: None,
            partition_by: None,
            cluster_by: Vec::new(),
            on_schema_change: OnSchemaChange::Ignore,
            full_refresh: None,
            pre_hook: Vec::new(),
            post_hook: Vec::new(),
            severity: Severity::Error,
            warn_if: "!= 0".into(),
            error_if: "!= 0".into(),
            where_: None,
            limit: None,
            fail_calc: "count(*)".into(),
            store_failures: None,
            quote_columns: None,
            column_types: Map::new(),
            delimiter: ",".into(),
            extra: Map::new(),
        }
    }
}
