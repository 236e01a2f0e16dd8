//! Where numbers come from: the graph of the project, and one node of it.

use std::collections::{BTreeMap, BTreeSet};

use clicktrail_project::{Adapter, Node, Project, ResourceType, SelectArgs};
use serde_json::{Value, json};

use super::keys::PageKeyFault;
use super::page::{Answer, Page, PageFault};
use super::state::Things;
use crate::report::{NodeResult, Status};

/// Where numbers come from.
pub(super) fn lineage(page: Page<'_>, things: &Things<'_>) -> Answer<Value> {
    let project = &page.workspace.project;
    let select = page.keys.select.clone().unwrap_or_default();
    let words: Vec<String> = select.split_whitespace().map(str::to_owned).collect();
    let selected = match words.is_empty() {
        true => None,
        false => {
            Some(project.select(&SelectArgs { select: words, ..SelectArgs::default() }).map_err(
                |error| {
                    let why = [Some(error.to_string()), error.hint()]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join("; ");
                    PageFault::Keys(vec![PageKeyFault {
                        key: "select".into(),
                        value: select.clone(),
                        why,
                    }])
                },
            )?)
        }
    };
    let is_selected = |id: &str| selected.as_ref().is_none_or(|ids| ids.contains(id));
    let mut nodes: Vec<Value> = Vec::new();
    for source in project.manifest.sources.values() {
        nodes.push(json!({ "name": format!("{}.{}", source.source_name, source.name), "unique_id": source.unique_id,
            "resource_type": "source", "materialized": null, "layer": "source", "path": source.original_file_path,
            "description": source.description, "rows": null, "live": null, "status": null, "tests": null,
            "selected": is_selected(&source.unique_id) }));
    }
    for node in project.manifest.nodes.values().filter(|node| is_relation(node)) {
        nodes.push(told_node(project, things, node, is_selected(&node.unique_id)));
    }
    let known: BTreeSet<String> =
        nodes.iter().filter_map(|node| Some(node["unique_id"].as_str()?.to_owned())).collect();
    let edges: Vec<Value> = known
        .iter()
        .flat_map(|id| {
            let parents = project.manifest.parent_map.get(id).into_iter().flatten();
            parents
                .filter(|parent| known.contains(*parent))
                .map(move |parent| json!({ "from": parent, "to": id }))
        })
        .collect();
    let count = nodes.iter().filter(|node| node["selected"] == true).count();
    let data = json!({ "nodes": nodes, "edges": edges, "select": select, "selected": count });
    page.finish(data)
}

fn is_relation(node: &Node) -> bool {
    matches!(node.resource_type, ResourceType::Model | ResourceType::Seed)
}

fn told_node(project: &Project, things: &Things<'_>, node: &Node, selected: bool) -> Value {
    let why = things.off.as_ref().and_then(|off| off.get(&node.alias));
    let folder =
        |name: &str| node.original_file_path.components().any(|part| part.as_os_str() == name);
    let layer = ["staging", "intermediate", "marts"].into_iter().find(|name| folder(name));
    let seed = if node.resource_type == ResourceType::Seed { Some("seed") } else { None };
    json!({ "name": node.name, "unique_id": node.unique_id, "resource_type": node.resource_type.as_str(),
        "materialized": node.config.materialized, "layer": seed.or(layer).unwrap_or("other"),
        "path": node.original_file_path, "description": node.description, "rows": things.rows.get(&node.alias),
        "live": things.off.is_some() && why.is_none() && node.config.meta.contains_key("live"), "why_not_live": why,
        "status": things.outcomes.nodes.get(&node.unique_id).map(|result| result.status),
        "tests": test_counts(project, things, &node.unique_id), "selected": selected, "tags": node.config.tags })
}

fn tests_of<'t>(project: &Project, things: &'t Things<'_>, id: &str) -> Vec<&'t NodeResult> {
    let children = project.manifest.child_map.get(id).cloned().unwrap_or_default();
    let results = things.outcomes.tests.iter().flat_map(|(_, summary)| &summary.results);
    results
        .filter(|result| {
            let unit = project
                .manifest
                .unit_tests
                .get(&result.unique_id)
                .is_some_and(|test| test.model_id == id);
            unit || children.contains(&result.unique_id)
        })
        .collect()
}

