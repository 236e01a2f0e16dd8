//! Writes values as Python does, so that dbt and Clicktrail compile one file to one text:
//! `True`, `None`, `['a', 'b']`.

use std::fmt::Write;

use minijinja::value::{Value, ValueKind};

/// The text of `{{ value }}`.
pub(crate) fn display(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::None | ValueKind::Bool | ValueKind::Seq | ValueKind::Iterable => repr(value),
        _ if is_plain_map(value) => repr(value),
        _ => value.to_string(),
    }
}

fn is_plain_map(value: &Value) -> bool {
    use minijinja::value::ObjectRepr;
    value.kind() == ValueKind::Map
        && value.as_object().is_some_and(|object| {
            object.repr() == ObjectRepr::Map && !object.is::<super::objects::Relation>()
        })
}

/// Python's `repr`.
pub(crate) fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => "Undefined".into(),
        ValueKind::None => "None".into(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.into(),
        ValueKind::String => quote(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().into_iter().flatten();
            format!("[{}]", items.map(|item| repr(&item)).collect::<Vec<_>>().join(", "))
        }
        ValueKind::Map => {
            let mut out = String::from("{");
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                let item = value.get_item(&key).unwrap_or_default();
                let comma = if index > 0 { ", " } else { "" };
                let _ = write!(out, "{comma}{}: {}", repr(&key), repr(&item));
            }
            out + "}"
        }
        _ => value.to_string(),
    }
}

/// Python's quotes: single, unless the text holds a single and no double quote.
pub(crate) fn quote(text: &str) -> String {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == mark => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_like_python() {
        let value = Value::from_serialize(serde_json::json!({"a": [1, "x'y", null, true, 1.5]}));
        assert_eq!(display(&value), r#"{'a': [1, "x'y", None, True, 1.5]}"#);
        assert_eq!(display(&Value::from("plain")), "plain");
        assert_eq!(display(&Value::from(())), "None");
    }
}
