//! What each selector method finds.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use super::Index;
use super::parse::{Criterion, matches};
use crate::error::{Fault, Result};
use crate::node::{Node, ResourceType};

/// A node, source or unit test, as far as selectors look at it.
struct Item<'a> {
    id: &'a str,
    kind: ResourceType,
    name: &'a str,
    package: &'a str,
    fqn: &'a [String],
    path: &'a Path,
    tags: &'a [String],
    node: Option<&'a Node>,
}

/// The unique ids that match a criterion, without its `+`.
pub(super) fn find(index: &Index<'_>, criterion: &Criterion) -> Result<BTreeSet<String>> {
    let value = criterion.value.as_str();
    match criterion.method.as_str() {
        "state" => return index.state.modified(index.manifest, criterion),
        "result" => {
            let ids = index.state.results(criterion)?;
            let known = ids.into_iter().filter(|id| index.manifest.parent_map.contains_key(id));
            return Ok(known.collect());
        }
        _ => {}
    }
    check_value(criterion)?;
    let keep = |item: &Item<'_>| match criterion.method.as_str() {
        "fqn" => by_name(value, item),
        "tag" => item.tags.iter().any(|tag| matches(value, tag)),
        "path" => by_path(value, item.path),
        "file" => item.path.file_name().and_then(|one| one.to_str()).is_some_and(|name| {
            matches(value, name) || Path::new(name).file_stem().is_some_and(|stem| stem == value)
        }),
        "source" => item.kind == ResourceType::Source && by_source(value, item),
        "package" => value == "this" || matches(value, item.package),
        "resource_type" => item.kind.as_str() == value,
        "test_type" => by_test_type(value, item),
        "test_name" => item.node.is_some_and(|node| {
            node.test_metadata.as_ref().is_some_and(|test| matches(value, &test.name))
        }),
        "unit_test" => item.kind == ResourceType::UnitTest && matches(value, item.name),
        "config" => by_config(criterion, item),
        _ => false,
    };
    Ok(items(index).filter(keep).map(|item| item.id.to_owned()).collect())
}

fn items<'a>(index: &'a Index<'_>) -> impl Iterator<Item = Item<'a>> {
    let manifest = index.manifest;
    let nodes = manifest.nodes.values().map(|node| Item {
        id: &node.unique_id,
        kind: node.resource_type,
        name: &node.name,
        package: &node.package_name,
        fqn: &node.fqn,
        path: &node.original_file_path,
        tags: &node.config.tags,
        node: Some(node),
    });
    let sources = manifest.sources.values().map(|source| Item {
        id: &source.unique_id,
        kind: ResourceType::Source,
        name: &source.name,
        package: &source.package_name,
        fqn: &source.fqn,
        path: &source.original_file_path,
        tags: &source.tags,
        node: None,
    });
    let units = manifest.unit_tests.values().map(|test| Item {
        id: &test.unique_id,
        kind: ResourceType::UnitTest,
        name: &test.name,
        package: &test.package_name,
        fqn: &test.fqn,
        path: &test.original_file_path,
        tags: &test.tags,
        node: None,
    });
    nodes.chain(sources).chain(units)
}

/// A name, or the beginning of an fqn with or without the project: `staging`, `shop.staging.a`.
/// Sources are found by `source:` only, as in dbt.
fn by_name(value: &str, item: &Item<'_>) -> bool {
    if item.kind == ResourceType::Source {
        return false;
    }
    if matches(value, item.name) {
        return true;
    }
    let parts: Vec<&str> = value.split('.').collect();
    let prefix = |fqn: &[String]| {
        parts.len() <= fqn.len() && parts.iter().zip(fqn).all(|(want, have)| matches(want, have))
    };
    prefix(item.fqn) || item.fqn.split_first().is_some_and(|(_, inner)| prefix(inner))
}

fn by_path(value: &str, path: &Path) -> bool {
    let value = value.trim_start_matches("./").trim_end_matches('/');
    path.starts_with(value) || path.to_str().is_some_and(|path| matches(value, path))
}

fn by_source(value: &str, item: &Item<'_>) -> bool {
    let source = item.fqn.len().checked_sub(2).and_then(|at| item.fqn.get(at));
    let source = source.map_or("", String::as_str);
    match value.split('.').collect::<Vec<_>>().as_slice() {
        [one] => matches(one, source),
        [one, table] => matches(one, source) && matches(table, item.name),
        [package, one, table] => {
            matches(package, item.package) && matches(one, source) && matches(table, item.name)
        }
        _ => false,
    }
}

fn by_test_type(value: &str, item: &Item<'_>) -> bool {
    let is_data = item.kind == ResourceType::Test;
    let is_singular = item.node.is_some_and(Node::is_singular_test);
    match value {
        "unit" => item.kind == ResourceType::UnitTest,
        "data" => is_data,
        "singular" => is_data && is_singular,
        _ => is_data && !is_singular,
    }
}

fn by_config(criterion: &Criterion, item: &Item<'_>) -> bool {
    let Some(node) = item.node else { return false };
    let Ok(config) = serde_json::to_value(&node.config) else { return false };
    let path = criterion.detail.as_deref().unwrap_or_default().split('.');
    let mut value = Some(&config);
    for key in path {
        value = value.and_then(|value| value.get(key));
    }
    let same = |value: &Json| match value {
        Json::String(text) => matches(&criterion.value, text),
        Json::Null => false,
        Json::Object(map) => map.contains_key(&criterion.value),
        Json::Bool(flag) => {
            criterion.value.eq_ignore_ascii_case(if *flag { "true" } else { "false" })
        }
        other => matches(&criterion.value, &other.to_string()),
    };
    match value {
        Some(Json::Array(items)) => items.iter().any(same),
        Some(value) => same(value),
        None => false,
    }
}

/// Refuses words that can never match.
fn check_value(criterion: &Criterion) -> Result<()> {
    let known: &[&str] = match criterion.method.as_str() {
        "resource_type" => &["model", "seed", "test", "unit_test", "source"],
        "test_type" => &["generic", "singular", "unit", "data"],
        "config" if criterion.detail.is_none() => {
            let detail = "write `config.<key>:<value>`".into();
            return Err(Fault::SelectorSyntax { spec: criterion.text.clone(), detail }.into());
        }
        _ => return Ok(()),
    };
    known_word(criterion, known)
}

/// Refuses a value that is none of the words.
pub(super) fn known_word(criterion: &Criterion, known: &[&str]) -> Result<()> {
    if known.contains(&criterion.value.as_str()) {
        return Ok(());
    }
    let nearest = crate::error::nearest(&criterion.value, known.iter().copied());
    let known = known.iter().map(|one| (*one).to_owned()).collect();
    let name = format!("{}:{}", criterion.method, criterion.value);
    Err(Fault::UnknownName { what: "selector", name, nearest, known }.into())
}
