//! Who sent a Measurement Protocol request: ids, user properties, device and place.

use std::borrow::Cow;

use super::device::Device;
use super::event::{Geo, UserProperty};
use super::json::{Json, Object};
use super::limits::Limits;
use super::outcome::{Oddities, Refusal};
use super::params::{self, Value, cut};
use super::{Reason, clock};

/// `client_id`, or an app's `app_instance_id`.
pub(super) fn client_id<'a>(
    object: &'a Object<'_>,
    limits: &Limits,
) -> Result<Cow<'a, str>, Refusal> {
    let given = object.get("client_id").or_else(|| object.get("app_instance_id"));
    match id(given, "client_id", limits)? {
        Some(id) => Ok(id),
        None => Err(Refusal::new(Reason::MissingClientId, "`client_id` is missing or empty")),
    }
}

pub(super) fn user_id<'a>(
    object: &'a Object<'_>,
    limits: &Limits,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    id(object.get("user_id"), "user_id", limits)
}

/// An id is text; whole numbers are taken for it, others have lost digits already.
fn id<'a>(
    given: Option<&'a Json<'_>>,
    name: &str,
    limits: &Limits,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let id: Cow<'_, str> = match given {
        None => return Ok(None),
        Some(Json::Text(id)) => Cow::Borrowed(id.trim()),
        Some(Json::Int(id)) => Cow::Owned(id.to_string()),
        Some(other) => {
            let detail = format!("`{name}` is {}, not a string", other.kind());
            return Err(Refusal::new(Reason::BadType, detail));
        }
    };
    if id.chars().count() > limits.id_chars {
        let detail = format!("`{name}` is longer than {} characters", limits.id_chars);
        return Err(Refusal::new(Reason::IdTooLong, detail));
    }
    Ok((!id.is_empty()).then_some(id))
}

pub(super) fn user_properties<'a>(
    object: &'a Object<'_>,
    is_strict: bool,
    limits: &Limits,
    oddities: &mut Oddities,
) -> Result<Vec<UserProperty<'a>>, Refusal> {
    let Some(Json::Object(given)) = object.get("user_properties") else { return Ok(Vec::new()) };
    if is_strict && given.0.len() > limits.user_properties {
        let most = limits.user_properties;
        let detail = format!("{} user properties, {most} allowed", given.0.len());
        return Err(Refusal::new(Reason::TooManyUserProperties, detail));
    }
    let mut properties = Vec::new();
    for (name, json) in &given.0 {
        let (json, set_at) = match json {
            Json::Object(inner) => {
                let set_at = inner.get("timestamp_micros").map(clock::micros);
                (inner.get("value").unwrap_or(&Json::Null), set_at.and_then(Result::ok))
            }
            bare => (bare, None),
        };
        let problem = params::property_problem(name, limits);
        if let (true, Some(problem)) = (is_strict, &problem) {
            let detail = format!("user property `{}` {problem}", params::head(name));
            return Err(Refusal::new(Reason::ParamNameInvalid, detail));
        }
        let value = Value::of_json(json).filter(|_| problem.is_none());
        let Some(value) = value.filter(|_| properties.len() < limits.user_properties) else {
            oddities.dropped_params += 1;
            continue;
        };
        let value = value.cut(limits.user_property_value_chars, oddities);
        properties.push(UserProperty { name: Cow::Borrowed(name), value, set_at });
    }
    Ok(properties)
}

pub(super) fn device<'a>(object: &'a Object<'_>) -> Device<'a> {
    let Some(Json::Object(given)) = object.get("device") else { return Device::default() };
    let text = |key: &str| given.text(key).map(Cow::Borrowed);
    Device {
        category: text("category"),
        brand: text("brand"),
        model: text("model"),
        operating_system: text("operating_system"),
        operating_system_version: text("operating_system_version"),
        language: text("language"),
        browser: text("browser"),
        browser_version: text("browser_version"),
        hostname: None,
    }
}

/// `ANDROID` or `IOS`, as far as the device says.
pub(super) fn app_platform(device: &Device<'_>) -> Option<&'static str> {
    match device.operating_system.as_deref()?.to_ascii_lowercase().as_str() {
        "android" => Some("ANDROID"),
        "ios" | "ipados" => Some("IOS"),
        _ => None,
    }
}

/// The visitor's place in the codes that the sender uses (ISO 3166, UN M49).
pub(super) fn geo<'a>(object: &'a Object<'_>, limits: &Limits, oddities: &mut Oddities) -> Geo<'a> {
    let Some(Json::Object(given)) = object.get("user_location") else { return Geo::default() };
    let mut text = |key: &str| {
        let text = given.text(key).filter(|text| !text.is_empty())?;
        Some(cut(Cow::Borrowed(text), limits.param_value_chars, oddities))
    };
    Geo {
        city: text("city"),
        country: text("country_id"),
        continent: text("continent_id"),
        region: text("region_id"),
        sub_continent: text("subcontinent_id"),
    }
}
