//! Params of export-shaped rows: a list as the export has it, or an object of plain values.

use std::borrow::Cow;

use arrow::datatypes::{DataType, FieldRef};

use super::EVENT_ID_PARAM;
use super::json::{Json, Object};
use super::object::Members;
use super::outcome::{Oddities, Refusal};
use super::params::{self, Value, write_plain_param};
use super::rows::{number, whole, write_value, wrong_type};
use crate::schema;

/// Leaves of a param's value.
const LEAVES: [&str; 4] = ["string_value", "int_value", "float_value", "double_value"];

/// The id that a row carries as a param, in either form of params.
pub(super) fn param_id(object: &Object<'_>) -> Option<String> {
    let value = match object.get("event_params")? {
        Json::Object(params) => params.get(EVENT_ID_PARAM)?,
        Json::List(params) => params.iter().find_map(|param| match param {
            Json::Object(param) if param.text("key") == Some(EVENT_ID_PARAM) => param.get("value"),
            _ => None,
        })?,
        _ => return None,
    };
    match value {
        Json::Object(value) => value.text("string_value").map(str::to_owned),
        Json::Text(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Writes `event_params` with the event id as the last one: as an object of plain values where they all are plain, which is
/// written and read in half the time, else as [`write_params`] does.
pub(super) fn write_event_params(
    row: &mut Members<'_>,
    column: &FieldRef,
    value: Option<&Json<'_>>,
    event_id: Option<&str>,
    oddities: &mut Oddities,
) -> Result<(), Refusal> {
    let is_plain = match value {
        None => event_id.is_some(),
        Some(Json::Object(params)) => {
            params.0.iter().all(|(_, json)| !matches!(json, Json::Object(_) | Json::List(_)))
        }
        Some(Json::List(params)) => {
            params.iter().all(|param| matches!(param, Json::Null) || plain(param).is_some())
        }
        Some(_) => false,
    };
    if !is_plain {
        return write_params(row, column, value, event_id, oddities);
    }
    let out = row.key(column.name());
    out.push(b'{');
    let mut put = |name: &str, value: Option<&Value<'_>>| {
        if event_id.is_none() || name != EVENT_ID_PARAM {
            write_plain_param(name, value, out);
        }
    };
    match value {
        Some(Json::Object(params)) => {
            for (name, json) in &params.0 {
                put(name, Value::of_json(json).as_ref());
            }
        }
        Some(Json::List(params)) => {
            for (name, value) in params.iter().filter_map(plain) {
                put(name, Some(&value));
            }
        }
        _ => {}
    }
    if let Some(id) = event_id {
        write_plain_param(EVENT_ID_PARAM, Some(&Value::Text(Cow::Borrowed(id))), out);
    }
    out.push(b'}');
    Ok(())
}

/// Name and value of a param of the export that is nothing else.
fn plain<'j>(param: &'j Json<'_>) -> Option<(&'j str, Value<'j>)> {
    let Json::Object(param) = param else { return None };
    let (name, Some(Json::Object(value))) = (param.text("key")?, param.get("value")) else {
        return None;
    };
    let is_known = |(leaf, _): &(_, _)| LEAVES.contains(&Cow::as_ref(leaf));
    let mut given = value.0.iter().filter(|(_, value)| !matches!(value, Json::Null));
    let ((leaf, value_of), None) = (given.next()?, given.next()) else { return None };
    if param.0.len() != 2 || !value.0.iter().all(is_known) {
        return None;
    }
    let value = match (leaf.as_ref(), value_of) {
        ("string_value", Json::Text(text)) => Value::Text(Cow::Borrowed(text)),
        ("int_value", json) => Value::Int(whole(json)?),
        ("double_value", json) => Value::Float(number(json)?),
        _ => return None,
    };
    Some((name, value))
}

/// Writes params as the list that the export has, from such a list or from an object of plain values, and the event id as the last
/// one.
pub(super) fn write_params(
    row: &mut Members<'_>,
    column: &FieldRef,
    value: Option<&Json<'_>>,
    event_id: Option<&str>,
    oddities: &mut Oddities,
) -> Result<(), Refusal> {
    let path = column.name().as_str();
    if value.is_none() && event_id.is_none() {
        return Ok(());
    }
    let DataType::List(element) = column.data_type() else { return Ok(()) };
    let Some(fields) = schema::children(element.data_type()) else { return Ok(()) };
    let Some((_, value_field)) = fields.find("value") else { return Ok(()) };
    let out = row.key(path);
    out.push(b'[');
    let start = out.len();
    let is_id = |name: Option<&str>| event_id.is_some() && name == Some(EVENT_ID_PARAM);
    let separate = |out: &mut Vec<u8>| {
        if out.len() > start {
            out.push(b',');
        }
    };
    match value {
        None => {}
        Some(Json::List(params)) => {
            for param in params {
                let name = if let Json::Object(param) = param { param.text("key") } else { None };
                // Lists of the export hold no null.
                if matches!(param, Json::Null) || is_id(name) {
                    continue;
                }
                separate(out);
                write_value(out, element.data_type(), param, path, oddities)?;
            }
        }
        Some(Json::Object(params)) => {
            for (name, json) in &params.0 {
                if is_id(Some(name)) {
                    continue;
                }
                separate(out);
                write_plain(out, name, json, value_field, path, oddities)?;
            }
        }
        Some(other) => return Err(wrong_type(path, "an array or an object", other)),
    }
    if let Some(id) = event_id {
        separate(out);
        Members::write(out, |param| {
            param.text("key", Some(EVENT_ID_PARAM));
            param.object("value", |value| value.text("string_value", Some(id)));
        });
    }
    out.push(b']');
    Ok(())
}

/// Writes a param given as `"name": value`; the value may also be the export's own struct.
fn write_plain(
    out: &mut Vec<u8>,
    name: &str,
    json: &Json<'_>,
    value_field: &FieldRef,
    path: &str,
    oddities: &mut Oddities,
) -> Result<(), Refusal> {
    // Only named when something is wrong with it, or it is a struct: nearly all are plain.
    let path = || format!("{path}.{}", params::head(name));
    let mut outcome = Ok(());
    Members::write(out, |param| {
        param.text("key", Some(name));
        match json {
            Json::Object(_) => {
                let value_type = value_field.data_type();
                outcome = write_value(param.key("value"), value_type, json, &path(), oddities);
            }
            Json::List(_) => outcome = Err(wrong_type(&path(), "a plain value", json)),
            _ => {
                let out = param.key("value");
                Members::write(out, |value| {
                    if let Some(plain) = Value::of_json(json) {
                        plain.write(value);
                    }
                });
            }
        }
    });
    outcome
}
