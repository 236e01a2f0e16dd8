//! JSON values straight into builders: one serde visitor per kind of column.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plain_params;
use crate::column::{Build, Column, StructBuild};

/// Whole numbers up to here are exact in a JSON number with fraction or exponent.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads one JSON object into one row of `columns`.
///
/// After an error the row is incomplete: the caller must close it.
pub(super) fn row(text: &str, columns: &mut StructBuild) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(ObjectVisitor { path: "", columns })?;
    json.end()
}

struct ObjectVisitor<'a> {
    path: &'a str,
    columns: &'a mut StructBuild,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        expecting(f, self.path, "an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let columns = self.columns;
        let rows = columns.len();
        let mut hint = 0;
        loop {
            let Some(found) = map.next_key_seed(Key { columns, hint })? else { return Ok(()) };
            match found {
                // Of two equal keys the first counts.
                Some(index) if columns.children[index].len() <= rows => {
                    hint = index + 1;
                    columns.children[index].fill_to(rows);
                    map.next_value_seed(Value(&mut columns.children[index]))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

/// Finds the column that a key names, without allocating the key.
struct Key<'a> {
    columns: &'a StructBuild,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.columns.find(name, self.hint))
    }
}

/// Reads one value into a column.
struct Value<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0.build {
            Build::Text(_) => "a string",
            Build::Int(_) => "a whole number within 64 bits",
            Build::Float(_) => "a number",
            Build::Bool(_) => "true or false",
            Build::Struct(_) => "an object",
            Build::List(_) => "an array",
        };
        expecting(f, &self.0.path, kind)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push_null();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match &mut self.0.build {
            Build::Bool(builder) => builder.append_value(value),
            Build::Text(builder) => builder.append_value(if value { "true" } else { "false" }),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match &mut self.0.build {
            Build::Int(builder) => builder.append_value(value),
            Build::Float(builder) => builder.append_value(value as f64),
            Build::Text(builder) => builder.append_value(value.to_string()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Signed(value), &self)),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match (i64::try_from(value), &mut self.0.build) {
            (Ok(value), _) => self.visit_i64(value),
            (Err(_), Build::Float(builder)) => {
                builder.append_value(value as f64);
                Ok(())
            }
            (Err(_), Build::Text(builder)) => {
                builder.append_value(value.to_string());
                Ok(())
            }
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match &mut self.0.build {
            Build::Float(builder) => builder.append_value(value),
            Build::Int(builder) if value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
                builder.append_value(value as i64);
            }
            Build::Text(builder) => builder.append_value(value.to_string()),
            _ => return Err(E::invalid_value(serde::de::Unexpected::Float(value), &self)),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let unexpected = serde::de::Unexpected::Str(value);
        match &mut self.0.build {
            Build::Text(builder) => builder.append_value(value),
            Build::Int(builder) => match value.parse() {
                Ok(value) => builder.append_value(value),
                Err(_) => return Err(E::invalid_value(unexpected, &self)),
            },
            Build::Float(builder) => match value.parse() {
                Ok(value) => builder.append_value(value),
                Err(_) => return Err(E::invalid_value(unexpected, &self)),
            },
            Build::Bool(builder) => match value {
                "true" => builder.append_value(true),
                "false" => builder.append_value(false),
                _ => return Err(E::invalid_value(unexpected, &self)),
            },
            _ => return Err(E::invalid_type(unexpected, &self)),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if let Build::List(list) = &mut self.0.build
            && list.plain.is_some()
        {
            return plain_params::read(map, list);
        }
        let Build::Struct(columns) = &mut self.0.build else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let path = &self.0.path;
        ObjectVisitor { path, columns: &mut *columns }.visit_map(map)?;
        columns.close();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Build::List(list) = &mut self.0.build else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        while seq.next_element_seed(Value(&mut list.inner))?.is_some() {}
        list.close();
        Ok(())
    }
}

fn expecting(f: &mut fmt::Formatter<'_>, path: &str, kind: &str) -> fmt::Result {
    match path {
        "" => f.write_str(kind),
        path => write!(f, "{kind} for `{path}`"),
    }
}
