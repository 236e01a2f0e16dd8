//! `index.html`: the graph and all there is to know about its nodes, in one file that needs nothing else.
//!
//! All data goes in as JSON inside one script element that no browser runs, and the page shows it through
//! `textContent` only, so that no name or description can become markup.

use std::collections::BTreeMap;

use clicktrail_project::{Column, Node, Project, ResourceType, Source, UnitTest};
use serde_json::{Map, Value, json};

use super::CompiledTexts;
use super::relations::{Relation, Relations};
use crate::artifacts;

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const GRAPH: &str = include_str!("graph.js");
const PAGE: &str = include_str!("page.js");
const PANEL: &str = include_str!("panel.js");

/// The page around its data.
pub(super) fn html(data: &Value) -> String {
    // The data comes last, so that nothing in it is taken for a place to fill in.
    HTML.replacen("/*css*/", CSS, 1)
        .replacen("/*graph*/", GRAPH, 1)
        .replacen("/*page*/", PAGE, 1)
        .replacen("/*panel*/", PANEL, 1)
        .replacen("/*data*/", &harmless(data), 1)
}

/// JSON that can stand inside a script element: without `<`, nothing in it ends or nests the element.
fn harmless(data: &Value) -> String {
    data.to_string().replace('<', "\\u003c")
}

/// What the page knows.
pub(super) fn data(
    project: &Project,
    relations: &Relations,
    compiled: &CompiledTexts,
    generated_at: &str,
) -> Value {
    let manifest = &project.manifest;
    let mut nodes: Vec<Value> = Vec::new();
    nodes.extend(manifest.sources.values().map(|source| of_source(source, relations)));
    nodes.extend(manifest.nodes.values().map(|node| of_node(node, relations, compiled)));
    nodes.extend(manifest.unit_tests.values().map(of_unit_test));
    let results = results(project);
    for node in &mut nodes {
        let id = node["id"].as_str().unwrap_or_default().to_owned();
        node["parents"] = json!(manifest.parent_map.get(&id).cloned().unwrap_or_default());
        if let Some(result) = results.get(&id) {
            node["result"] = result.clone();
        }
    }
    json!({
        "project": project.name,
        "target": project.target.name,
        "engine": project.target.adapter.as_str(),
        "version": env!("CARGO_PKG_VERSION"),
        "generated_at": generated_at,
        "nodes": nodes,
    })
}

