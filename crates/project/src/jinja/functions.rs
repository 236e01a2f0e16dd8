//! The functions of dbt's Jinja context.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, Value, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value as Json;

use super::objects::{Moment, Relation};
use super::scope::{Resolved, Scope};
use super::{digest, raise, raise_with_hint, unsupported};
use crate::error::{Fault, nearest};
use crate::layers;
use crate::node::RefCall;

type Answer = Result<Value, Error>;

/// Calls `name(…)`.
pub(crate) fn call(
    scope: &Arc<Scope>,
    name: &str,
    state: &State<'_, '_>,
    args: &[Value],
) -> Answer {
    match name {
        "ref" => reference(scope, args),
        "source" => source(scope, args),
        "var" => var(scope, args),
        "env_var" => env_var(scope, args),
        "config" => config(scope, args),
        "is_incremental" => Ok(Value::from(scope.execute && scope.is_incremental)),
        "should_full_refresh" => {
            Ok(Value::from(scope.full_refresh.unwrap_or(scope.globals.full_refresh)))
        }
        "return" => {
            let (value,): (Option<Value>,) = from_args(args)?;
            scope.record().returned = Some(value.unwrap_or_else(|| Value::from(())));
            Err(raise(Fault::JinjaRender { detail: "`return` outside of a macro".into() }))
        }
        "log" | "print" => {
            let text = args.first().map(super::python::display).unwrap_or_default();
            scope.record().logs.push(text);
            Ok(Value::from(""))
        }
        "doc" => doc(scope, args),
        "tojson" | "fromjson" | "toyaml" | "fromyaml" => convert(name, args),
        "zip" | "zip_strict" => zip(args),
        "set" | "set_strict" => set(args),
        "local_md5" => {
            let (text,): (String,) = from_args(args)?;
            Ok(Value::from(digest(text.as_bytes())))
        }
        "get_where_subquery" => get_where_subquery(scope, args),
        "render" => {
            let (text,): (String,) = from_args(args)?;
            let context = Value::from_dyn_object(scope.clone());
            Ok(Value::from(state.env().render_str(&text, context)?))
        }
        _ => Err(unsupported(format!("`{name}`"))),
    }
}

/// `name.attribute` without a call.
pub(crate) fn attribute(scope: &Arc<Scope>, name: &str, attribute: &str) -> Option<Value> {
    match (name, attribute) {
        ("modules", "datetime") | ("builtins", _) => {
            minijinja::value::Object::get_value(scope, &Value::from(attribute)).or_else(|| {
                let scope = scope.clone();
                Some(Value::from_object(super::objects::Func { scope, name: "datetime".into() }))
            })
        }
        ("datetime", "datetime" | "date") => {
            let scope = scope.clone();
            Some(Value::from_object(super::objects::Func { scope, name: "datetime".into() }))
        }
        ("config", key) => scope.config.get(key).map(Value::from_serialize),
        ("dbt", _) => scope.globals.find_macro(attribute).map(|def| scope.macro_value(def)),
        (own, _) if own == scope.globals.project => {
            scope.globals.macros.get(attribute).map(|def| scope.macro_value(def))
        }
        _ => None,
    }
}

/// Calls `name.method(…)`.
pub(crate) fn method(
    scope: &Arc<Scope>,
    name: &str,
    method: &str,
    state: &State<'_, '_>,
    args: &[Value],
) -> Answer {
    match (name, method) {
        ("adapter", "dispatch") => dispatch(scope, args),
        ("adapter", "type") => {
            Ok(Value::from(scope.globals.adapter.map_or("clicktrail", |one| one.as_str())))
        }
        ("adapter", "quote") => {
            let (text,): (String,) = from_args(args)?;
            let mark = if scope.globals.adapter == Some(crate::profile::Adapter::Bigquery) {
                '`'
            } else {
                '"'
            };
            Ok(Value::from(format!("{mark}{text}{mark}")))
        }
        ("exceptions", "raise_compiler_error") => {
            let message = args.first().map(super::python::display).unwrap_or_default();
            Err(raise(Fault::Raised { message }))
        }
        ("exceptions", "warn") => {
            let message = args.first().map(super::python::display).unwrap_or_default();
            scope.record().warnings.push(message);
            Ok(Value::from(""))
        }
        ("config", "get" | "require" | "meta_get" | "meta_require") => {
            config_get(scope, method, args)
        }
        ("config", "persist_relation_docs" | "persist_column_docs") => Ok(Value::from(false)),
        ("datetime", "now" | "utcnow" | "today") => {
            Ok(Value::from_object(Moment(scope.globals.run_started_at.clone())))
        }
        ("builtins", _) => call(scope, method, state, args),
        _ => match attribute(scope, name, method) {
            Some(found) => found.call(state, args),
            None if name == scope.globals.project => Err(unknown_macro(scope, method)),
            None => Err(unsupported(format!("`{name}.{method}`"))),
        },
    }
}

