//! Export-shaped rows: `/v1/events`, NDJSON of any of the 31 columns.

use arrow::datatypes::{DataType, Fields};

use super::json::{self, Json, Object};
use super::limits::Limits;
use super::object::Members;
use super::outcome::{Accepted, Oddities, Parsed, Receipt, Refusal};
use super::params::{self, Value};
use super::row_params::{param_id, write_event_params, write_params};
use super::{Reason, clock};
use crate::{ndjson, schema};

/// Largest whole number that a 64-bit float gives exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Keys of a row beside the columns.
const EVENT_ID: &str = "event_id";

/// Reads a request to `/v1/events`: one row of the export a line, everything in it kept.
///
/// For convenience `event_params` and `user_properties` may also be objects of plain values,
/// `event_timestamp` may be absent (then it is the time of receipt) and `event_id` names the event.
/// `event_date` always follows from `event_timestamp` in the property's zone, and a row without
/// `stream_id` gets that of the receipt.
pub fn rows(body: &[u8], receipt: &Receipt, limits: &Limits) -> Parsed {
    if let Err(refusal) = receipt.check(limits) {
        return Parsed::malformed(refusal, body);
    }
    if body.len() > limits.rows_bytes {
        let detail = format!("the body has {} bytes, {} allowed", body.len(), limits.rows_bytes);
        return Parsed::malformed(Refusal::new(Reason::BodyTooLarge, detail), body);
    }
    let mut parsed = Parsed::of_body(body);
    let schema = schema::events();
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let lines = ndjson::lines_of(body).map(|line| line.trim_ascii());
    // Rows of a request are alike: the longest so far is a good guess at the next one.
    let mut longest = 0;
    for (index, line) in lines.filter(|line| !line.is_empty()).enumerate() {
        parsed.received += 1;
        // Oddities of a refused row are not counted: it is told about as refused.
        let mut oddities = parsed.oddities;
        let row = Row { receipt, limits, columns: schema.fields(), index, longest };
        match row.accept(line, &mut oddities) {
            Ok(accepted) => {
                longest = longest.max(accepted.line.len());
                parsed.oddities = oddities;
                parsed.accepted.push(accepted);
            }
            Err(refusal) => parsed.reject(index, refusal, || {
                line[..line.len().min(super::REJECTED_RAW_BYTES)].to_vec()
            }),
        }
    }
    if parsed.received == 0 {
        return Parsed::malformed(Refusal::new(Reason::NoEvents, "the body has no rows"), body);
    }
    parsed
}

struct Row<'a> {
    receipt: &'a Receipt,
    limits: &'a Limits,
    columns: &'a Fields,
    index: usize,
    /// Bytes of the longest row written before.
    longest: usize,
}

