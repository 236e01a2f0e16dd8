//! `--vars`: a mapping in YAML, of which JSON is a part.
//!
//! Words are read as in `dbt_project.yml`: `yes`, `no`, `on`, `off` are booleans, a number needs a
//! digit first, a float a point. Anchors and merges have no use on a command line.

use anyhow::Result;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Number, Value};

use crate::failure::Usage;

/// Deeper text is an accident, and would cost stack.
const DEPTH_MAX: usize = 64;

/// The mapping; empty text is the empty mapping.
///
/// # Errors
/// Text that is no YAML, or no mapping.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>> {
    let value = Reader { events: Parser::new_from_str(text) }.document().map_err(|detail| {
        wrong(format!("--vars is not valid YAML: {}", detail.lines().next().unwrap_or_default()))
    })?;
    match value {
        Value::Object(vars) => Ok(vars),
        Value::Null => Ok(Map::new()),
        other => Err(wrong(format!("--vars must be a YAML or JSON mapping, not `{other}`")).into()),
    }
}

fn wrong(message: String) -> Usage {
    Usage::new(message)
        .hint("write it like --vars '{ga4_export: \"export/*.parquet\", lookback_days: 30}'")
}

struct Reader<'text> {
    events: Parser<'text, StrInput<'text>>,
}

impl<'text> Reader<'text> {
    fn next(&mut self) -> Result<Event<'text>, String> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(error.to_string()),
            None => Ok(Event::StreamEnd),
        }
    }

    fn document(&mut self) -> Result<Value, String> {
        let value = loop {
            match self.next()? {
                Event::StreamEnd => return Ok(Value::Null),
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                event => break self.value(event, 0)?,
            }
        };
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(value),
                Event::DocumentEnd => {}
                _ => return Err("text after its end".into()),
            }
        }
    }

    fn value(&mut self, event: Event<'text>, depth: usize) -> Result<Value, String> {
        if depth > DEPTH_MAX {
            return Err(format!("nested deeper than {DEPTH_MAX}"));
        }
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => Ok(scalar(&text)),
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => return Ok(Value::Array(items)),
                        event => items.push(self.value(event, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut map = Map::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => return Ok(Value::Object(map)),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err("a key must be one word".into()),
                    };
                    let event = self.next()?;
                    let value = self.value(event, depth + 1)?;
                    if map.insert(key.clone(), value).is_some() {
                        return Err(format!("`{key}` comes twice"));
                    }
                }
            }
            Event::Alias(_) => Err("aliases are not supported here".into()),
            other => Err(format!("unexpected {other:?}")),
        }
    }
}

/// A plain word, as PyYAML reads it; dates stay text.
fn scalar(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => return Value::Null,
        "true" | "yes" | "on" => return Value::Bool(true),
        "false" | "no" | "off" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.contains('.');
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || leading_zero {
        return Value::String(text.to_owned());
    }
    let number = text.strip_prefix('+').unwrap_or(text);
    if let Ok(whole) = number.parse::<i64>() {
        return whole.into();
    }
    let float = text.contains('.').then(|| number.parse().ok().and_then(Number::from_f64));
    float.flatten().map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(text: &str) -> Value {
        Value::Object(parse(text).unwrap())
    }

    #[test]
    fn both_languages() {
        let json =
            json!({"export": "a/*.parquet", "n": 30, "events": ["x", "y"], "o": {"p": null}});
        let yaml = "{export: \"a/*.parquet\", n: 30, events: [x, y], o: {p: ~}}";
        assert_eq!(object(yaml), json);
        assert_eq!(object(&json.to_string()), json);
        assert_eq!(object("a: 1\nb: yes\n"), json!({"a": 1, "b": true}));
        assert_eq!(object(" "), json!({}));
    }

    #[test]
    fn words_and_numbers() {
        assert_eq!(
            object("{a: 1.5, b: '1', c: 007, d: 2024-01-01, e: -3, f: Off, g: 1e3, h: a b}"),
            json!({"a": 1.5, "b": "1", "c": "007", "d": "2024-01-01", "e": -3, "f": false,
                "g": "1e3", "h": "a b"})
        );
    }

    #[test]
    fn what_is_no_mapping() {
        let deep = format!("a: {}", "[".repeat(500));
        for wrong in ["[1]", "ga4_export", "{a: ", "3", "{a: 1, a: 2}", "a: *b", deep.as_str()] {
            let error = parse(wrong).unwrap_err();
            assert!(error.downcast_ref::<Usage>().is_some(), "{wrong}: {error:?}");
        }
    }
}
