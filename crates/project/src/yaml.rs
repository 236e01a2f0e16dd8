//! YAML with positions.
//!
//! Built on the events of `saphyr-parser`: maintained, no C, YAML 1.2, and each event carries line
//! and column, which serde-based readers lose. Scalars follow PyYAML where dbt users would notice:
//! `yes`, `no`, `on`, `off` are booleans, and `<<` merges mappings.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value as Json};

use crate::error::{Fault, Location, Result, nearest};

/// A YAML value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Yaml {
    pub(crate) data: Data,
    file: Arc<Path>,
    line: usize,
    column: usize,
}

/// What a YAML value is.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Yaml>),
    Map(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Yaml,
    line: usize,
    column: usize,
}

impl Entry {
    /// Where the key stands.
    pub(crate) fn at(&self) -> Location {
        Location::point(self.value.file.as_ref(), self.line, self.column)
    }
}

impl Yaml {
    /// Parses the first document of a file; an empty file is null.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self> {
        let mut builder = Builder {
            events: Parser::new_from_str(text),
            file: Arc::from(file),
            anchors: HashMap::new(),
        };
        builder.document()
    }

    /// Where the value stands.
    pub(crate) fn at(&self) -> Location {
        Location::point(self.file.as_ref(), self.line, self.column)
    }

    /// Line, counted from 1.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// The value of a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Yaml> {
        match &self.data {
            Data::Map(entries) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
            }
            _ => None,
        }
        .filter(|value| !value.is_null())
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// Without positions.
    pub(crate) fn to_json(&self) -> Json {
        match &self.data {
            Data::Null => Json::Null,
            Data::Bool(value) => Json::Bool(*value),
            Data::Number(value) => Json::Number(value.clone()),
            Data::String(value) => Json::String(value.clone()),
            Data::List(items) => items.iter().map(Yaml::to_json).collect(),
            Data::Map(entries) => Json::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    /// Any scalar as text.
    pub(crate) fn text(&self, key: &str) -> Result<String> {
        match &self.data {
            Data::String(value) => Ok(value.clone()),
            Data::Number(value) => Ok(value.to_string()),
            Data::Bool(value) => Ok(value.to_string()),
            _ => Err(self.wrong(key, "text")),
        }
    }

    /// A boolean.
    pub(crate) fn boolean(&self, key: &str) -> Result<bool> {
        match self.data {
            Data::Bool(value) => Ok(value),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    /// A list; null is the empty list.
    pub(crate) fn list(&self, key: &str) -> Result<&[Yaml]> {
        match &self.data {
            Data::List(items) => Ok(items),
            Data::Null => Ok(&[]),
            _ => Err(self.wrong(key, "a list")),
        }
    }

    /// A mapping; null is the empty mapping.
    pub(crate) fn map(&self, key: &str) -> Result<&[Entry]> {
        match &self.data {
            Data::Map(entries) => Ok(entries),
            Data::Null => Ok(&[]),
            _ => Err(self.wrong(key, "a mapping")),
        }
    }

    /// A mapping without positions.
    pub(crate) fn object(&self, key: &str) -> Result<Map<String, Json>> {
        let entries = self.map(key)?;
        Ok(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
    }

    /// One text or a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>> {
        match &self.data {
            Data::Null => Ok(Vec::new()),
            Data::List(items) => items.iter().map(|item| item.text(key)).collect(),
            _ => Ok(vec![self.text(key)?]),
        }
    }

    /// The text of an optional key.
    pub(crate) fn opt_text(&self, key: &str) -> Result<Option<String>> {
        self.get(key).map(|value| value.text(key)).transpose()
    }

    /// The text of a key that must be there.
    pub(crate) fn need_text(&self, key: &str, place: &str) -> Result<String> {
        self.opt_text(key)?
            .ok_or_else(|| Fault::MissingKey { key: key.into(), place: place.into() }.at(self.at()))
    }

    /// Refuses keys that are not listed.
    pub(crate) fn only_keys(&self, place: &str, known: &[&[&str]]) -> Result<()> {
        for entry in self.map(place)? {
            if !known.iter().any(|list| list.contains(&entry.key.as_str())) {
                let names = known.iter().flat_map(|list| list.iter().copied());
                let nearest = nearest(&entry.key, names);
                let fault =
                    Fault::UnknownKey { key: entry.key.clone(), place: place.into(), nearest };
                return Err(fault.at(entry.at()));
            }
        }
        Ok(())
    }

    /// An error: this value has the wrong type.
    pub(crate) fn wrong(&self, key: &str, expected: &str) -> crate::ProjectError {
        let found = match &self.data {
            Data::Null => "nothing".into(),
            Data::Bool(value) => format!("`{value}`"),
            Data::Number(value) => format!("`{value}`"),
            Data::String(value) => format!("`{value}`"),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a mapping".into(),
        };
        Fault::BadValue { key: key.into(), expected: expected.into(), found }.at(self.at())
    }
}

struct Builder<'text> {
    events: Parser<'text, saphyr_parser::StrInput<'text>>,
    file: Arc<Path>,
    anchors: HashMap<usize, Yaml>,
}

impl<'text> Builder<'text> {
    fn next(&mut self) -> Result<(Event<'text>, Span)> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                let at = Location::point(self.file.as_ref(), line, column);
                Err(Fault::Yaml { detail: error.info().to_owned() }.at(at))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Yaml> {
        loop {
            match self.next()? {
                (Event::StreamEnd, span) => return Ok(self.make(Data::Null, &span)),
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (event, span) => return self.value(event, &span),
            }
        }
    }

    fn make(&self, data: Data, span: &Span) -> Yaml {
        let (line, column) = (span.start.line().max(1), span.start.col() + 1);
        Yaml { data, file: self.file.clone(), line, column }
    }

    fn value(&mut self, event: Event<'text>, span: &Span) -> Result<Yaml> {
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let data = if plain { scalar(&text) } else { Data::String(text.into_owned()) };
                (anchor, self.make(data, span))
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.value(event, &at)?),
                    }
                }
                (anchor, self.make(Data::List(items), span))
            }
            Event::MappingStart(anchor, _) => {
                let entries = self.entries()?;
                (anchor, self.make(Data::Map(entries), span))
            }
            Event::Alias(anchor) => {
                let mut node = self.anchors.get(&anchor).cloned().unwrap_or_else(|| {
                    // The parser refuses unknown aliases; a recursive one ends up here.
                    self.make(Data::Null, span)
                });
                (node.line, node.column) = (span.start.line(), span.start.col() + 1);
                return Ok(node);
            }
            other => {
                let fault = Fault::Yaml { detail: format!("unexpected {other:?}") };
                return Err(fault.at(self.make(Data::Null, span).at()));
            }
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                other => self.value(other, &span)?.text("key")?,
            };
            let (event, at) = self.next()?;
            let value = self.value(event, &at)?;
            let (line, column) = (span.start.line(), span.start.col() + 1);
            if key == "<<" {
                merged.push(value);
                continue;
            }
            let entry = Entry { key, value, line, column };
            if let Some(first) = entries.iter().find(|first| first.key == entry.key) {
                let name = entry.key.clone();
                let fault = Fault::Duplicate { what: "key", name, first: first.at() };
                return Err(fault.at(entry.at()));
            }
            entries.push(entry);
        }
        for source in merged {
            let sources = match source.data {
                Data::List(items) => items,
                _ => vec![source],
            };
            for entry in sources.iter().filter_map(|one| one.map("<<").ok()).flatten() {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry.clone());
                }
            }
        }
        Ok(entries)
    }
}

