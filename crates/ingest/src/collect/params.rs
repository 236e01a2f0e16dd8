//! Names and values of params, as GA4 bounds them.

use std::borrow::Cow;

use super::json::Json;
use super::limits::Limits;
use super::object::Members;
use super::outcome::Oddities;
use crate::ndjson::{write_bare_text, write_float, write_int};

/// Largest whole number that a 64-bit float gives exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Event names that only GA4 itself may give.
const RESERVED_EVENTS: &[&str] = &[
    "ad_activeview",
    "ad_click",
    "ad_exposure",
    "ad_impression",
    "ad_query",
    "adunit_exposure",
    "app_background",
    "app_clear_data",
    "app_exception",
    "app_install",
    "app_remove",
    "app_store_refund",
    "app_store_subscription_cancel",
    "app_store_subscription_convert",
    "app_store_subscription_renew",
    "app_update",
    "error",
    "first_open",
    "first_visit",
    "in_app_purchase",
    "notification_dismiss",
    "notification_foreground",
    "notification_open",
    "notification_receive",
    "os_update",
    "screen_view",
    "session_start",
    "user_engagement",
];

/// User property names that only GA4 itself may give.
const RESERVED_PROPERTIES: &[&str] = &[
    "first_open_time",
    "first_visit_time",
    "last_deep_link_referrer",
    "user_id",
    "first_open_after_install",
];

/// Beginnings of names that are GA4's own.
const RESERVED_PREFIXES: &[&str] = &["_", "firebase_", "ga_", "google_", "gtag."];

/// A value of a param: the variants that the export has.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Int(i64),
    /// Always finite.
    Float(f64),
}

/// A param with its name.
pub(super) type Param<'a> = (Cow<'a, str>, Value<'a>);

impl<'a> Value<'a> {
    /// A number of JSON or JavaScript: whole ones are `int_value` in the export.
    pub(super) fn of_number(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let is_whole = value.fract() == 0.0 && value.abs() <= EXACT_MAX;
        Some(if is_whole { Self::Int(value as i64) } else { Self::Float(value) })
    }

    /// The number in a text, if it is one.
    pub(super) fn of_number_text(text: &str) -> Option<Self> {
        text.parse().map(Self::Int).ok().or_else(|| text.parse().ok().and_then(Self::of_number))
    }

    /// A whole number where the text is one, else the text.
    pub(super) fn of_digits(text: Cow<'a, str>) -> Self {
        text.trim().parse().map_or(Self::Text(text), Self::Int)
    }

    /// A JSON scalar; nothing for null, arrays and objects.
    pub(super) fn of_json(json: &'a Json<'_>) -> Option<Self> {
        Some(match json {
            Json::Text(text) => Self::Text(Cow::Borrowed(text)),
            Json::Int(value) => Self::Int(*value),
            Json::Float(value) => Self::of_number(*value)?,
            Json::Bool(true) => Self::Text(Cow::Borrowed("true")),
            Json::Bool(false) => Self::Text(Cow::Borrowed("false")),
            Json::Null | Json::List(_) | Json::Object(_) => return None,
        })
    }

    /// Cuts a text to `chars`.
    pub(super) fn cut(self, chars: usize, oddities: &mut Oddities) -> Self {
        match self {
            Self::Text(text) => Self::Text(cut(text, chars, oddities)),
            number => number,
        }
    }

    /// As a finite number.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Text(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
        }
    }

    /// As a text.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Int(value) => Cow::Owned(value.to_string()),
            Self::Float(value) => Cow::Owned(value.to_string()),
        }
    }

    /// Writes the export's `value` struct.
    pub(super) fn write(&self, members: &mut Members<'_>) {
        match self {
            Self::Text(text) => members.text("string_value", Some(text)),
            Self::Int(value) => members.int("int_value", Some(*value)),
            Self::Float(value) => members.float("double_value", Some(*value)),
        }
    }
}

/// Writes one event param as the log has it, see `ndjson::plain_params`; the first one of an object follows its `{`.
pub(super) fn write_plain_param(name: &str, value: Option<&Value<'_>>, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write_bare_text(name, out);
    out.push(b':');
    match value {
        None => out.extend_from_slice(b"null"),
        Some(Value::Text(text)) => write_bare_text(text, out),
        Some(Value::Int(value)) => write_int(*value, out),
        Some(Value::Float(value)) => write_float(*value, out),
    }
}

/// Writes one param of a list.
pub(super) fn write_param(members: &mut Members<'_>, param: &Param<'_>) {
    members.text("key", Some(&param.0));
    members.object("value", |value| param.1.write(value));
}

/// The text, or its first `chars` characters.
pub(super) fn cut<'a>(text: Cow<'a, str>, chars: usize, oddities: &mut Oddities) -> Cow<'a, str> {
    // As many bytes cannot be too many characters.
    if text.len() <= chars {
        return text;
    }
    let Some((end, _)) = text.char_indices().nth(chars) else { return text };
    oddities.cut_values += 1;
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// Why a name breaks GA4's rules: letters, digits and underscores, a letter first, of limited
/// length. Letters of all languages are letters.
pub(super) fn name_problem(name: &str, chars_max: usize) -> Option<String> {
    let chars = name.chars().count();
    if chars > chars_max {
        return Some(format!("is longer than {chars_max} characters"));
    }
    if !name.starts_with(char::is_alphabetic) {
        return Some("does not start with a letter".to_owned());
    }
    let is_allowed = |char: char| char.is_alphanumeric() || char == '_';
    (!name.chars().all(is_allowed))
        .then(|| "has characters other than letters, digits and underscores".to_owned())
}

/// Why the name of an event that a browser sent is not stored: gtag.js lets more pass than GA4's
/// naming rules say, and the export then has it.
pub(super) fn loose_name_problem(name: &str, chars_max: usize) -> Option<String> {
    if name.chars().count() > chars_max {
        return Some(format!("is longer than {chars_max} characters"));
    }
    name.contains(char::is_control).then(|| "has control characters".to_owned())
}

/// True for an event name that only GA4 itself may give.
pub(super) fn is_reserved_event(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name) || name.starts_with("dynamic_link_")
}

/// True for a param name that only GA4 itself may give.
pub(super) fn is_reserved_param(name: &str) -> bool {
    name == "firebase_conversion" || has_reserved_prefix(name)
}

/// True for a user property name that only GA4 itself may give.
pub(super) fn is_reserved_property(name: &str) -> bool {
    RESERVED_PROPERTIES.contains(&name) || has_reserved_prefix(name)
}

fn has_reserved_prefix(name: &str) -> bool {
    RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Why GA4 refuses a param's name.
pub(super) fn param_problem(name: &str, limits: &Limits) -> Option<String> {
    if is_reserved_param(name) {
        return Some("is reserved".to_owned());
    }
    name_problem(name, limits.param_name_chars)
}

/// Why GA4 refuses a user property's name.
pub(super) fn property_problem(name: &str, limits: &Limits) -> Option<String> {
    if is_reserved_property(name) {
        return Some("is reserved".to_owned());
    }
    name_problem(name, limits.user_property_name_chars)
}

/// Why an event id cannot be one.
pub(super) fn event_id_problem(id: &str, limits: &Limits) -> Option<String> {
    if id.trim().is_empty() {
        return Some("the event id is empty".to_owned());
    }
    let chars = id.chars().count();
    let most = limits.event_id_chars;
    (chars > most).then(|| format!("the event id has {chars} characters, {most} allowed"))
}

/// A short head of a text for messages.
pub(super) fn head(text: &str) -> String {
    const HEAD_CHARS: usize = 60;
    match text.char_indices().nth(HEAD_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