impl Row<'_> {
    fn accept(&self, line: &[u8], oddities: &mut Oddities) -> Result<Accepted, Refusal> {
        if self.index >= self.limits.rows {
            let detail = format!("more than {} rows in one request", self.limits.rows);
            return Err(Refusal::new(Reason::TooManyEvents, detail));
        }
        if line.len() > self.limits.row_bytes {
            let detail = format!("{} bytes, {} allowed", line.len(), self.limits.row_bytes);
            return Err(Refusal::new(Reason::RowTooLarge, detail));
        }
        let object = json::object(line)?;
        self.check_name(&object)?;
        let timestamp = match object.get("event_timestamp") {
            Some(json) => clock::micros(json)?,
            None => self.receipt.received_at,
        };
        let received_at = self.receipt.received_at;
        clock::judge(timestamp, received_at, self.limits)?;
        oddities.old_events += u64::from(clock::is_stale(timestamp, received_at, self.limits));
        let event_id = self.event_id(&object)?;
        let line = self.write(line.len(), &object, timestamp, event_id.as_deref(), oddities)?;
        Ok(Accepted { line, index: self.index, event_id, derived: false })
    }

    fn check_name(&self, object: &Object<'_>) -> Result<(), Refusal> {
        let name = match object.get("event_name") {
            Some(Json::Text(name)) if !name.trim().is_empty() => name,
            None | Some(Json::Text(_)) => {
                return Err(Refusal::new(Reason::MissingEventName, "`event_name` is missing"));
            }
            Some(other) => return Err(wrong_type("event_name", "a string", other)),
        };
        match params::loose_name_problem(name, self.limits.event_name_chars) {
            None => Ok(()),
            Some(problem) => {
                let detail = format!("event name `{}` {problem}", params::head(name));
                Err(Refusal::new(Reason::NameInvalid, detail))
            }
        }
    }

    /// The id in the row's field, else in its param, else that of the idempotency key.
    fn event_id(&self, object: &Object<'_>) -> Result<Option<String>, Refusal> {
        let id = match object.get(EVENT_ID) {
            None => param_id(object),
            Some(Json::Text(id)) => Some(id.to_string()),
            Some(Json::Int(id)) => Some(id.to_string()),
            Some(other) => return Err(wrong_type(EVENT_ID, "a string", other)),
        };
        let Some(id) = id else { return Ok(self.receipt.event_id(self.index)) };
        match params::event_id_problem(&id, self.limits) {
            None => Ok(Some(id)),
            Some(problem) => Err(Refusal::new(Reason::EventIdInvalid, problem)),
        }
    }

    fn write(
        &self,
        bytes: usize,
        object: &Object<'_>,
        timestamp: i64,
        event_id: Option<&str>,
        oddities: &mut Oddities,
    ) -> Result<Vec<u8>, Refusal> {
        let is_known = |key: &str| key == EVENT_ID || self.columns.find(key).is_some();
        let unknown = object.0.iter().filter(|(key, _)| !is_known(key)).count();
        oddities.unknown_keys += unknown as u64;
        let day = clock::day(timestamp, self.receipt.time_zone).unwrap_or_default();
        let given = object.text("event_date");
        oddities.corrected_dates += u64::from(given.is_some_and(|given| given != day));
        // A row without a time shares it with its neighbours: its position tells them apart.
        let has_time = object.get("event_timestamp").is_some();
        let position = i64::try_from(self.index + 1).ok().filter(|_| !has_time);
        let mut out = Vec::with_capacity(self.longest.max(bytes + bytes / 4) + 64);
        let mut outcome = Ok(());
        Members::write(&mut out, |row| {
            for column in self.columns {
                let name = column.name().as_str();
                let value = object.get(name);
                let written = match (name, value) {
                    ("event_date", _) => {
                        row.text(name, Some(&day));
                        Ok(())
                    }
                    ("event_timestamp", _) => {
                        row.int(name, Some(timestamp));
                        Ok(())
                    }
                    ("event_params", value) => {
                        write_event_params(row, column, value, event_id, oddities)
                    }
                    ("user_properties", Some(Json::Object(_))) => {
                        write_params(row, column, value, None, oddities)
                    }
                    ("stream_id", None) => {
                        row.text(name, self.receipt.stream_id.as_deref());
                        Ok(())
                    }
                    ("batch_event_index", None) => {
                        row.int(name, position);
                        Ok(())
                    }
                    (_, None) => Ok(()),
                    (name, Some(value)) => {
                        write_value(row.key(name), column.data_type(), value, name, oddities)
                    }
                };
                if written.is_err() {
                    outcome = written;
                    return;
                }
            }
        });
        outcome.map(|()| out)
    }
}

