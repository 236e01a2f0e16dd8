//! The Measurement Protocol: a JSON request of up to 25 events.

use std::borrow::Cow;

use super::campaign::{PARAM_KEYS, Traffic};
use super::commerce::{Commerce, Item};
use super::event::{Event, Geo};
use super::form::{self, Form};
use super::json::{self, Json, Object};
use super::limits::Limits;
use super::outcome::{Accepted, Oddities, Parsed, Receipt, Refusal};
use super::params::{self, Value, cut};
use super::{EVENT_ID_PARAM, Reason, clock, visitor};

/// Reads a request to `/mp/collect`.
///
/// The sender's times are kept whatever their age; those in the future beyond
/// [`Limits::future_micros`] are refused. With `validation_behavior: ENFORCE_RECOMMENDATIONS` what
/// is otherwise repaired and counted (stale times, names, lengths) is refused.
pub fn measurement_protocol(
    query: &str,
    body: &[u8],
    receipt: &Receipt,
    limits: &Limits,
) -> Parsed {
    let mut parsed = Parsed::of_body(body);
    let (query, object) = match read(query, body, receipt, limits, &mut parsed.oddities) {
        Ok(read) => read,
        Err(refusal) => return Parsed::malformed(refusal, body),
    };
    let Some(events) = events(&object) else {
        let refusal = Refusal::new(Reason::NoEvents, "`events` is missing, empty or no array");
        return Parsed::malformed(refusal, body);
    };
    parsed.received = events.len();
    let request = Request::of(&query, &object, receipt, limits, &mut parsed.oddities);
    for (index, event) in events.iter().enumerate() {
        let outcome = if index < limits.events {
            request
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|request| request.accept(event, index, &mut parsed.oddities))
        } else {
            Err(too_many(limits))
        };
        match outcome {
            Ok(accepted) => parsed.accepted.push(accepted),
            Err(refusal) => parsed.reject(index, refusal, || alone(&object, event)),
        }
    }
    parsed
}

/// Reads the request as a whole.
pub(super) fn read<'a>(
    query: &'a str,
    body: &'a [u8],
    receipt: &Receipt,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Result<(Form<'a>, Object<'a>), Refusal> {
    receipt.check(limits)?;
    if body.len() > limits.body_bytes || query.len() > limits.query_bytes {
        let detail = format!("the body has {} bytes, {} allowed", body.len(), limits.body_bytes);
        return Err(Refusal::new(Reason::BodyTooLarge, detail));
    }
    Ok((form::pairs(query, &mut oddities.repeated_keys)?, json::object(body)?))
}

/// The events of a request, at least one. One that stands there without its list is taken as a list of one: a
/// published client sends it so.
pub(super) fn events<'a, 'j>(object: &'a Object<'j>) -> Option<&'a [Json<'j>]> {
    match object.get("events")? {
        Json::List(events) if !events.is_empty() => Some(events),
        event @ Json::Object(_) => Some(std::slice::from_ref(event)),
        _ => None,
    }
}

/// True when the sender asks for strict validation.
pub(super) fn is_strict(object: &Object<'_>) -> bool {
    object.text("validation_behavior") == Some("ENFORCE_RECOMMENDATIONS")
}

pub(super) fn too_many(limits: &Limits) -> Refusal {
    let detail = format!("more than {} events in one request", limits.events);
    Refusal::new(Reason::TooManyEvents, detail)
}

/// The request with one of its events only.
fn alone(object: &Object<'_>, event: &Json<'_>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (key, value) in object.0.iter().filter(|(key, _)| key != "events") {
        crate::ndjson::write_text(key, &mut out);
        out.push(b':');
        value.write(&mut out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"events\":[");
    event.write(&mut out);
    out.extend_from_slice(b"]}");
    out
}

/// What all events of a request share.
struct Request<'a> {
    receipt: &'a Receipt,
    limits: &'a Limits,
    is_strict: bool,
    /// The request's time, when it gives one.
    timestamp: Option<Result<i64, Refusal>>,
    shared: Event<'a>,
}

