//! Which leaves of a Parquet file to decode, and as which Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::basic::Type as PhysicalType;
use parquet::schema::types::SchemaDescriptor;

/// What [`select`] found.
pub(super) struct Selection {
    /// The leaves to decode.
    pub(super) mask: ProjectionMask,
    /// The file's own schema, with wanted strings as `Utf8View` and INT96 in microseconds.
    pub(super) hint: SchemaRef,
    /// True when the file has `event_name` or `event_timestamp`: without both it is no export.
    pub(super) is_export: bool,
}

/// Matches the file's columns with the wanted ones, by name at every level.
///
/// A struct or list of which no wanted leaf exists still has its first leaf decoded, so that its
/// nulls and lengths are the same under every projection.
pub(super) fn select(file: &SchemaDescriptor, found: &Schema, wanted: &Schema) -> Selection {
    let mut walk = Walk { file, next_leaf: 0, leaves: Vec::new() };
    let fields = walk.fields(found.fields(), Some(wanted.fields()));
    let is_export =
        ["event_name", "event_timestamp"].iter().any(|n| found.fields().find(n).is_some());
    Selection {
        mask: ProjectionMask::leaves(file, walk.leaves),
        hint: Arc::new(Schema::new_with_metadata(fields, found.metadata().clone())),
        is_export,
    }
}

/// Walks the file's schema depth first, which is the order of its leaves.
struct Walk<'a> {
    file: &'a SchemaDescriptor,
    next_leaf: usize,
    leaves: Vec<usize>,
}

impl Walk<'_> {
    fn fields(&mut self, found: &Fields, wanted: Option<&Fields>) -> Fields {
        let walk = |(index, field): (usize, &FieldRef)| {
            // Of two fields of one name only the first counts.
            let first = found.find(field.name()).is_some_and(|(first, _)| first == index);
            let wanted = wanted.filter(|_| first).and_then(|wanted| wanted.find(field.name()));
            self.field(field, wanted.map(|(_, field)| field.data_type()))
        };
        found.iter().enumerate().map(walk).collect()
    }

    fn field(&mut self, found: &FieldRef, wanted: Option<&DataType>) -> FieldRef {
        let first_leaf = self.next_leaf;
        let chosen = self.leaves.len();
        let data_type = self.data_type(found.data_type(), wanted);
        if wanted.is_some() && self.leaves.len() == chosen && self.next_leaf > first_leaf {
            self.leaves.push(first_leaf);
        }
        Arc::new(Field::clone(found).with_data_type(data_type))
    }

    fn data_type(&mut self, found: &DataType, wanted: Option<&DataType>) -> DataType {
        match found {
            DataType::Struct(fields) => {
                let wanted = match wanted {
                    Some(DataType::Struct(wanted)) => Some(wanted),
                    _ => None,
                };
                DataType::Struct(self.fields(fields, wanted))
            }
            DataType::List(element) => {
                let wanted = match wanted {
                    Some(DataType::List(wanted)) => Some(wanted.data_type()),
                    _ => None,
                };
                DataType::List(self.field(element, wanted))
            }
            DataType::Map(entries, sorted) => DataType::Map(self.field(entries, None), *sorted),
            leaf => self.leaf(leaf, wanted),
        }
    }

    fn leaf(&mut self, found: &DataType, wanted: Option<&DataType>) -> DataType {
        let index = self.next_leaf;
        self.next_leaf += 1;
        let Some(wanted) = wanted else { return found.clone() };
        self.leaves.push(index);
        let is_int96 = self.file.column(index).physical_type() == PhysicalType::INT96;
        match (found, wanted) {
            (DataType::Utf8 | DataType::Binary, DataType::Utf8View) => DataType::Utf8View,
            (DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Int64) if is_int96 => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            _ => found.clone(),
        }
    }
}
