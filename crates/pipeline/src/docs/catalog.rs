//! `catalog.json`, in dbt's shape.

use clicktrail_project::{Column, Manifest};
use serde_json::{Map, Value, json};

use super::relations::{Relation, Relations, exists};

/// Version of the shape.
const SCHEMA_VERSION: u32 = 1;

/// The document.
pub(super) fn document(
    manifest: &Manifest,
    relations: &Relations,
    generated_at: &str,
    invocation_id: &str,
) -> Value {
    let nodes: Map<String, Value> = manifest
        .nodes
        .values()
        .filter(|node| exists(node))
        .filter_map(|node| {
            let relation = relations.known.get(&node.unique_id)?;
            let place = json!({
                "type": if relation.stored { "BASE TABLE" } else { "VIEW" },
                "database": node.database, "schema": node.schema, "name": node.alias,
                "comment": Value::Null, "owner": Value::Null,
            });
            Some((node.unique_id.clone(), entry(&node.unique_id, &place, relation, &node.columns)))
        })
        .collect();
    let sources: Map<String, Value> = manifest
        .sources
        .values()
        .filter_map(|source| {
            let relation = relations.known.get(&source.unique_id)?;
            let place = json!({
                "type": "EXTERNAL",
                "database": source.database, "schema": source.schema, "name": source.identifier,
                "comment": Value::Null, "owner": Value::Null,
            });
            Some((
                source.unique_id.clone(),
                entry(&source.unique_id, &place, relation, &source.columns),
            ))
        })
        .collect();
    let faults: Vec<String> =
        relations.faults.iter().map(|(id, fault)| format!("{id}: {fault}")).collect();
    json!({
        "metadata": {
            "schema_version": SCHEMA_VERSION,
            "clicktrail_version": env!("CARGO_PKG_VERSION"),
            "generated_at": generated_at,
            "invocation_id": invocation_id,
        },
        "nodes": nodes,
        "sources": sources,
        "errors": if faults.is_empty() { Value::Null } else { json!(faults) },
    })
}

fn entry(id: &str, place: &Value, relation: &Relation, documented: &[Column]) -> Value {
    let columns: Map<String, Value> = relation
        .columns
        .iter()
        .zip(1..)
        .map(|(column, index)| {
            let comment = documented
                .iter()
                .find(|one| one.name.eq_ignore_ascii_case(&column.name))
                .map(|one| one.description.as_str())
                .filter(|text| !text.is_empty());
            let value =
                json!({"type": column.sql_type, "index": index, "name": column.name, "comment": comment});
            (column.name.clone(), value)
        })
        .collect();
    json!({"unique_id": id, "metadata": place, "columns": columns, "stats": stats(relation)})
}

fn stats(relation: &Relation) -> Value {
    let mut stats = Map::new();
    let mut add = |id: &str, label: &str, value: Value, shown: bool, description: &str| {
        let stat = json!({"id": id, "label": label, "value": value, "include": shown, "description": description});
        stats.insert(id.to_owned(), stat);
    };
    if let Some(rows) = relation.rows {
        add("num_rows", "# Rows", json!(rows), true, "rows of the table's newest version");
    }
    if let Some(bytes) = relation.bytes {
        add("num_bytes", "# Bytes", json!(bytes), true, "bytes of its files on disk");
    }
    let any = relation.rows.is_some() || relation.bytes.is_some();
    add("has_stats", "Has Stats?", json!(any), false, "whether there are statistics");
    Value::Object(stats)
}

#[cfg(test)]
mod tests {
    use super::super::relations::ColumnType;
    use super::*;

    #[test]
    fn columns_keep_their_order_and_take_the_documented_words() {
        let column = |name: &str| ColumnType { name: name.into(), sql_type: "bigint".into() };
        let relation = Relation {
            columns: vec![column("b"), column("a")],
            rows: Some(3),
            ..Relation::default()
        };
        let documented =
            [Column { name: "A".into(), description: "first letter".into(), ..Column::default() }];
        let entry = entry("model.shop.x", &json!({}), &relation, &documented);
        assert_eq!(
            entry["columns"]["b"],
            json!({"type": "bigint", "index": 1, "name": "b", "comment": null})
        );
        assert_eq!(entry["columns"]["a"]["comment"], "first letter");
        assert_eq!(entry["stats"]["num_rows"]["value"], 3);
        assert!(entry["stats"].get("num_bytes").is_none());
        assert_eq!(entry["stats"]["has_stats"]["value"], true);
    }
}
