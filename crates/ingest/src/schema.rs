//! The canonical schema of `events_*` (31 columns) and its leaf-precise projection.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::IngestError;

/// Name of the field inside every list, as BigQuery writes it.
pub const LIST_ELEMENT: &str = "element";

/// The whole schema in `name type` lines: a type is `s`tring, `i`nt64, `f`loat64, `b`ool, `{…}` a
/// struct or `[…]` a repeated struct. Order and names are those of the export (August 2026).
const EVENTS: &str = include_str!("schema/events.txt");

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(parse(&mut EVENTS.split_whitespace()))));

/// The canonical schema: 31 top-level columns with all nested leaves, every field nullable.
///
/// Strings are `Utf8View`, INT64 `Int64`, FLOAT64 `Float64`, BOOL `Boolean`; a repeated field is a
/// `List` whose item field is named `element` and is a `Struct`.
pub fn events() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The canonical schema reduced to `paths`.
///
/// A path is a dotted name such as `event_date`, `device.category` or `items.item_params.key`;
/// lists are walked through without naming their element. A path to a struct or list takes all of
/// its leaves; a path to a leaf keeps just that leaf within its structs. Overlapping paths unite.
/// The order of the result is canonical at every level, whatever the order of `paths`.
///
/// # Errors
/// [`IngestError::UnknownColumn`] with the nearest known path.
pub fn project<S: AsRef<str>>(paths: &[S]) -> Result<SchemaRef, IngestError> {
    let schema = events();
    let mut split = Vec::with_capacity(paths.len());
    for path in paths {
        let parts: Vec<&str> = path.as_ref().split('.').collect();
        if !exists(schema.fields(), &parts) {
            return Err(unknown(path.as_ref(), schema.fields()));
        }
        split.push(parts);
    }
    Ok(Arc::new(Schema::new(reduce(schema.fields(), &split))))
}

/// All dotted paths of the canonical schema, leaves and structs, in canonical order.
pub fn paths() -> Vec<String> {
    let mut all = Vec::new();
    collect_paths(events().fields(), "", &mut all);
    all
}

/// The children of a struct or of a list of structs, `None` for a leaf.
pub(crate) fn children(data_type: &DataType) -> Option<&Fields> {
    match data_type {
        DataType::Struct(fields) => Some(fields),
        DataType::List(element) => children(element.data_type()),
        _ => None,
    }
}

fn parse<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> Fields {
    let mut fields: Vec<FieldRef> = Vec::new();
    while let Some(name) = tokens.next() {
        if name == "}" || name == "]" {
            break;
        }
        let data_type = match tokens.next() {
            Some("i") => DataType::Int64,
            Some("f") => DataType::Float64,
            Some("b") => DataType::Boolean,
            Some("{") => DataType::Struct(parse(tokens)),
            Some("[") => list_of(DataType::Struct(parse(tokens))),
            _ => DataType::Utf8View,
        };
        fields.push(Arc::new(Field::new(name, data_type, true)));
    }
    fields.into()
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new(LIST_ELEMENT, element, true)))
}

fn exists(fields: &Fields, parts: &[&str]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return true };
    let Some((_, field)) = fields.find(first) else { return false };
    rest.is_empty() || children(field.data_type()).is_some_and(|inner| exists(inner, rest))
}

fn reduce(fields: &Fields, paths: &[Vec<&str>]) -> Fields {
    let keep = |field: &FieldRef| {
        let below: Vec<Vec<&str>> = paths
            .iter()
            .filter(|path| path[0] == field.name())
            .map(|path| path[1..].to_vec())
            .collect();
        if below.is_empty() {
            None
        } else if below.iter().any(Vec::is_empty) {
            Some(Arc::clone(field))
        } else {
            let data_type = reduce_type(field.data_type(), &below);
            Some(Arc::new(field.as_ref().clone().with_data_type(data_type)))
        }
    };
    fields.iter().filter_map(keep).collect()
}

fn reduce_type(data_type: &DataType, paths: &[Vec<&str>]) -> DataType {
    match data_type {
        DataType::Struct(fields) => DataType::Struct(reduce(fields, paths)),
        DataType::List(element) => list_of(reduce_type(element.data_type(), paths)),
        leaf => leaf.clone(),
    }
}

fn collect_paths(fields: &Fields, prefix: &str, all: &mut Vec<String>) {
    for field in fields {
        let path = format!("{prefix}{}", field.name());
        all.push(path.clone());
        if let Some(inner) = children(field.data_type()) {
            collect_paths(inner, &format!("{path}."), all);
        }
    }
}

fn unknown(path: &str, fields: &Fields) -> IngestError {
    let mut all = Vec::new();
    collect_paths(fields, "", &mut all);
    let score = |known: &String| (strsim::jaro_winkler(known, path) * 1e6) as u64;
    let nearest = all.into_iter().max_by_key(score).filter(|known| score(known) >= 800_000);
    IngestError::UnknownColumn { column: path.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_31_columns_and_all_leaves() {
        assert_eq!(events().fields().len(), 31);
        let leaves = events().flattened_fields().len();
        assert!(leaves > 180, "{leaves}");
        let names: Vec<_> = events().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names[0], "event_date");
        assert_eq!(names[30], "event_original_occurrence_timestamp");
    }

    #[test]
    fn projects_leaves_in_canonical_order() {
        let schema =
            project(&["items.price", "event_date", "items.item_params.key", "items.item_id"])
                .unwrap();
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["event_date", "items"]);
        let items = children(schema.field(1).data_type()).unwrap();
        let names: Vec<_> = items.iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, ["item_id", "price", "item_params"]);
        let params = children(items[2].data_type()).unwrap();
        assert_eq!(params.len(), 1);
    }

    #[test]
    fn a_whole_column_wins_over_its_leaf() {
        let schema = project(&["device.category", "device"]).unwrap();
        assert_eq!(schema.field(0), events().field_with_name("device").unwrap());
    }

    #[test]
    fn an_unknown_path_names_the_nearest() {
        let error = project(&["items.prise"]).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `items.price`?");
    }
}