/// A plain scalar, read as PyYAML would (dates stay text).
fn scalar(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return Data::Bool(true);
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Data::Bool(false);
        }
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Data::String(text.to_owned());
    }
    let octal = digits.len() > 1 && digits.starts_with('0') && !digits.contains('.');
    if !octal && let Ok(value) = text.strip_prefix('+').unwrap_or(text).parse::<i64>() {
        return Data::Number(value.into());
    }
    // PyYAML takes a float only with a point; `1e3` is text there.
    if text.contains('.')
        && let Some(value) = text.parse::<f64>().ok().and_then(Number::from_f64)
    {
        return Data::Number(value);
    }
    Data::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Yaml> {
        Yaml::parse(Path::new("f.yml"), text)
    }

    #[test]
    fn scalars_follow_pyyaml() {
        let yaml = parse("a: yes\nb: '1'\nc: 1\nd: 1.5\ne: ~\nf: 2024-01-01\ng: 1.2.3\nh: 007\n");
        assert_eq!(
            yaml.unwrap().to_json().to_string(),
            r#"{"a":true,"b":"1","c":1,"d":1.5,"e":null,"f":"2024-01-01","g":"1.2.3","h":"007"}"#
        );
    }

    #[test]
    fn keys_know_their_place() {
        let yaml = parse("models:\n  - name: a\n    taggs: [x]\n").unwrap();
        let model = &yaml.get("models").unwrap().list("models").unwrap()[0];
        let error = model.only_keys("model", &[&["name", "tags"]]).unwrap_err();
        assert_eq!(error.to_string(), "unknown key `taggs` under model in f.yml:3:5");
        assert_eq!(error.hint().unwrap(), "did you mean `tags`?");
    }

    #[test]
    fn anchors_merge() {
        let yaml = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n").unwrap();
        assert_eq!(yaml.get("b").unwrap().to_json().to_string(), r#"{"y":3,"x":1}"#);
    }

    #[test]
    fn refuses_bad_yaml_and_duplicate_keys() {
        assert_eq!(parse("a: [1").unwrap_err().code(), "E1003");
        assert_eq!(parse("a: 1\na: 2").unwrap_err().to_string(), "duplicate key `a` in f.yml:2:1");
    }
}
