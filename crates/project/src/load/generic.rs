//! Generic data tests: their names as dbt makes them, their SQL.

use std::sync::Arc;

use minijinja::value::{Kwargs, Value};
use serde_json::{Map, Value as Json};

use crate::error::Result;
use crate::jinja::scope::{MacroDef, Scope};
use crate::jinja::{Engine, digest, repr};
use crate::node::TestMetadata;

/// From this length on, dbt shortens a test's name.
const NAME_MAX: usize = 64;

/// The short name (alias, at most 63 characters) and the full name of a test.
///
/// `test` is the name with its prefixes (`not_null`, `source_not_null`), `target` the model's name
/// or `source_table`.
pub(crate) fn names(test: &str, target: &str, kwargs: &Map<String, Json>) -> (String, String) {
    let mut keys: Vec<&String> = kwargs.keys().filter(|key| *key != "model").collect();
    keys.sort();
    let mut parts = Vec::new();
    for key in keys {
        match &kwargs[key] {
            Json::Array(items) => parts.extend(items.iter().map(python_text)),
            Json::Object(map) => parts.extend(map.values().map(python_text)),
            other => parts.push(python_text(other)),
        }
    }
    let parts: Vec<String> = parts.iter().map(|part| clean(part)).collect();
    let identifier = format!("{test}_{target}");
    let full = format!("{identifier}_{}", parts.join("__"));
    if full.chars().count() < NAME_MAX {
        return (full.clone(), full);
    }
    let start: String = identifier.chars().take(30).collect();
    (format!("{start}_{}", digest(full.as_bytes())), full)
}

/// Runs of characters other than letters, digits and `_` become one `_`.
fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
            gap = false;
        } else if !gap {
            out.push('_');
            gap = true;
        }
    }
    out
}

/// Python's `str()`.
fn python_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => repr(&Value::from_serialize(other)),
    }
}

/// The ten hex digits at the end of a test's unique id.
pub(crate) fn hash(name: &str, metadata: &TestMetadata) -> String {
    let namespace = metadata.namespace.as_deref().unwrap_or("None");
    let parts = serde_json::json!({
        "kwargs": hashable(&Json::Object(metadata.kwargs.clone())),
        "name": metadata.name,
        "namespace": namespace,
    });
    let text = format!("{name}{}", repr(&Value::from_serialize(parts)));
    let hex = digest(text.as_bytes());
    hex[hex.len() - 10..].to_owned()
}

/// Sorted keys, scalars as text: what dbt hashes.
fn hashable(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| (key.clone(), hashable(&map[key]))).collect()
        }
        Json::Array(items) => items.iter().map(hashable).collect(),
        other => Json::String(python_text(other)),
    }
}

/// The names of a macro's parameters.
pub(crate) fn parameters(def: &MacroDef) -> Vec<String> {
    let tag = def.text.split("%}").next().unwrap_or_default();
    let Some((_, list)) = tag.split_once('(') else { return Vec::new() };
    let (mut depth, mut quote, mut current, mut found) = (0i32, None, String::new(), Vec::new());
    for c in list.chars() {
        match quote {
            Some(mark) => {
                if c == mark {
                    quote = None;
                }
                continue;
            }
            None => match c {
                '\'' | '"' => quote = Some(c),
                '(' | '[' | '{' => depth += 1,
                ')' if depth == 0 => break,
                ')' | ']' | '}' => depth -= 1,
                ',' if depth == 0 => found.push(std::mem::take(&mut current)),
                _ => current.push(c),
            },
        }
    }
    found.push(current);
    let name = |one: &String| one.split('=').next().unwrap_or_default().trim().to_owned();
    found.iter().map(name).filter(|one| !one.is_empty()).collect()
}

/// The SQL of a generic test, by calling its macro with its arguments.
pub(crate) fn render(engine: &Engine, scope: &Arc<Scope>, test: &TestMetadata) -> Result<String> {
    let mut arguments = Vec::new();
    for (key, value) in &test.kwargs {
        arguments.push((key.clone(), argument(engine, scope, key, value)?));
    }
    let name = format!("test_{}", test.name);
    let Some(def) = scope.globals.find_macro(&name).cloned() else {
        let fault = crate::error::Fault::Internal { detail: format!("no macro `{name}`") };
        return Err(fault.into());
    };
    let sql = engine.call(&def, Kwargs::from_iter(arguments).into(), scope)?;
    Ok(sql.trim().to_owned())
}

fn argument(engine: &Engine, scope: &Arc<Scope>, key: &str, value: &Json) -> Result<Value> {
    match value {
        Json::String(text) if key != "column_name" && is_call(text) => {
            engine.eval(text.trim(), scope)
        }
        Json::String(text) => engine.render_yaml(text, scope),
        other => Ok(Value::from_serialize(other)),
    }
}

/// `ref('x')` and friends may stand without braces, as in dbt.
fn is_call(text: &str) -> bool {
    let text = text.trim();
    text.ends_with(')')
        && ["env_var", "ref", "var", "source", "doc"].iter().any(|name| {
            text.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('('))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(name: &str, kwargs: Json) -> TestMetadata {
        let kwargs = kwargs.as_object().cloned().unwrap();
        TestMetadata { name: name.into(), namespace: None, kwargs }
    }

    fn id(test: &str, model: &str, kwargs: Json) -> String {
        let metadata = metadata(test, kwargs);
        let (_, full) = names(test, model, &metadata.kwargs);
        format!("{full}.{}", hash(&full, &metadata))
    }

    /// Ids from the published manifest of dbt's `jaffle_shop`.
    #[test]
    fn ids_equal_those_of_dbt() {
        let model = "{{ get_where_subquery(ref('customers')) }}";
        assert_eq!(
            id("not_null", "customers", json!({"column_name": "customer_id", "model": model})),
            "not_null_customers_customer_id.5c9bf9911d"
        );
        assert_eq!(
            id("unique", "customers", json!({"column_name": "customer_id", "model": model})),
            "unique_customers_customer_id.c5af1ff4b1"
        );
        let orders = "{{ get_where_subquery(ref('orders')) }}";
        let values = ["placed", "shipped", "completed", "return_pending", "returned"];
        let kwargs = json!({"column_name": "status", "values": values, "model": orders});
        let id = id("accepted_values", "orders", kwargs);
        assert_eq!(
            id,
            "accepted_values_orders_status__placed__shipped__completed__return_pending__returned\
             .be6b5b5ec3"
        );
    }
}