/// Writes a value in the form of its column, so that it decodes for certain.
pub(super) fn write_value(
    out: &mut Vec<u8>,
    data_type: &DataType,
    json: &Json<'_>,
    path: &str,
    oddities: &mut Oddities,
) -> Result<(), Refusal> {
    match (data_type, json) {
        (_, Json::Null) => out.extend_from_slice(b"null"),
        (DataType::Int64, _) => {
            let value = whole(json).ok_or_else(|| wrong_type(path, "a whole number", json))?;
            out.push(b'"');
            ndjson::write_int(value, out);
            out.push(b'"');
        }
        (DataType::Float64, _) => {
            let value = number(json).ok_or_else(|| wrong_type(path, "a finite number", json))?;
            ndjson::write_float(value, out);
        }
        (DataType::Boolean, Json::Bool(_)) => json.write(out),
        (DataType::Boolean, Json::Text(text)) if matches!(text.as_ref(), "true" | "false") => {
            out.extend_from_slice(text.as_bytes());
        }
        (DataType::Struct(fields), Json::Object(object)) => {
            write_struct(out, fields, object, path, oddities)?;
        }
        (DataType::List(element), Json::List(values)) => {
            out.push(b'[');
            let start = out.len();
            for value in values.iter().filter(|value| !matches!(value, Json::Null)) {
                if out.len() > start {
                    out.push(b',');
                }
                write_value(out, element.data_type(), value, path, oddities)?;
            }
            out.push(b']');
        }
        (DataType::Utf8View, Json::Text(text)) => ndjson::write_bare_text(text, out),
        (DataType::Utf8View, Json::Int(_) | Json::Float(_) | Json::Bool(_)) => {
            let text = Value::of_json(json).map(Value::into_text).unwrap_or_default();
            ndjson::write_bare_text(&text, out);
        }
        (DataType::Boolean, _) => return Err(wrong_type(path, "true or false", json)),
        (DataType::Struct(_), _) => return Err(wrong_type(path, "an object", json)),
        (DataType::List(_), _) => return Err(wrong_type(path, "an array", json)),
        _ => return Err(wrong_type(path, "a string", json)),
    }
    Ok(())
}

fn write_struct(
    out: &mut Vec<u8>,
    fields: &Fields,
    object: &Object<'_>,
    path: &str,
    oddities: &mut Oddities,
) -> Result<(), Refusal> {
    let mut known = 0;
    let mut outcome = Ok(());
    Members::write(out, |members| {
        for field in fields {
            let Some((_, value)) = object.0.iter().find(|(key, _)| key == field.name()) else {
                continue;
            };
            known += 1;
            if outcome.is_ok() && !matches!(value, Json::Null) {
                let out = members.key(field.name());
                outcome = write_value(out, field.data_type(), value, path, oddities)
                    .map_err(|refusal| within(field.name(), path, refusal));
            }
        }
    });
    oddities.unknown_keys += (object.0.len() - known) as u64;
    outcome
}

/// Names the leaf in a refusal that names its parent.
fn within(leaf: &str, path: &str, refusal: Refusal) -> Refusal {
    let Some(rest) = refusal.detail.strip_prefix(&format!("`{path}`")) else {
        let rest = refusal.detail.strip_prefix(&format!("`{path}.")).unwrap_or(&refusal.detail);
        return Refusal::new(refusal.reason, format!("`{path}.{leaf}.{rest}"));
    };
    Refusal::new(refusal.reason, format!("`{path}.{leaf}`{rest}"))
}

pub(super) fn whole(json: &Json<'_>) -> Option<i64> {
    match json {
        Json::Int(value) => Some(*value),
        Json::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            Some(*value as i64)
        }
        Json::Text(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn number(json: &Json<'_>) -> Option<f64> {
    match json {
        Json::Int(value) => Some(*value as f64),
        Json::Float(value) => Some(*value),
        Json::Text(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

pub(super) fn wrong_type(path: &str, expected: &str, found: &Json<'_>) -> Refusal {
    let value = match found {
        Json::Text(text) => format!("\"{}\"", params::head(text)),
        other => other.kind().to_owned(),
    };
    Refusal::new(Reason::BadType, format!("`{path}` is {value}, expected {expected}"))
}
