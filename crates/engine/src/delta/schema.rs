//! Arrow types to what a Delta table holds, and to the schema text of its log.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::error::{EngineError, Result};

/// The type in which a column of `data_type` is stored, or `None` where a table can't hold it.
fn stored_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            DataType::Utf8View
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Date32
        | DataType::Decimal128(_, _) => data_type.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Dictionary(_, value) => stored_type(value)?,
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(Arc::new(Field::new("element", stored_type(item.data_type())?, true)))
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| Some(Field::new(field.name(), stored_type(field.data_type())?, true)))
                .collect::<Option<Fields>>()?,
        ),
        _ => return None,
    })
}

/// The schema in which rows of `schema` are stored: every column nullable, strings as views,
/// timestamps in microseconds.
///
/// # Errors
/// [`EngineError::Type`] for a type without a counterpart in Delta.
pub fn stored_schema(schema: &Schema) -> Result<SchemaRef> {
    let fields = schema
        .fields()
        .iter()
        .map(|field| match stored_type(field.data_type()) {
            Some(data_type) => Ok(Field::new(field.name(), data_type, true)),
            None => Err(EngineError::Type {
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            }),
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Casts a batch to `schema`, column by column in order; columns of the right type pass through.
///
/// # Errors
/// [`EngineError::Internal`] when a value does not fit its type.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            cast_with_options(column, field.data_type(), &strict).map_err(|error| {
                EngineError::Internal(format!("column `{}`: {error}", field.name()))
            })
        })
        .collect::<Result<Vec<ArrayRef>>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| EngineError::Internal(error.to_string()))
}

/// Whether a table needs the `timestampNtz` feature.
pub(super) fn has_wall_clock(schema: &Schema) -> bool {
    fn inside(data_type: &DataType) -> bool {
        match data_type {
            DataType::Timestamp(_, None) => true,
            DataType::List(item) => inside(item.data_type()),
            DataType::Struct(fields) => fields.iter().any(|field| inside(field.data_type())),
            _ => false,
        }
    }
    schema.fields().iter().any(|field| inside(field.data_type()))
}

/// The schema as Delta's log writes it.
pub(super) fn to_delta(schema: &Schema) -> Value {
    struct_to_delta(schema.fields())
}

fn struct_to_delta(fields: &Fields) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|field| {
            json!({"name": field.name(), "type": type_to_delta(field.data_type()), "nullable": true, "metadata": {}})
        })
        .collect();
    json!({"type": "struct", "fields": fields})
}

fn type_to_delta(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int8 => json!("byte"),
        DataType::Int16 => json!("short"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Date32 => json!("date"),
        DataType::Timestamp(_, None) => json!("timestamp_ntz"),
        DataType::Timestamp(_, Some(_)) => json!("timestamp"),
        DataType::Decimal128(precision, scale) => json!(format!("decimal({precision},{scale})")),
        DataType::Binary => json!("binary"),
        DataType::List(item) => json!({
            "type": "array", "elementType": type_to_delta(item.data_type()), "containsNull": true
        }),
        DataType::Struct(fields) => struct_to_delta(fields),
        // `stored_type` leaves nothing else but strings.
        _ => json!("string"),
    }
}

/// The Arrow schema of a log's schema, or `None` where it holds a type that Clicktrail never writes.
pub(super) fn from_delta(schema: &Value) -> Option<SchemaRef> {
    Some(Arc::new(Schema::new(struct_from_delta(schema)?)))
}

fn struct_from_delta(schema: &Value) -> Option<Fields> {
    schema["fields"]
        .as_array()?
        .iter()
        .map(|field| {
            Some(Field::new(field["name"].as_str()?, type_from_delta(&field["type"])?, true))
        })
        .collect()
}

fn type_from_delta(data_type: &Value) -> Option<DataType> {
    let Some(name) = data_type.as_str() else {
        return match data_type["type"].as_str()? {
            "array" => {
                let item = type_from_delta(&data_type["elementType"])?;
                Some(DataType::List(Arc::new(Field::new("element", item, true))))
            }
            "struct" => Some(DataType::Struct(struct_from_delta(data_type)?)),
            _ => None,
        };
    };
    Some(match name {
        "boolean" => DataType::Boolean,
        "byte" => DataType::Int8,
        "short" => DataType::Int16,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "binary" => DataType::Binary,
        "string" => DataType::Utf8View,
        decimal => {
            let (precision, scale) =
                decimal.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
            DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_type_survives_the_log() {
        let schema = Schema::new(vec![
            Field::new("text", DataType::Utf8, false),
            Field::new("count", DataType::UInt64, false),
            Field::new("amount", DataType::Decimal128(18, 6), true),
            Field::new("wall", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
            Field::new(
                "instant",
                DataType::Timestamp(TimeUnit::Second, Some("+00:00".into())),
                true,
            ),
            Field::new("day", DataType::Date32, true),
            Field::new(
                "tags",
                DataType::List(Arc::new(Field::new(
                    "item",
                    DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into()),
                    true,
                ))),
                true,
            ),
        ]);
        let stored = stored_schema(&schema).unwrap();
        assert_eq!(from_delta(&to_delta(&stored)), Some(Arc::clone(&stored)));
        assert!(has_wall_clock(&stored));
    }

    #[test]
    fn a_type_without_counterpart_is_named() {
        let schema = Schema::new(vec![Field::new("d", DataType::Duration(TimeUnit::Second), true)]);
        assert!(stored_schema(&schema).unwrap_err().to_string().contains("`d`"));
    }
}
