//! Event params as the log has them: an object of plain values in place of the export's list, half as long.
//!
//! `"event_params":{"page_title":"Shoes","ga_session_id":7,"value":9.5,"empty":null}`: a text is a `string_value`, a number without
//! fraction and exponent an `int_value`, any other a `double_value`. What has another form stays a list. `collect::params` writes it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use crate::column::{Build, Column, ListBuild, PlainParams, StructBuild};

/// Reads the params of one row.
pub(super) fn read<'de, A: MapAccess<'de>>(
    mut map: A,
    list: &mut ListBuild,
) -> Result<(), A::Error> {
    let (Some(places), Build::Struct(param)) = (list.plain, &mut list.inner.build) else {
        return Err(A::Error::invalid_type(Unexpected::Map, &"an array"));
    };
    while map.next_key_seed(Key(leaf(param, places.key)))?.is_some() {
        match places.value {
            Some(value) => map.next_value_seed(Value { column: part(param, value), places })?,
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        param.close();
    }
    list.close();
    Ok(())
}

/// A member of the struct that is being read, complete up to this row.
fn part(parent: &mut StructBuild, index: usize) -> &mut Column {
    let rows = parent.len();
    let column = &mut parent.children[index];
    column.fill_to(rows);
    column
}

fn leaf(parent: &mut StructBuild, index: Option<usize>) -> Option<&mut Column> {
    index.map(|index| part(parent, index))
}

/// Puts a name into its column.
struct Key<'a>(Option<&'a mut Column>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a param")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<(), E> {
        if let Some(Build::Text(names)) = self.0.map(|column| &mut column.build) {
            names.append_value(name);
        }
        Ok(())
    }
}

/// Puts a value into the leaf of its kind.
struct Value<'a> {
    column: &'a mut Column,
    places: PlainParams,
}

impl Value<'_> {
    fn put(self, place: Option<usize>, put: impl FnOnce(&mut Build)) {
        let Build::Struct(value) = &mut self.column.build else { return };
        if let Some(leaf) = leaf(value, place) {
            put(&mut leaf.build);
        }
        value.close();
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Visitor<'_> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or null")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(None, |_| ());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let place = self.places.string;
        self.put(place, |leaf| {
            if let Build::Text(texts) = leaf {
                texts.append_value(text);
            }
        });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        let place = self.places.int;
        self.put(place, |leaf| {
            if let Build::Int(ints) = leaf {
                ints.append_value(value);
            }
        });
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let place = self.places.double;
        self.put(place, |leaf| {
            if let Build::Float(doubles) = leaf {
                doubles.append_value(value);
            }
        });
        Ok(())
    }
}