fn unknown_macro(scope: &Scope, name: &str) -> Error {
    let nearest = nearest(name, scope.globals.macros.keys().map(String::as_str));
    raise(Fault::UnknownName { what: "macro", name: name.into(), nearest, known: Vec::new() })
}

fn dispatch(scope: &Arc<Scope>, args: &[Value]) -> Answer {
    let (name, _package, _kwargs): (String, Option<Value>, Kwargs) = from_args(args)?;
    match scope.globals.dispatch(&name) {
        Some(def) => Ok(scope.macro_value(def)),
        None => {
            let adapter = scope.globals.adapter.map_or("default", |one| one.as_str());
            Err(raise_with_hint(
                Fault::UnknownName {
                    what: "macro",
                    name: name.clone(),
                    nearest: None,
                    known: Vec::new(),
                },
                format!("write a macro `{adapter}__{name}` or `default__{name}`"),
            ))
        }
    }
}

fn reference(scope: &Scope, args: &[Value]) -> Answer {
    let (names, kwargs): (Rest<String>, Kwargs) = from_args(args)?;
    if kwargs.has("v") || kwargs.has("version") {
        return Err(unsupported("`ref` with a version".into()));
    }
    kwargs.assert_all_used()?;
    let call = match names.0.as_slice() {
        [name] => RefCall { name: name.clone(), package: None },
        [package, name] => RefCall { name: name.clone(), package: Some(package.clone()) },
        _ => return Err(Error::new(ErrorKind::MissingArgument, "`ref` takes one or two names")),
    };
    let name = call.name.clone();
    let resolved = resolve(scope, scope.refs.get(&name), &name)?;
    let mut record = scope.record();
    if !record.refs.contains(&call) {
        record.refs.push(call);
    }
    if let Some(found) = resolved.filter(|found| found.ephemeral)
        && !record.ctes.contains(&found.unique_id)
    {
        record.ctes.push(found.unique_id.clone());
    }
    let placeholder = || Relation { sql: name.clone(), identifier: name.clone(), ..placeholder() };
    let relation = resolved.map_or_else(placeholder, |found| found.relation.clone());
    Ok(Value::from_object(relation))
}

fn source(scope: &Scope, args: &[Value]) -> Answer {
    let (source, table): (String, String) = from_args(args)?;
    let key = (source, table);
    let name = format!("{}.{}", key.0, key.1);
    let resolved = resolve(scope, scope.sources.get(&key), &name)?;
    let relation = resolved.map_or_else(
        || Relation { sql: name.clone(), identifier: key.1.clone(), ..placeholder() },
        |found| found.relation.clone(),
    );
    let mut record = scope.record();
    if !record.sources.contains(&key) {
        record.sources.push(key);
    }
    Ok(Value::from_object(relation))
}

fn placeholder() -> Relation {
    Relation::default()
}

/// While parsing anything goes; later only what parsing has seen.
fn resolve<'a>(
    scope: &Scope,
    found: Option<&'a Resolved>,
    name: &str,
) -> Result<Option<&'a Resolved>, Error> {
    if scope.execute && found.is_none() {
        let fault = Fault::JinjaRender {
            detail: format!("`{name}` was not seen while parsing, so it may not be built yet"),
        };
        let hint = "it stands behind a condition; add a line `-- depends_on: {{ ref('…') }}`";
        return Err(raise_with_hint(fault, hint.into()));
    }
    Ok(found)
}

fn var(scope: &Scope, args: &[Value]) -> Answer {
    let (name, default, _kwargs): (String, Option<Value>, Kwargs) = from_args(args)?;
    let default = default.or_else(|| _kwargs.get::<Value>("default").ok());
    let value = scope.overrides.vars.get(&name).or_else(|| scope.globals.vars.get(&name));
    match (value, default) {
        (Some(value), _) => Ok(Value::from_serialize(value)),
        (None, Some(default)) => Ok(default),
        (None, None) => {
            let nearest = nearest(&name, scope.globals.vars.keys().map(String::as_str));
            Err(raise(Fault::MissingVar { name, nearest }))
        }
    }
}

fn env_var(scope: &Scope, args: &[Value]) -> Answer {
    let (name, default): (String, Option<String>) = from_args(args)?;
    let value = scope.overrides.env_vars.get(&name).or_else(|| scope.globals.env.get(&name));
    value.cloned().or(default).map(Value::from).ok_or_else(|| raise(Fault::MissingEnv { name }))
}

