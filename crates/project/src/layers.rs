//! Layers of configuration: `dbt_project.yml`, then the YAML beside the model, then the file.
//!
//! To add a key: a field in [`NodeConfig`], a line in [`KEYS`]. Keys of dbt and its adapters that
//! we carry but do not use stand in [`TOLERATED`].

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::config::NodeConfig;
use crate::error::{Fault, Location, Result, nearest};
use crate::yaml::Yaml;

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Bool,
    Text,
    Whole,
    Mapping,
    /// One text or a list of texts.
    Texts,
    /// Like `Texts`; layers add up.
    Tags,
    /// Hooks: text, `{sql: …}`, or a list of them; layers add up.
    Hooks,
    /// A column name or `{field, data_type, granularity}`.
    Partition,
    OneOf(&'static [&'static str]),
}

/// The keys we use.
const KEYS: &[(&str, Shape)] = &[
    ("enabled", Shape::Bool),
    ("materialized", Shape::OneOf(&["view", "table", "incremental", "ephemeral", "seed", "test"])),
    ("alias", Shape::Text),
    ("schema", Shape::Text),
    ("database", Shape::Text),
    ("tags", Shape::Tags),
    ("meta", Shape::Mapping),
    ("unique_key", Shape::Texts),
    (
        "incremental_strategy",
        Shape::OneOf(&["merge", "delete+insert", "append", "insert_overwrite"]),
    ),
    ("partition_by", Shape::Partition),
    ("cluster_by", Shape::Texts),
    (
        "on_schema_change",
        Shape::OneOf(&["ignore", "fail", "append_new_columns", "sync_all_columns"]),
    ),
    ("full_refresh", Shape::Bool),
    ("pre_hook", Shape::Hooks),
    ("post_hook", Shape::Hooks),
    ("severity", Shape::OneOf(&["warn", "error"])),
    ("warn_if", Shape::Text),
    ("error_if", Shape::Text),
    ("where", Shape::Text),
    ("limit", Shape::Whole),
    ("fail_calc", Shape::Text),
    ("store_failures", Shape::Bool),
    ("quote_columns", Shape::Bool),
    ("column_types", Shape::Mapping),
    ("delimiter", Shape::Text),
];

/// Keys of dbt and its adapters that we know, carry in `extra`, and do not use.
pub(crate) const TOLERATED: &[&str] = &[
    "access",
    "batch_size",
    "begin",
    "column_quoting",
    "concurrent_batches",
    "contract",
    "copy_grants",
    "copy_partitions",
    "docs",
    "enable_refresh",
    "event_time",
    "expiration_timestamp",
    "external_location",
    "file_format",
    "format",
    "formatter",
    "freshness",
    "glue_register",
    "grant_access_to",
    "grants",
    "group",
    "hours_to_expiration",
    "incremental_predicates",
    "indexes",
    "kms_key_name",
    "labels",
    "loaded_at_field",
    "loaded_at_query",
    "location",
    "lookback",
    "materialized_view",
    "max_staleness",
    "merge_exclude_columns",
    "merge_update_columns",
    "node_color",
    "on_configuration_change",
    "on_error",
    "options",
    "overwrite",
    "packages",
    "partition_expiration_days",
    "partitioned_by",
    "partitions",
    "persist_docs",
    "plugin",
    "predicates",
    "query_comment",
    "quoting",
    "refresh_interval_minutes",
    "require_partition_filter",
    "rollover",
    "snapshot_meta_column_names",
    "sql_header",
    "static_analysis",
    "store_failures_as",
    "submission_method",
    "target_schema",
    "target_database",
    "tmp_relation_type",
    "unlogged",
];

/// dbt writes some keys with `-`.
pub(crate) fn canonical(key: &str) -> String {
    key.replace('-', "_")
}

fn shape(key: &str) -> Option<Shape> {
    KEYS.iter().find(|(name, _)| *name == key).map(|(_, shape)| *shape)
}

/// Is it a configuration key?
pub(crate) fn is_known(key: &str) -> bool {
    shape(key).is_some() || TOLERATED.contains(&key)
}