fn of_node(node: &Node, relations: &Relations, compiled: &CompiledTexts) -> Value {
    let id = &node.unique_id;
    let relation = relations.known.get(id);
    let is_test = node.resource_type == ResourceType::Test;
    let (sql, fault) = match compiled.get(id) {
        Some(Ok(sql)) => (Some(sql), None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    let kind = match &node.test_metadata {
        Some(test) => test.name.as_str(),
        None if is_test => "singular",
        None => node.config.materialized.as_str(),
    };
    json!({
        "id": id,
        "kind": node.resource_type.as_str(),
        "name": node.name,
        "made": kind,
        "description": node.description,
        "file": node.original_file_path,
        "line": node.line,
        "fqn": node.fqn,
        "tags": node.config.tags,
        "columns": columns(relation, &node.columns),
        "raw": Some(&node.raw_code).filter(|text| !text.trim().is_empty()),
        "compiled": sql,
        "fault": fault.or_else(|| relations.faults.get(id)),
        "rows": relation.and_then(|relation| relation.rows),
        "bytes": relation.and_then(|relation| relation.bytes),
        "built": relation.is_some(),
        "severity": is_test.then_some(node.config.severity),
        "arguments": node.test_metadata.as_ref().map(|test| arguments(&test.kwargs)),
        "tested": node.attached_node,
        "column": node.column_name,
    })
}

/// A generic test's arguments but for the two that say what it stands at.
fn arguments(kwargs: &Map<String, Value>) -> Map<String, Value> {
    kwargs
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "model" | "column_name"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn of_source(source: &Source, relations: &Relations) -> Value {
    let relation = relations.known.get(&source.unique_id);
    let texts = [source.description.as_str(), source.source_description.as_str()];
    let description: Vec<&str> = texts.into_iter().filter(|text| !text.is_empty()).collect();
    json!({
        "id": source.unique_id,
        "kind": "source",
        "name": format!("{}.{}", source.source_name, source.name),
        "made": "source",
        "description": description.join("\n"),
        "file": source.original_file_path,
        "line": source.line,
        "fqn": source.fqn,
        "tags": source.tags,
        "columns": columns(relation, &source.columns),
        "bytes": relation.and_then(|relation| relation.bytes),
        "built": relation.is_some(),
    })
}

fn of_unit_test(test: &UnitTest) -> Value {
    let rows = json!({"given": test.given, "expect": test.expect, "overrides": test.overrides});
    json!({
        "id": test.unique_id,
        "kind": "unit_test",
        "name": test.name,
        "made": "unit test",
        "description": test.description,
        "file": test.original_file_path,
        "line": test.line,
        "fqn": test.fqn,
        "tags": test.tags,
        "columns": [],
        "rows_given": format!("{rows:#}"),
        "tested": test.model_id,
    })
}

/// The columns there are, then those that are documented only; with types and descriptions.
fn columns(relation: Option<&Relation>, documented: &[Column]) -> Vec<Value> {
    let real = relation.map_or(&[][..], |relation| &relation.columns);
    let written = |name: &str| documented.iter().find(|one| one.name.eq_ignore_ascii_case(name));
    let real_ones = real.iter().map(|column| {
        let text = written(&column.name).map(|one| one.description.as_str()).unwrap_or_default();
        json!({"name": column.name, "type": column.sql_type, "description": text})
    });
    let others = documented
        .iter()
        .filter(|one| !real.iter().any(|column| column.name.eq_ignore_ascii_case(&one.name)))
        .map(|one| {
            json!({
                "name": one.name, "type": one.data_type, "description": one.description,
                // A built relation without the column contradicts the YAML file.
                "missing": relation.is_some(),
            })
        });
    real_ones.chain(others).collect()
}

/// The last results by unique id, from `run_results.json` and `sources.json`; nothing where there are none.
fn results(project: &Project) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for file in ["run_results.json", "sources.json"] {
        let Ok(text) = std::fs::read_to_string(artifacts::target_dir(project).join(file)) else {
            continue;
        };
        let document: Value = serde_json::from_str(&text).unwrap_or_default();
        let at = &document["metadata"]["generated_at"];
        for result in document["results"].as_array().into_iter().flatten() {
            let Some(id) = result["unique_id"].as_str() else { continue };
            let told = json!({
                "status": result["status"], "message": result["message"], "failures": result["failures"],
                "seconds": result["execution_time"], "at": at,
            });
            all.insert(id.to_owned(), told);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::relations::ColumnType;
    use super::*;

    #[test]
    fn no_text_of_the_project_becomes_markup() {
        let evil = "</script><script>alert(1)</script><!-- /*css*/ /*page*/";
        let clean = html(&json!({"nodes": []}));
        let page = html(&json!({"nodes": [{"id": evil, "description": evil}]}));
        for mark in ["<script", "</script", "<!--", "alert(1)<"] {
            assert_eq!(page.matches(mark).count(), clean.matches(mark).count(), "{mark}");
        }
        let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
        let (text, _) = rest.split_once("</script>").unwrap();
        let back: Value = serde_json::from_str(text).unwrap();
        assert_eq!(back["nodes"][0]["description"], evil);
    }

    #[test]
    fn the_page_asks_for_nothing_outside() {
        let page = html(&json!({"nodes": []}));
        for mark in [
            "/*css*/",
            "/*graph*/",
            "/*page*/",
            "/*panel*/",
            "/*data*/",
            "https://",
            " src=",
            "@import",
            "innerHTML",
        ] {
            assert!(!page.contains(mark), "{mark}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn documented_columns_come_after_real_ones() {
        let real = ColumnType { name: "b".into(), sql_type: "bigint".into() };
        let relation = Relation { columns: vec![real], ..Relation::default() };
        let column = |name: &str| Column {
            name: name.into(),
            description: format!("{name}!"),
            ..Column::default()
        };
        let all = columns(Some(&relation), &[column("a"), column("B")]);
        assert_eq!(all[0], json!({"name": "b", "type": "bigint", "description": "B!"}));
        assert_eq!(
            all[1],
            json!({"name": "a", "type": null, "description": "a!", "missing": true})
        );
        assert_eq!(columns(None, &[column("a")])[0]["missing"], false);
    }
}