fn config(scope: &Scope, args: &[Value]) -> Answer {
    let (positional, kwargs): (Option<Value>, Kwargs) = from_args(args)?;
    let mut pairs = Vec::new();
    if let Some(dict) = positional {
        for key in dict.try_iter()? {
            let value = dict.get_item(&key)?;
            pairs.push((key.to_string(), value));
        }
    }
    for key in kwargs.args() {
        pairs.push((key.to_owned(), kwargs.get::<Value>(key)?));
    }
    for (key, value) in pairs {
        let json = serde_json::to_value(&value).unwrap_or(Json::Null);
        let key = layers::canonical(&key);
        layers::check(&key, &json, "`config()`").map_err(raise)?;
        scope.record().config.push((key, json));
    }
    Ok(Value::from(""))
}

fn config_get(scope: &Scope, method: &str, args: &[Value]) -> Answer {
    let (key, default, _kwargs): (String, Option<Value>, Kwargs) = from_args(args)?;
    let default = default.or_else(|| _kwargs.get::<Value>("default").ok());
    let from_meta = method.starts_with("meta");
    let written =
        scope.record().config.iter().rev().find(|one| one.0 == key).map(|one| one.1.clone());
    let value = if from_meta {
        scope.config.get("meta").and_then(|meta| meta.get(&key)).cloned()
    } else {
        written.or_else(|| scope.config.get(&key).cloned()).filter(|value| !value.is_null())
    };
    match value {
        Some(value) => Ok(Value::from_serialize(&value)),
        None if method.ends_with("require") && scope.execute => {
            let place = "the model's configuration".into();
            Err(raise(Fault::MissingKey { key, place }))
        }
        None => Ok(default.unwrap_or_else(|| Value::from(()))),
    }
}

fn doc(scope: &Scope, args: &[Value]) -> Answer {
    let (names,): (Rest<String>,) = from_args(args)?;
    let name = names.0.last().cloned().unwrap_or_default();
    match scope.globals.docs.get(&name) {
        Some(text) => Ok(Value::from(text.trim())),
        None => {
            let nearest = nearest(&name, scope.globals.docs.keys().map(String::as_str));
            let known = Vec::new();
            Err(raise(Fault::UnknownName { what: "docs block", name, nearest, known }))
        }
    }
}

fn convert(name: &str, args: &[Value]) -> Answer {
    let (value, default, _kwargs): (Value, Option<Value>, Kwargs) = from_args(args)?;
    let _ = (_kwargs.get::<Value>("sort_keys"), _kwargs.get::<Value>("default"));
    let text = value.as_str().unwrap_or_default();
    let result = match name {
        "tojson" | "toyaml" => serde_json::to_string(&value).ok().map(|text| {
            // Python writes a space after comma and colon outside of strings.
            Value::from(spaced(&text))
        }),
        "fromjson" => serde_json::from_str::<Json>(text).ok().map(Value::from_serialize),
        _ => crate::yaml::Yaml::parse(std::path::Path::new("text"), text)
            .ok()
            .map(|yaml| Value::from_serialize(yaml.to_json())),
    };
    result.or(default).ok_or_else(|| {
        raise(Fault::JinjaRender { detail: format!("`{name}` cannot read its argument") })
    })
}

fn spaced(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    let (mut quoted, mut escaped) = (false, false);
    for c in json.chars() {
        out.push(c);
        if !quoted && matches!(c, ',' | ':') {
            out.push(' ');
        }
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    out
}

fn zip(args: &[Value]) -> Answer {
    let lists = args
        .iter()
        .map(|list| list.try_iter().map(Iterator::collect::<Vec<_>>))
        .collect::<Result<Vec<_>, _>>()?;
    let length = lists.iter().map(Vec::len).min().unwrap_or(0);
    let row = |index: usize| lists.iter().map(|list| list[index].clone()).collect::<Value>();
    Ok((0..length).map(row).collect())
}

fn set(args: &[Value]) -> Answer {
    let mut seen: Vec<Value> = Vec::new();
    for item in args.first().map(Value::try_iter).transpose()?.into_iter().flatten() {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    Ok(seen.into_iter().collect())
}

fn get_where_subquery(scope: &Scope, args: &[Value]) -> Answer {
    let (relation,): (Value,) = from_args(args)?;
    let condition = scope.config.get("where").and_then(Json::as_str);
    Ok(match condition {
        Some(text) => Value::from(format!("(select * from {relation} where {text}) dbt_subquery")),
        None => relation,
    })
}