/// Is it a key whose value is a mapping, so that it is no folder in a config tree?
pub(crate) fn holds_mapping(key: &str) -> bool {
    matches!(shape(key), Some(Shape::Mapping | Shape::Partition))
        || matches!(
            key,
            "persist_docs" | "grants" | "contract" | "docs" | "labels" | "options" | "freshness"
        )
}

/// Checks key and value.
pub(crate) fn check(key: &str, value: &Json, place: &str) -> Result<(), Fault> {
    let Some(shape) = shape(key) else {
        if TOLERATED.contains(&key) {
            return Ok(());
        }
        let known = KEYS.iter().map(|(name, _)| *name).chain(TOLERATED.iter().copied());
        let nearest = nearest(key, known);
        return Err(Fault::UnknownKey { key: key.into(), place: place.into(), nearest });
    };
    let text_list = |value: &Json| match value {
        Json::String(_) => true,
        Json::Array(items) => items.iter().all(Json::is_string),
        _ => false,
    };
    let fits = value.is_null()
        || match shape {
            Shape::Bool => value.is_boolean(),
            Shape::Text => value.is_string() || value.is_number(),
            Shape::Whole => value.as_u64().is_some(),
            Shape::Mapping => value.is_object(),
            Shape::Texts | Shape::Tags => text_list(value),
            Shape::Hooks => hooks(value).is_some(),
            Shape::Partition => {
                value.is_string() || value.get("field").is_some_and(Json::is_string)
            }
            Shape::OneOf(words) => {
                value.as_str().is_some_and(|one| words.contains(&one.to_lowercase().as_str()))
            }
        };
    if fits {
        return Ok(());
    }
    let expected = match shape {
        Shape::Bool => "true or false".into(),
        Shape::Text => "text".into(),
        Shape::Whole => "a whole number".into(),
        Shape::Mapping => "a mapping".into(),
        Shape::Texts | Shape::Tags => "text or a list of texts".into(),
        Shape::Hooks => "SQL or a list of SQL".into(),
        Shape::Partition => "a column name or a mapping with `field`".into(),
        Shape::OneOf(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            format!("one of {}", words.join(", "))
        }
    };
    Err(Fault::BadValue { key: key.into(), expected, found: found(value) })
}

fn found(value: &Json) -> String {
    match value {
        Json::String(text) => format!("`{text}`"),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "a mapping".into(),
        other => format!("`{other}`"),
    }
}

fn hooks(value: &Json) -> Option<Vec<String>> {
    match value {
        Json::String(text) => Some(vec![text.clone()]),
        Json::Object(map) => Some(vec![map.get("sql")?.as_str()?.to_owned()]),
        Json::Array(items) => {
            items.iter().map(hooks).collect::<Option<Vec<_>>>().map(|all| all.concat())
        }
        _ => None,
    }
}

fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::String(text) => vec![text.clone()],
        Json::Array(items) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Layers merged so far, each value checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    values: BTreeMap<String, Json>,
}

impl Layers {
    /// Adds one value of the next layer.
    pub(crate) fn set(&mut self, key: &str, value: Json) {
        let merged = match (shape(key), self.values.remove(key)) {
            (Some(Shape::Tags), Some(old)) => {
                let mut all = texts(&old);
                all.extend(texts(&value));
                json!(all)
            }
            (Some(Shape::Tags), None) => json!(texts(&value)),
            (Some(Shape::Hooks), Some(old)) => {
                let mut all = hooks(&old).unwrap_or_default();
                all.extend(hooks(&value).unwrap_or_default());
                json!(all)
            }
            (Some(Shape::Mapping), Some(Json::Object(mut old))) => {
                if let Json::Object(new) = value {
                    old.extend(new);
                }
                Json::Object(old)
            }
            _ => value,
        };
        self.values.insert(key.to_owned(), merged);
    }

