//! The things a project consists of: nodes, source tables, unit tests, macros.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::config::NodeConfig;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// A SQL model.
    Model,
    /// A CSV file.
    Seed,
    /// A data test, generic or singular.
    Test,
    /// A unit test.
    UnitTest,
    /// A source table.
    Source,
}

impl ResourceType {
    /// dbt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Seed => "seed",
            Self::Test => "test",
            Self::UnitTest => "unit_test",
            Self::Source => "source",
        }
    }
}

/// A documented column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Description, `{{ doc() }}` resolved.
    pub description: String,
    /// SQL type, when the project states one.
    pub data_type: Option<String>,
    /// Free JSON.
    pub meta: Map<String, Json>,
    /// Labels.
    pub tags: Vec<String>,
}

/// What a generic data test was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestMetadata {
    /// `not_null`, `unique`, … without package.
    pub name: String,
    /// Package prefix, when written.
    pub namespace: Option<String>,
    /// The arguments as written.
    pub kwargs: Map<String, Json>,
}

/// A `ref()` as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefCall {
    /// Model or seed.
    pub name: String,
    /// Package, when written.
    pub package: Option<String>,
}

/// Ids a node needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DependsOn {
    /// Unique ids of models, seeds, sources, in the order of first use.
    pub nodes: Vec<String>,
    /// Unique ids of project macros used while parsing.
    pub macros: Vec<String>,
}

/// A model, seed or data test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// `model.<project>.<name>`, `seed.…`, `test.…`.
    pub unique_id: String,
    /// What it is.
    pub resource_type: ResourceType,
    /// Name.
    pub name: String,
    /// Project it belongs to.
    pub package_name: String,
    /// Project, folders, name: what `fqn:` selectors and config trees match.
    pub fqn: Vec<String>,
    /// File, relative to the project folder, with `/`.
    pub original_file_path: PathBuf,
    /// Line of the definition: 1 for SQL files, the test's line for generic tests.
    #[serde(default)]
    pub line: usize,
    /// Database of the target, when it has one.
    pub database: Option<String>,
    /// Schema in the warehouse (target's schema, joined with the custom one as dbt does).
    pub schema: String,
    /// Name in the warehouse.
    pub alias: String,
    /// Text of the file, with Jinja; empty for seeds.
    pub raw_code: String,
    /// Hash of the content, for `state:modified`.
    pub checksum: Checksum,
    /// Merged configuration.
    pub config: NodeConfig,
    /// Configuration before defaults, for `state:modified.configs`.
    #[serde(default)]
    pub unrendered_config: Map<String, Json>,
    /// Description.
    pub description: String,
    /// Columns by name, in the order of the YAML file.
    #[serde(with = "columns_as_map")]
    pub columns: Vec<Column>,
    /// YAML file that documents it.
    pub patch_path: Option<PathBuf>,
    /// What it needs.
    pub depends_on: DependsOn,
    /// `ref()` calls as written.
    pub refs: Vec<RefCall>,
    /// `source()` calls as written.
    pub sources: Vec<(String, String)>,
    /// Generic tests: what it was made from.
    pub test_metadata: Option<TestMetadata>,
    /// Generic tests: the column.
    pub column_name: Option<String>,
    /// Generic tests: unique id of the model, seed or source under test.
    pub attached_node: Option<String>,
}

impl Node {
    /// Is it a data test written as its own SQL file?
    pub fn is_singular_test(&self) -> bool {
        self.resource_type == ResourceType::Test && self.test_metadata.is_none()
    }
}

/// A content hash as dbt writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checksum {
    /// `md5`.
    pub name: String,
    /// Hex digits.
    pub checksum: String,
}

/// Old or late: how many periods without news.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// How many.
    pub count: u64,
    /// `minute`, `hour`, `day`.
    pub period: String,
}

impl Period {
    /// The length in seconds.
    pub fn seconds(&self) -> u64 {
        let unit = match self.period.as_str() {
            "minute" => 60,
            "hour" => 3600,
            _ => 86_400,
        };
        self.count * unit
    }
}

/// When a source table counts as stale.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Freshness {
    /// Warn beyond this age.
    pub warn_after: Option<Period>,
    /// Fail beyond this age.
    pub error_after: Option<Period>,
    /// Which rows count.
    pub filter: Option<String>,
}

