//! What is wrong with a Measurement Protocol request, in the shape of `/debug/mp/collect`.

use super::json::{Json, Object};
use super::limits::Limits;
use super::measurement::{self, events, is_strict};
use super::outcome::{Oddities, Receipt, Refusal};
use super::params::{self, Value};
use super::visitor::{client_id, user_id};
use super::{Reason, clock};

/// Google's codes of what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ValidationCode {
    /// The value has the wrong type or form, or lies outside of what is accepted.
    ValueInvalid,
    /// Something required is missing.
    ValueRequired,
    /// A name breaks the naming rules.
    NameInvalid,
    /// A name that only GA4 itself may give.
    NameReserved,
    /// A number or length beyond its limit.
    ValueOutOfBounds,
    /// More entities than allowed.
    ExceededMaxEntities,
    /// A name that comes twice.
    NameDuplicated,
}

/// One thing wrong; serialises as Google writes it (`fieldPath`, `description`, `validationCode`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidationMessage {
    /// Where: a path such as `events[0].params.value`; empty for the request as a whole.
    pub field_path: String,
    /// What, in words.
    pub description: String,
    /// Google's code.
    pub validation_code: ValidationCode,
}

/// Messages of one request at most: enough to repair it, however bad it is.
const MESSAGES_MAX: usize = 100;

/// Judges a request to `/mp/collect` without accepting anything; empty when all is fine.
///
/// It tells of everything that [`super::measurement_protocol`] refuses, and also of what that
/// repairs: values that it cuts, params that it leaves out, times of more than 72 hours ago.
pub fn validate_measurement_protocol(
    query: &str,
    body: &[u8],
    receipt: &Receipt,
    limits: &Limits,
) -> Vec<ValidationMessage> {
    let mut judge = Judge { receipt, limits, messages: Vec::new() };
    match measurement::read(query, body, receipt, limits, &mut Oddities::default()) {
        Ok((_, object)) => judge.request(&object),
        Err(refusal) => judge.refusal("", &refusal),
    }
    judge.messages
}

struct Judge<'a> {
    receipt: &'a Receipt,
    limits: &'a Limits,
    messages: Vec<ValidationMessage>,
}