fn test_counts(project: &Project, things: &Things<'_>, id: &str) -> Value {
    let results = tests_of(project, things, id);
    let count = |status: Status| results.iter().filter(|result| result.status == status).count();
    json!({ "pass": count(Status::Pass), "warn": count(Status::Warn), "fail": count(Status::Fail), "error": count(Status::Error) })
}

/// One node: columns, tests, SQL.
pub(super) fn node(page: Page<'_>, name: &str, things: &Things<'_>) -> Answer<Value> {
    let project = &page.workspace.project;
    let manifest = &project.manifest;
    if let Some(source) = manifest.sources.values().find(|source| {
        source.unique_id == name || format!("{}.{}", source.source_name, source.name) == name
    }) {
        let columns: Vec<Value> = source
            .columns
            .iter()
            .map(|column| json!({ "name": column.name, "type": column.data_type, "description": column.description, "tests": [] }))
            .collect();
        let data = json!({ "name": name, "unique_id": source.unique_id, "resource_type": "source", "materialized": null,
            "path": source.original_file_path, "description": source.description, "tags": source.tags, "rows": null, "live": null,
            "columns": columns, "tests": [], "parents": [], "children": near(project, &manifest.child_map, &source.unique_id),
            "raw_sql": null, "compiled_sql": null, "command": "clicktrail source freshness" });
        return page.finish(data);
    }
    let Some(node) = manifest
        .nodes
        .values()
        .find(|node| is_relation(node) && (node.name == name || node.unique_id == name))
    else {
        return Err(PageFault::NotFound(format!("no model, seed or source has the name `{name}`")));
    };
    let compiled = page.workspace.compiled_sql(node).ok();
    let tests: Vec<Value> = tests_of(project, things, &node.unique_id)
        .into_iter()
        .map(|result| {
            let column = manifest.nodes.get(&result.unique_id).and_then(|test| test.column_name.clone());
            json!({ "name": result.name, "status": result.status, "failures": result.failures, "column": column })
        })
        .collect();
    let types = page.workspace.column_types(&node.alias);
    let described = |column: &str| node.columns.iter().find(|known| known.name == column);
    let mut columns: Vec<Value> = types
        .iter()
        .map(|(column, data_type)| {
            let on: Vec<&Value> = tests.iter().filter(|test| test["column"] == **column).map(|test| &test["name"]).collect();
            json!({ "name": column, "type": data_type, "description": described(column).map_or("", |known| &known.description), "tests": on })
        })
        .collect();
    if columns.is_empty() {
        columns = node.columns.iter().map(|column| json!({ "name": column.name, "type": column.data_type, "description": column.description, "tests": [] })).collect();
    }
    let mut data = told_node(project, things, node, true);
    for (key, value) in [
        ("columns", json!(columns)),
        ("tests", json!(tests)),
        ("raw_sql", json!(node.raw_code)),
        ("compiled_sql", json!(compiled)),
        ("parents", json!(near(project, &manifest.parent_map, &node.unique_id))),
        ("children", json!(near(project, &manifest.child_map, &node.unique_id))),
        ("command", json!(command(project, "show", &node.name))),
    ] {
        data[key] = value;
    }
    page.finish(data)
}

/// A command about one node; tables elsewhere are those of the target that is named.
pub(super) fn command(project: &Project, verb: &str, name: &str) -> String {
    match project.target.adapter {
        Adapter::Clicktrail => format!("clicktrail {verb} -s {name}"),
        _ => format!("clicktrail {verb} -s {name} --target {}", project.target.name),
    }
}

fn near(project: &Project, map: &BTreeMap<String, Vec<String>>, id: &str) -> Vec<Value> {
    let told = |id: &String| {
        if let Some(source) = project.manifest.sources.get(id) {
            let name = format!("{}.{}", source.source_name, source.name);
            return Some(json!({ "name": name, "resource_type": "source" }));
        }
        let node = project.manifest.nodes.get(id).filter(|node| is_relation(node))?;
        Some(json!({ "name": node.name, "resource_type": node.resource_type.as_str() }))
    };
    map.get(id).into_iter().flatten().filter_map(told).collect()
}
