//! Schemas: BigQuery's JSON ↔ Arrow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::error::{EngineError, Result};

/// Columns as BigQuery writes them → an Arrow schema.
///
/// NUMERIC is DECIMAL(38, 9); types that Arrow has no equal for are text.
pub fn arrow_schema(fields: &[Value]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>()))
}

fn arrow_field(field: &Value) -> Field {
    let name = field["name"].as_str().unwrap_or_default();
    let data_type = match field["type"].as_str().unwrap_or_default() {
        "INTEGER" | "INT64" => DataType::Int64,
        "FLOAT" | "FLOAT64" => DataType::Float64,
        "BOOLEAN" | "BOOL" => DataType::Boolean,
        "NUMERIC" => DataType::Decimal128(38, 9),
        "DATE" => DataType::Date32,
        "DATETIME" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "TIMESTAMP" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "RECORD" | "STRUCT" => {
            let inner = field["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            DataType::Struct(inner.iter().map(arrow_field).collect::<Fields>())
        }
        _ => DataType::Utf8,
    };
    if field["mode"].as_str() == Some("REPEATED") {
        return Field::new(
            name,
            DataType::List(Arc::new(Field::new("item", data_type, true))),
            true,
        );
    }
    Field::new(name, data_type, true)
}

/// An Arrow schema → columns as BigQuery writes them.
///
/// # Errors
/// A type that BigQuery has no equal for.
pub fn fields_of(schema: &Schema) -> Result<Vec<Value>> {
    schema.fields().iter().map(|field| field_of(field.name(), field.data_type())).collect()
}

fn field_of(name: &str, data_type: &DataType) -> Result<Value> {
    let plain = |kind: &str| Ok(json!({ "name": name, "type": kind, "mode": "NULLABLE" }));
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => plain("STRING"),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => plain("INTEGER"),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            plain("INTEGER")
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => plain("FLOAT"),
        DataType::Boolean => plain("BOOLEAN"),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => {
            plain("NUMERIC")
        }
        DataType::Date32 | DataType::Date64 => plain("DATE"),
        DataType::Timestamp(_, None) => plain("DATETIME"),
        DataType::Timestamp(_, Some(_)) => plain("TIMESTAMP"),
        DataType::List(item) | DataType::LargeList(item) => {
            let mut field = field_of(name, item.data_type())?;
            field["mode"] = "REPEATED".into();
            Ok(field)
        }
        DataType::Struct(fields) => {
            let inner = fields
                .iter()
                .map(|field| field_of(field.name(), field.data_type()))
                .collect::<Result<Vec<_>>>()?;
            Ok(json!({ "name": name, "type": "RECORD", "mode": "NULLABLE", "fields": inner }))
        }
        other => Err(EngineError::Type { column: name.to_owned(), data_type: other.to_string() }),
    }
}

/// A column's type as GoogleSQL writes it.
pub fn sql_type(field: &Value) -> String {
    let inner = match field["type"].as_str().unwrap_or_default() {
        "INTEGER" => "int64".to_owned(),
        "FLOAT" => "float64".to_owned(),
        "BOOLEAN" => "bool".to_owned(),
        "RECORD" | "STRUCT" => {
            let fields = field["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            let inside: Vec<String> = fields
                .iter()
                .map(|one| {
                    format!("{} {}", one["name"].as_str().unwrap_or_default(), sql_type(one))
                })
                .collect();
            format!("struct<{}>", inside.join(", "))
        }
        other => other.to_lowercase(),
    };
    match field["mode"].as_str() {
        Some("REPEATED") => format!("array<{inner}>"),
        _ => inner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_schemas_survive_the_way_there_and_back() {
        let fields = json!([
            {"name": "d", "type": "DATE", "mode": "NULLABLE"},
            {"name": "n", "type": "NUMERIC", "mode": "NULLABLE"},
            {"name": "p", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "key", "type": "STRING", "mode": "NULLABLE"},
                {"name": "value", "type": "RECORD", "mode": "NULLABLE", "fields": [
                    {"name": "int_value", "type": "INTEGER", "mode": "NULLABLE"}]}]},
        ]);
        let fields = fields.as_array().unwrap();
        assert_eq!(&fields_of(&arrow_schema(fields)).unwrap(), fields);
        assert_eq!(
            sql_type(&fields[2]),
            "array<struct<key string, value struct<int_value int64>>>"
        );
    }
}
