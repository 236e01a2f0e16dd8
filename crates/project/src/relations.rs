//! The relation names of each adapter.

use crate::compile::Relations;
use crate::node::{Node, Source};
use crate::profile::Adapter;

/// Names as the adapter writes them. `is_incremental` is always false: the caller who knows the
/// warehouse wraps this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdapterRelations(pub Adapter);

impl Relations for AdapterRelations {
    fn relation(&self, node: &Node) -> String {
        match self.0 {
            Adapter::Clicktrail => quoted(&node.alias),
            Adapter::Duckdb | Adapter::Postgres => {
                format!("{}.{}", quoted(&node.schema), quoted(&node.alias))
            }
            Adapter::Bigquery => match &node.database {
                Some(database) => format!("`{database}`.`{}`.`{}`", node.schema, node.alias),
                None => format!("`{}`.`{}`", node.schema, node.alias),
            },
        }
    }

    fn source(&self, source: &Source) -> String {
        match self.0 {
            Adapter::Clicktrail => {
                format!("{}.{}", quoted(&source.source_name), quoted(&source.name))
            }
            Adapter::Duckdb => external_location(source).unwrap_or_else(|| {
                format!("{}.{}", quoted(&source.schema), quoted(&source.identifier))
            }),
            Adapter::Postgres => {
                format!("{}.{}", quoted(&source.schema), quoted(&source.identifier))
            }
            Adapter::Bigquery => match &source.database {
                Some(database) => {
                    format!("`{database}`.`{}`.`{}`", source.schema, source.identifier)
                }
                None => format!("`{}`.`{}`", source.schema, source.identifier),
            },
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// dbt-duckdb's `external_location`: a path or a table function, with `{name}` and
/// `{identifier}` filled in.
fn external_location(source: &Source) -> Option<String> {
    let text = source
        .config
        .get("external_location")
        .or_else(|| source.meta.get("external_location"))?
        .as_str()?
        .replace("{name}", &source.name)
        .replace("{identifier}", &source.identifier);
    // dbt-duckdb quotes bare paths and leaves calls such as read_parquet(…) alone.
    let is_call = text.contains('(') || text.starts_with('\'');
    Some(if is_call { text } else { format!("'{text}'") })
}
