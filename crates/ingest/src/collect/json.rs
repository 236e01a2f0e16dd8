//! A bounded JSON tree: depth, equal keys and NUL are judged while reading.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Reason;
use super::outcome::Refusal;

/// Deepest nesting of objects and arrays. The export's own rows are 6 deep.
const DEPTH_MAX: usize = 16;

/// Objects with fewer keys are searched for equal ones by comparing all.
const FEW_KEYS: usize = 24;

/// A JSON value; strings without escapes are borrowed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A whole number above `i64::MAX`, a fraction or an exponent; always finite.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// Keys and values in the order of the text, no key twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Object<'a>(pub(super) Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Object<'a> {
    /// The value of a key; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Json<'a>> {
        let found = self.0.iter().find(|(name, _)| name == key)?;
        Some(&found.1).filter(|value| !matches!(value, Json::Null))
    }

    /// The string of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Json<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(value) => crate::ndjson::write_int(*value, out),
            Self::Float(value) => crate::ndjson::write_float(*value, out),
            Self::Text(text) => crate::ndjson::write_text(text, out),
            Self::List(values) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    value.write(out);
                }
                out.push(b']');
            }
            Self::Object(object) => {
                out.push(b'{');
                for (index, (key, value)) in object.0.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    crate::ndjson::write_text(key, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Reads one JSON text that is an object.
pub(super) fn object(bytes: &[u8]) -> Result<Object<'_>, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new(Reason::BadUtf8, format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut verdict = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = Tree { depth: 0, verdict: &mut verdict };
    let value = tree.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match (value, verdict) {
        (Ok(Json::Object(object)), _) => Ok(object),
        (Ok(other), _) => {
            let detail = format!("expected an object, found {}", other.kind());
            Err(Refusal::new(Reason::BadJson, detail))
        }
        (Err(error), verdict) => {
            let reason = verdict.unwrap_or(Reason::BadJson);
            Err(Refusal::new(reason, crate::ndjson::json_reason(&error)))
        }
    }
}

/// Reads a value at some depth; `verdict` says why when the reason is not the syntax.
struct Tree<'v> {
    depth: usize,
    verdict: &'v mut Option<Reason>,
}

impl Tree<'_> {
    fn deeper<E: Error>(&mut self) -> Result<usize, E> {
        if self.depth == DEPTH_MAX {
            *self.verdict = Some(Reason::TooDeep);
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(self.depth + 1)
    }

    fn checked<E: Error>(self, text: &str) -> Result<(), E> {
        if memchr::memchr(0, text.as_bytes()).is_some() {
            *self.verdict = Some(Reason::NulCharacter);
            return Err(E::custom("a string holds U+0000"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Json<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        if value.is_finite() {
            return Ok(Json::Float(value));
        }
        Err(E::custom("number out of range"))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Json<'de>, E> {
        self.checked(value)?;
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json<'de>, E> {
        self.checked(value)?;
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(Tree { depth, verdict: self.verdict })? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Json<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut members: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let Some(key) = map.next_key_seed(Key(self.verdict))? else { break };
            let is_new = if members.len() < FEW_KEYS {
                members.iter().all(|(name, _)| *name != key)
            } else {
                if seen.is_empty() {
                    seen.extend(members.iter().map(|(name, _)| name.clone()));
                }
                seen.insert(key.clone())
            };
            if !is_new {
                *self.verdict = Some(Reason::DuplicateKey);
                let key: String = key.chars().take(40).collect();
                return Err(A::Error::custom(format!("key `{key}` comes twice")));
            }
            let value = map.next_value_seed(Tree { depth, verdict: self.verdict })?;
            members.push((key, value));
        }
        Ok(Json::Object(Object(members)))
    }
}

/// Reads a key, borrowed where it has no escapes.
struct Key<'v>(&'v mut Option<Reason>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        Tree { depth: 0, verdict: self.0 }.checked(key)?;
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Tree { depth: 0, verdict: self.0 }.checked(key)?;
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &[u8]) -> Reason {
        object(text).unwrap_err().reason
    }

    #[test]
    fn bad_texts_have_their_reasons() {
        assert_eq!(reason(b"{"), Reason::BadJson);
        assert_eq!(reason(b"{}x"), Reason::BadJson);
        assert_eq!(reason(b"[]"), Reason::BadJson);
        assert_eq!(reason(b"{\"a\":NaN}"), Reason::BadJson);
        assert_eq!(reason(b"{\"a\":1e999}"), Reason::BadJson);
        assert_eq!(reason(b"{\"a\":\"\\ud800\"}"), Reason::BadJson);
        assert_eq!(reason(b"{\"a\":\"\xff\"}"), Reason::BadUtf8);
        assert_eq!(reason(b"{\"a\":\"\\u0000\"}"), Reason::NulCharacter);
        assert_eq!(reason(b"{\"\\u0000\":1}"), Reason::NulCharacter);
        assert_eq!(reason(b"{\"a\":1,\"\\u0061\":2}"), Reason::DuplicateKey);
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(deep(15).as_bytes()).is_ok());
        assert_eq!(reason(deep(16).as_bytes()), Reason::TooDeep);
        assert_eq!(reason(deep(100_000).as_bytes()), Reason::TooDeep);
    }

    #[test]
    fn many_keys_are_searched_for_equal_ones_too() {
        let members: Vec<String> = (0..100).map(|number| format!("\"k{number}\":1")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(object(text.as_bytes()).unwrap().0.len(), 100);
        let text = format!("{{{},\"k3\":1}}", members.join(","));
        assert_eq!(reason(text.as_bytes()), Reason::DuplicateKey);
        let text = format!("{{{},\"k99\":1}}", members.join(","));
        assert_eq!(reason(text.as_bytes()), Reason::DuplicateKey);
    }

    #[test]
    fn writes_what_it_read() {
        let text = r#"{"a":[1,-2,2.5,"x\"\u003c",null,true,false,{}],"b":{"c":[]}}"#;
        let object = object(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        Json::Object(object).write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}