impl<'a> Request<'a> {
    fn of(
        query: &Form<'a>,
        object: &'a Object<'_>,
        receipt: &'a Receipt,
        limits: &'a Limits,
        oddities: &mut Oddities,
    ) -> Result<Self, Refusal> {
        let is_strict = is_strict(object);
        let app_id = query.get("firebase_app_id").map(|id| Cow::Owned(id.to_owned()));
        let mut device = visitor::device(object);
        device.bound(limits, oddities);
        let is_app = app_id.is_some() || object.get("app_instance_id").is_some();
        let shared = Event {
            user_pseudo_id: Some(visitor::client_id(object, limits)?),
            user_id: visitor::user_id(object, limits)?,
            user_properties: visitor::user_properties(object, is_strict, limits, oddities)?,
            geo: if receipt.trusted {
                visitor::geo(object, limits, oddities)
            } else {
                Geo::default()
            },
            platform: if is_app { visitor::app_platform(&device) } else { Some("WEB") },
            firebase_app_id: app_id.map(|id| cut(id, limits.param_value_chars, oddities)),
            device,
            ..Event::default()
        };
        let timestamp = object.get("timestamp_micros").map(clock::micros);
        Ok(Self { receipt, limits, is_strict, timestamp, shared })
    }

    fn accept(
        &self,
        json: &Json<'_>,
        index: usize,
        oddities: &mut Oddities,
    ) -> Result<Accepted, Refusal> {
        let Json::Object(object) = json else {
            let detail = format!("expected an event object, found {}", json.kind());
            return Err(Refusal::new(Reason::BadType, detail));
        };
        let name = self.name(object)?;
        // Oddities of a refused event are not counted: it is told about as refused.
        let mut odd = *oddities;
        let (timestamp, server_offset) = self.time(object, &mut odd)?;
        // Shared values are borrowed from the request where they can be, so a clone is cheap.
        let mut event: Event<'_> = self.shared.clone();
        event.timestamp = timestamp;
        event.server_offset = server_offset;
        event.name = Cow::Borrowed(name);
        event.batch_event_index = i64::try_from(index + 1).ok();
        let items = self.params(object, &mut event, &mut odd)?;
        self.traffic(object, &mut event, &mut odd);
        let event_id = self.event_id(object, &event, index)?;
        if let Some(id) = &event_id {
            event.set_event_id(id);
        }
        event.commerce = Commerce::of(name, &event.params, items);
        *oddities = odd;
        Ok(Accepted { line: event.row(self.receipt), index, event_id, derived: false })
    }

    fn name<'e>(&self, object: &'e Object<'_>) -> Result<&'e str, Refusal> {
        let name = match object.get("name") {
            Some(Json::Text(name)) if !name.is_empty() => name,
            Some(Json::Text(_)) | None => {
                return Err(Refusal::new(Reason::MissingEventName, "the event has no name"));
            }
            Some(other) => {
                let detail = format!("the event name is {}, not a string", other.kind());
                return Err(Refusal::new(Reason::BadType, detail));
            }
        };
        if let Some(problem) = params::name_problem(name, self.limits.event_name_chars) {
            let detail = format!("event name `{}` {problem}", params::head(name));
            return Err(Refusal::new(Reason::NameInvalid, detail));
        }
        if params::is_reserved_event(name) {
            let detail = format!("event name `{name}` is reserved");
            return Err(Refusal::new(Reason::NameReserved, detail));
        }
        Ok(name)
    }

    /// The time of an event, and its distance to receipt when the sender gave it.
    fn time(
        &self,
        object: &Object<'_>,
        oddities: &mut Oddities,
    ) -> Result<(i64, Option<i64>), Refusal> {
        let received_at = self.receipt.received_at;
        let own = object.get("timestamp_micros").map(clock::micros);
        let given = own.or_else(|| self.timestamp.clone()).transpose()?;
        let timestamp = given.unwrap_or(received_at);
        clock::judge(timestamp, received_at, self.limits)?;
        if clock::is_stale(timestamp, received_at, self.limits) {
            if self.is_strict {
                let hours = received_at.saturating_sub(timestamp) / 3_600_000_000;
                let detail = format!("the event is {hours} h old");
                return Err(Refusal::new(Reason::StaleTs, detail));
            }
            oddities.old_events += 1;
        }
        Ok((timestamp, given.map(|given| received_at.saturating_sub(given))))
    }