    /// Adds a `config:` mapping of a YAML file, values already rendered by `render`.
    pub(crate) fn add_yaml(
        &mut self,
        yaml: &Yaml,
        place: &str,
        render: &dyn Fn(&str, &Yaml) -> Result<Json>,
    ) -> Result<()> {
        for entry in yaml.map("config")? {
            let key = canonical(&entry.key);
            self.add_one(&key, &entry.value, entry.at(), place, render)?;
        }
        Ok(())
    }

    /// Adds one key of a YAML file.
    pub(crate) fn add_one(
        &mut self,
        key: &str,
        value: &Yaml,
        at: Location,
        place: &str,
        render: &dyn Fn(&str, &Yaml) -> Result<Json>,
    ) -> Result<()> {
        let json = render(key, value)?;
        check(key, &json, place).map_err(|fault| fault.at(at))?;
        self.set(key, json);
        Ok(())
    }

    /// The merged values as written.
    pub(crate) fn to_map(&self) -> Map<String, Json> {
        self.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The typed configuration.
    pub(crate) fn finish(&self, default: NodeConfig) -> Result<NodeConfig> {
        let mut map = match serde_json::to_value(default) {
            Ok(Json::Object(map)) => map,
            _ => Map::new(),
        };
        for (key, value) in &self.values {
            if value.is_null() && key != "full_refresh" {
                continue;
            }
            let value = match shape(key) {
                Some(Shape::Tags) => {
                    let mut tags = texts(value);
                    tags.sort();
                    tags.dedup();
                    json!(tags)
                }
                Some(Shape::Texts) => json!(texts(value)),
                Some(Shape::Hooks) => json!(hooks(value).unwrap_or_default()),
                Some(Shape::Partition) => match value {
                    Json::String(field) => json!({ "field": field }),
                    other => other.clone(),
                },
                Some(Shape::OneOf(_)) => json!(value.as_str().unwrap_or_default().to_lowercase()),
                Some(Shape::Text) if value.is_number() => json!(value.to_string()),
                _ => value.clone(),
            };
            map.insert(key.clone(), value);
        }
        serde_json::from_value(Json::Object(map))
            .map_err(|error| Fault::Internal { detail: format!("configuration: {error}") }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{IncrementalStrategy, Materialized};

    #[test]
    fn later_layers_win_and_tags_add_up() {
        let mut layers = Layers::default();
        layers.set("materialized", json!("table"));
        layers.set("tags", json!("a"));
        layers.set("meta", json!({"x": 1, "y": 1}));
        layers.set("materialized", json!("incremental"));
        layers.set("tags", json!(["b"]));
        layers.set("meta", json!({"y": 2}));
        layers.set("incremental_strategy", json!("delete+insert"));
        layers.set("partition_by", json!("event_date"));
        layers.set("labels", json!({"team": "x"}));
        let config = layers.finish(NodeConfig::default()).unwrap();
        assert_eq!(config.materialized, Materialized::Incremental);
        assert_eq!(config.tags, ["a", "b"]);
        assert_eq!(Json::Object(config.meta), json!({"x": 1, "y": 2}));
        assert_eq!(config.incremental_strategy, Some(IncrementalStrategy::DeleteInsert));
        assert_eq!(config.partition_by.unwrap().field, "event_date");
        assert!(config.extra.contains_key("labels"));
    }

    #[test]
    fn keys_and_values_are_checked() {
        let fault = check("materialised", &json!("table"), "`config()`").unwrap_err();
        assert_eq!(fault.to_string(), "unknown key `materialised` under `config()`");
        assert_eq!(
            crate::ProjectError::from(fault).hint().unwrap(),
            "did you mean `materialized`?"
        );
        let fault = check("materialized", &json!("tabel"), "x").unwrap_err();
        assert!(fault.to_string().starts_with("`materialized` must be one of `view`, `table`"));
        assert!(check("enabled", &json!("yes"), "x").is_err());
    }

    #[test]
    fn a_config_survives_json() {
        let config = NodeConfig { where_: Some("a > 1".into()), ..NodeConfig::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<NodeConfig>(&text).unwrap(), config);
    }
}