impl Judge<'_> {
    fn say(&mut self, code: ValidationCode, path: &str, description: impl Into<String>) {
        if self.messages.len() < MESSAGES_MAX {
            self.messages.push(ValidationMessage {
                field_path: path.to_owned(),
                description: description.into(),
                validation_code: code,
            });
        }
    }

    fn refusal(&mut self, path: &str, refusal: &Refusal) {
        self.say(code(refusal.reason), path, refusal.detail.clone());
    }

    fn request(&mut self, object: &Object<'_>) {
        use ValidationCode::{ExceededMaxEntities, ValueInvalid, ValueRequired};
        if let Err(refusal) = client_id(object, self.limits) {
            self.refusal("client_id", &refusal);
        }
        if let Err(refusal) = user_id(object, self.limits) {
            self.refusal("user_id", &refusal);
        }
        let behavior = object.get("validation_behavior");
        let is_known = matches!(behavior, None | Some(Json::Text(_)))
            && (is_strict(object)
                || matches!(object.text("validation_behavior"), None | Some("RELAXED")));
        if !is_known {
            let description = "must be RELAXED or ENFORCE_RECOMMENDATIONS";
            self.say(ValueInvalid, "validation_behavior", description);
        }
        self.time("timestamp_micros", object.get("timestamp_micros"));
        self.consent(object);
        self.user_properties(object);
        let Some(events) = events(object) else {
            self.say(ValueRequired, "events", "at least one event is required");
            return;
        };
        if events.len() > self.limits.events {
            let description = format!("{} events, {} allowed", events.len(), self.limits.events);
            self.say(ExceededMaxEntities, "events", description);
        }
        for (index, event) in events.iter().enumerate().take(self.limits.events) {
            self.event(&format!("events[{index}]"), event);
        }
    }

    fn time(&mut self, path: &str, given: Option<&Json<'_>>) {
        let Some(given) = given else { return };
        let received_at = self.receipt.received_at;
        let judged = clock::micros(given)
            .and_then(|micros| clock::judge(micros, received_at, self.limits).map(|()| micros));
        match judged {
            Err(refusal) => self.refusal(path, &refusal),
            Ok(micros) if clock::is_stale(micros, received_at, self.limits) => {
                let description = "the time is more than 72 hours before receipt";
                self.say(ValidationCode::ValueInvalid, path, description);
            }
            Ok(_) => {}
        }
    }

    fn consent(&mut self, object: &Object<'_>) {
        let Some(Json::Object(consent)) = object.get("consent") else { return };
        for (key, value) in &consent.0 {
            let path = format!("consent.{}", params::head(key));
            if !matches!(key.as_ref(), "ad_user_data" | "ad_personalization") {
                self.say(ValidationCode::NameInvalid, &path, "is no consent setting");
            } else if !matches!(value, Json::Text(text) if matches!(text.as_ref(), "GRANTED" | "DENIED"))
            {
                self.say(ValidationCode::ValueInvalid, &path, "must be GRANTED or DENIED");
            }
        }
    }

    fn user_properties(&mut self, object: &Object<'_>) {
        use ValidationCode::{ExceededMaxEntities, ValueInvalid, ValueRequired};
        let given = match object.get("user_properties") {
            None => return,
            Some(Json::Object(given)) => given,
            Some(_) => return self.say(ValueInvalid, "user_properties", "must be an object"),
        };
        let most = self.limits.user_properties;
        if given.0.len() > most {
            let description = format!("{} user properties, {most} allowed", given.0.len());
            self.say(ExceededMaxEntities, "user_properties", description);
        }
        for (name, json) in given.0.iter().take(most) {
            let path = format!("user_properties.{}", params::head(name));
            let is_reserved = params::is_reserved_property(name);
            self.name(&path, params::property_problem(name, self.limits), is_reserved);
            let Json::Object(inner) = json else {
                self.say(ValueInvalid, &path, "must be an object with a `value`");
                continue;
            };
            self.time(&format!("{path}.timestamp_micros"), inner.get("timestamp_micros"));
            match inner.get("value") {
                None => self.say(ValueRequired, &path, "has no `value`"),
                Some(json) => self.value(&path, json, self.limits.user_property_value_chars),
            }
        }
    }

    fn event(&mut self, path: &str, json: &Json<'_>) {
        use ValidationCode::{ExceededMaxEntities, ValueInvalid, ValueRequired};
        let Json::Object(event) = json else {
            return self.say(ValueInvalid, path, "must be an object");
        };
        let name_path = format!("{path}.name");
        match event.get("name") {
            Some(Json::Text(name)) if !name.is_empty() => {
                let is_reserved = params::is_reserved_event(name);
                let problem = params::name_problem(name, self.limits.event_name_chars)
                    .or_else(|| is_reserved.then(|| "is reserved".to_owned()));
                self.name(&name_path, problem, is_reserved);
            }
            None | Some(Json::Text(_)) => self.say(ValueRequired, &name_path, "is required"),
            Some(_) => self.say(ValueInvalid, &name_path, "must be a string"),
        }
        self.time(&format!("{path}.timestamp_micros"), event.get("timestamp_micros"));
        let id = event.get("event_id");
        let id_problem = match id {
            None | Some(Json::Int(_)) => None,
            Some(Json::Text(id)) => params::event_id_problem(id, self.limits),
            Some(_) => Some("must be a string".to_owned()),
        };
        if let Some(problem) = id_problem {
            self.say(ValueInvalid, &format!("{path}.event_id"), problem);
        }
        let given = match event.get("params") {
            None => return,
            Some(Json::Object(given)) => given,
            Some(_) => {
                return self.say(ValueInvalid, &format!("{path}.params"), "must be an object");
            }
        };
        let count = given.0.iter().filter(|(name, _)| name != "items").count();
        if count > self.limits.params {
            let description = format!("{count} params, {} allowed", self.limits.params);
            self.say(ExceededMaxEntities, &format!("{path}.params"), description);
        }
        for (name, json) in given.0.iter().take(self.limits.params + 1) {
            let path = format!("{path}.params.{}", params::head(name));
            if name == "items" {
                self.items(&path, json);
            } else {
                self.param(&path, name, json);
            }
        }
    }

    fn param(&mut self, path: &str, name: &str, json: &Json<'_>) {
        if name == super::EVENT_ID_PARAM {
            let id = Value::of_json(json).map(Value::into_text).unwrap_or_default();
            if let Some(problem) = params::event_id_problem(&id, self.limits) {
                self.say(ValidationCode::ValueInvalid, path, problem);
            }
            return;
        }
        let is_reserved = params::is_reserved_param(name);
        self.name(path, params::param_problem(name, self.limits), is_reserved);
        self.value(path, json, self.limits.value_chars(name));
        let digits = |value: &Value<'_>| {
            matches!(Value::of_digits(value.clone().into_text()), Value::Int(_))
        };
        if name == "session_id" && Value::of_json(json).is_some_and(|value| !digits(&value)) {
            self.say(ValidationCode::ValueInvalid, path, "must be digits");
        }
    }

    fn items(&mut self, path: &str, json: &Json<'_>) {
        use ValidationCode::{ExceededMaxEntities, ValueInvalid, ValueRequired};
        let Json::List(items) = json else {
            return self.say(ValueInvalid, path, "must be an array");
        };
        if items.len() > self.limits.items {
            let description = format!("{} items, {} allowed", items.len(), self.limits.items);
            self.say(ExceededMaxEntities, path, description);
        }
        for (index, item) in items.iter().enumerate().take(self.limits.items) {
            let path = format!("{path}[{index}]");
            let Json::Object(item) = item else {
                self.say(ValueInvalid, &path, "must be an object");
                continue;
            };
            if item.get("item_id").is_none() && item.get("item_name").is_none() {
                self.say(ValueRequired, &path, "one of item_id and item_name is required");
            }
            for (name, json) in &item.0 {
                let path = format!("{path}.{}", params::head(name));
                self.value(&path, json, self.limits.param_value_chars);
            }
        }
    }

    fn name(&mut self, path: &str, problem: Option<String>, is_reserved: bool) {
        let Some(problem) = problem else { return };
        let code =
            if is_reserved { ValidationCode::NameReserved } else { ValidationCode::NameInvalid };
        self.say(code, path, format!("the name {problem}"));
    }

    fn value(&mut self, path: &str, json: &Json<'_>, chars_max: usize) {
        match json {
            Json::Text(text) if text.chars().count() > chars_max => {
                let description = format!("is longer than {chars_max} characters");
                self.say(ValidationCode::ValueOutOfBounds, path, description);
            }
            Json::List(_) | Json::Object(_) => {
                self.say(ValidationCode::ValueInvalid, path, "must be a string or a number");
            }
            _ => {}
        }
    }
}

/// Google's code of a reason.
fn code(reason: Reason) -> ValidationCode {
    match reason {
        Reason::MissingClientId | Reason::NoEvents | Reason::MissingEventName => {
            ValidationCode::ValueRequired
        }
        Reason::NameInvalid | Reason::ParamNameInvalid => ValidationCode::NameInvalid,
        Reason::NameReserved => ValidationCode::NameReserved,
        Reason::DuplicateKey => ValidationCode::NameDuplicated,
        Reason::TooManyEvents | Reason::TooManyParams | Reason::TooManyUserProperties => {
            ValidationCode::ExceededMaxEntities
        }
        Reason::BodyTooLarge | Reason::IdTooLong | Reason::ValueTooLong | Reason::TooDeep => {
            ValidationCode::ValueOutOfBounds
        }
        _ => ValidationCode::ValueInvalid,
    }
}