    /// Adds the params of an event and returns its items.
    fn params<'e>(
        &self,
        object: &'e Object<'_>,
        event: &mut Event<'e>,
        oddities: &mut Oddities,
    ) -> Result<Vec<Item<'e>>, Refusal> {
        let given = match object.get("params") {
            None => return Ok(Vec::new()),
            Some(Json::Object(given)) => given,
            Some(other) => {
                let detail = format!("`params` is {}, not an object", other.kind());
                return Err(Refusal::new(Reason::BadType, detail));
            }
        };
        let most = self.limits.params;
        let count = given.0.iter().filter(|(name, _)| name != "items").count();
        if count > most {
            let detail = format!("{count} params, {most} allowed");
            return Err(Refusal::new(Reason::TooManyParams, detail));
        }
        let mut items = Vec::new();
        for (name, json) in &given.0 {
            if name == "items" {
                items = self.items(json, oddities);
            } else if let Some((name, value)) = self.param(name, json, oddities)? {
                event.add(name, value);
            }
        }
        Ok(items)
    }

    fn param<'e>(
        &self,
        name: &'e str,
        json: &'e Json<'_>,
        oddities: &mut Oddities,
    ) -> Result<Option<(&'e str, Value<'e>)>, Refusal> {
        let Some(value) = Value::of_json(json) else {
            oddities.dropped_params += u64::from(!matches!(json, Json::Null));
            return Ok(None);
        };
        let is_known = name == EVENT_ID_PARAM;
        if let Some(problem) = params::param_problem(name, self.limits).filter(|_| !is_known) {
            if self.is_strict {
                let detail = format!("param `{}` {problem}", params::head(name));
                return Err(Refusal::new(Reason::ParamNameInvalid, detail));
            }
            oddities.dropped_params += 1;
            return Ok(None);
        }
        let most = self.limits.value_chars(name);
        if let (true, Value::Text(text)) = (self.is_strict, &value)
            && text.chars().count() > most
        {
            let detail = format!("param `{name}` is longer than {most} characters");
            return Err(Refusal::new(Reason::ValueTooLong, detail));
        }
        let value = value.cut(most, oddities);
        Ok(Some(match name {
            "session_id" => ("ga_session_id", Value::of_digits(value.into_text())),
            "session_number" => ("ga_session_number", Value::of_digits(value.into_text())),
            "engagement_time_msec" => (name, Value::of_digits(value.into_text())),
            "debug_mode" => (name, Value::Int(1)),
            EVENT_ID_PARAM => (EVENT_ID_PARAM, Value::Text(value.into_text())),
            _ => (name, value),
        }))
    }

    fn items<'e>(&self, json: &'e Json<'_>, oddities: &mut Oddities) -> Vec<Item<'e>> {
        let Json::List(given) = json else {
            oddities.dropped_params += 1;
            return Vec::new();
        };
        let mut items = Vec::new();
        for json in given {
            match json {
                Json::Object(object) if items.len() < self.limits.items => {
                    items.extend(Item::of_object(object, self.limits, oddities));
                }
                _ => oddities.dropped_params += 1,
            }
        }
        items
    }

    /// `campaign_details` names the campaign in its params; other events in their address.
    fn traffic<'e>(&self, object: &'e Object<'_>, event: &mut Event<'e>, oddities: &mut Oddities) {
        let Some(Json::Object(given)) = object.get("params") else { return };
        let mut traffic = given.text("page_location").map(Traffic::of_location).unwrap_or_default();
        if event.name == "campaign_details" {
            let mut manual = Traffic::default();
            for (index, key) in PARAM_KEYS.iter().enumerate() {
                let value = given.get(key).filter(|_| !key.is_empty()).and_then(Value::of_json);
                if let Some(value) = value {
                    manual.set(index, value.clone().into_text());
                    traffic.set(index, value.into_text());
                }
            }
            if manual.has_manual() {
                traffic.override_manual(manual);
            }
        }
        traffic.bound(self.limits, oddities);
        event.traffic = traffic;
    }

    /// The event's own id, or that of its param, or that of the idempotency key.
    fn event_id(
        &self,
        object: &Object<'_>,
        event: &Event<'_>,
        index: usize,
    ) -> Result<Option<String>, Refusal> {
        let own = match object.get("event_id") {
            None => None,
            Some(Json::Text(id)) => Some(id.to_string()),
            Some(Json::Int(id)) => Some(id.to_string()),
            Some(other) => {
                let detail = format!("`event_id` is {}, not a string", other.kind());
                return Err(Refusal::new(Reason::EventIdInvalid, detail));
            }
        };
        let param = event.params.iter().find(|(key, _)| key == EVENT_ID_PARAM);
        let param = param.map(|(_, value)| value.clone().into_text().into_owned());
        let Some(id) = own.or(param) else { return Ok(self.receipt.event_id(index)) };
        match params::event_id_problem(&id, self.limits) {
            Some(problem) => Err(Refusal::new(Reason::EventIdInvalid, problem)),
            None => Ok(Some(id)),
        }
    }
}