/// One table of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// `source.<project>.<source>.<table>`.
    pub unique_id: String,
    /// Project.
    pub package_name: String,
    /// Project, folders, source, table.
    pub fqn: Vec<String>,
    /// Name of the group of tables.
    pub source_name: String,
    /// Name of the table.
    pub name: String,
    /// Database, when stated.
    pub database: Option<String>,
    /// Schema; the source's name when not stated.
    pub schema: String,
    /// Name of the table in the warehouse.
    pub identifier: String,
    /// YAML file.
    pub original_file_path: PathBuf,
    /// Line of the table in it.
    #[serde(default)]
    pub line: usize,
    /// Description of the table.
    pub description: String,
    /// Description of the source.
    pub source_description: String,
    /// Column with the time at which a row was loaded.
    pub loaded_at_field: Option<String>,
    /// When it is stale.
    pub freshness: Option<Freshness>,
    /// `meta` of source and table, merged.
    pub meta: Map<String, Json>,
    /// Labels.
    pub tags: Vec<String>,
    /// `config` of source and table, merged: `enabled`, `external_location`, …
    pub config: Map<String, Json>,
    /// Documented columns.
    #[serde(with = "columns_as_map")]
    pub columns: Vec<Column>,
}

/// Rows of a unit test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "format", content = "rows", rename_all = "lowercase")]
pub enum Rows {
    /// `rows: [{column: value}]`.
    Dict(Vec<Map<String, Json>>),
    /// CSV text, inline or from a fixture file, header first.
    Csv(String),
    /// A query.
    Sql(String),
}

/// What a unit test's input replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputName {
    /// `ref('name')`: the unique id.
    Ref(String),
    /// `source('source', 'table')`: the unique id.
    Source(String),
    /// `this`: the model as it stood before an incremental run.
    This,
}

/// One given input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// What it replaces.
    pub input: InputName,
    /// The rows.
    #[serde(flatten)]
    pub rows: Rows,
}

/// What a unit test changes for its run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// Project variables.
    pub vars: Map<String, Json>,
    /// Results of macros, such as `is_incremental: true`.
    pub macros: Map<String, Json>,
    /// Environment variables.
    pub env_vars: BTreeMap<String, String>,
}

/// A unit test: given rows, expected rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnitTest {
    /// `unit_test.<project>.<model>.<name>`.
    pub unique_id: String,
    /// Name.
    pub name: String,
    /// Project.
    pub package_name: String,
    /// Project, folders, model, name.
    pub fqn: Vec<String>,
    /// Model under test, by name.
    pub model: String,
    /// Model under test, by unique id.
    pub model_id: String,
    /// YAML file.
    pub original_file_path: PathBuf,
    /// Line of the test in it.
    #[serde(default)]
    pub line: usize,
    /// Description.
    pub description: String,
    /// Inputs; inputs not given are empty.
    pub given: Vec<Given>,
    /// Rows the model must give, in any order.
    pub expect: Rows,
    /// What differs for this run.
    pub overrides: Overrides,
    /// Labels.
    pub tags: Vec<String>,
    /// Free JSON.
    pub meta: Map<String, Json>,
    /// Part of the project at all?
    pub enabled: bool,
    /// What it needs: the model.
    pub depends_on: DependsOn,
}

/// A macro of the project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Macro {
    /// `macro.<project>.<name>`.
    pub unique_id: String,
    /// Name; generic tests are `test_<name>`.
    pub name: String,
    /// Project.
    pub package_name: String,
    /// File.
    pub original_file_path: PathBuf,
    /// Line of the opening tag.
    #[serde(default)]
    pub line: usize,
    /// Text from the opening to the closing tag.
    pub macro_sql: String,
    /// Description.
    pub description: String,
}

mod columns_as_map {
    use super::Column;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::{Map, Value as Json};

    pub(super) fn serialize<S: Serializer>(all: &[Column], out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(all.iter().map(|column| (column.name.as_str(), column)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Column>, D::Error> {
        let map = Map::<String, Json>::deserialize(from)?;
        map.into_values()
            .map(|value| serde_json::from_value(value).map_err(serde::de::Error::custom))
            .collect()
    }
}
