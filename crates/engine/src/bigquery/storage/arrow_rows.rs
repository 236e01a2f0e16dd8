//! Arrow as the Storage APIs carry it: a schema once, then record batches without it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray, UInt64Array, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use prost::bytes::Bytes;
use serde_json::Value;

use super::super::fault::{Fault, FaultKind};
use crate::error::{EngineError, Result};

/// Types whose Arrow values are those that REST gives as JSON. The others are text over REST and something else here.
const SAME: [&str; 14] = [
    "STRING",
    "INTEGER",
    "INT64",
    "FLOAT",
    "FLOAT64",
    "BOOLEAN",
    "BOOL",
    "NUMERIC",
    "DATE",
    "DATETIME",
    "TIMESTAMP",
    "RECORD",
    "STRUCT",
    "GEOGRAPHY",
];

/// Whether a table's columns have the same values here as over REST.
///
/// # Errors
/// The column that has not, in words.
pub(super) fn same_as_rest(fields: &[Value]) -> Result<(), String> {
    for field in fields {
        let kind = field["type"].as_str().unwrap_or_default();
        if !SAME.contains(&kind) {
            let name = field["name"].as_str().unwrap_or_default();
            return Err(format!("the column `{name}` has the type {kind}"));
        }
        same_as_rest(field["fields"].as_array().map(Vec::as_slice).unwrap_or_default())?;
    }
    Ok(())
}

/// Reads record batches of one schema.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The schema's message, which goes before each batch.
    schema: Buffer,
}

impl Decoder {
    /// Takes the schema as a session tells it; what follows its first message, such as an end mark, is left out.
    pub(super) fn new(schema: Bytes) -> Result<Self> {
        let word = |at: usize| {
            let bytes = schema.get(at..at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let length = match word(0) {
            Some(u32::MAX) => word(4).map(|length| 8 + length as usize),
            Some(length) => Some(4 + length as usize),
            None => None,
        };
        let length = length.filter(|length| *length <= schema.len());
        let length = length.ok_or_else(|| odd("the schema is cut off"))?;
        Ok(Self { schema: Buffer::from(schema.slice(..length)) })
    }

    /// One batch, in the columns and types of `wanted`.
    pub(super) fn batch(&self, bytes: Bytes, wanted: &SchemaRef) -> Result<RecordBatch> {
        let mut decoder = StreamDecoder::new();
        let mut schema = self.schema.clone();
        decoder.decode(&mut schema).map_err(odd)?;
        let mut bytes = Buffer::from(bytes);
        let batch = decoder.decode(&mut bytes).map_err(odd)?;
        let batch = batch.ok_or_else(|| odd("a batch is cut off"))?;
        let rows = batch.num_rows();
        let columns =
            wanted.fields().iter().map(|field| match batch.column_by_name(field.name()) {
                Some(column) => shaped(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), rows)),
            });
        RecordBatch::try_new(Arc::clone(wanted), columns.collect::<Result<_>>()?).map_err(odd)
    }
}

/// The same values as another type: names of list items, time zones and the like differ between ways to read.
fn shaped(array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef> {
    match wanted {
        have if have == array.data_type() && array.null_count() == 0 => Ok(Arc::clone(array)),
        DataType::List(item) => shaped_list(array, item),
        DataType::Struct(fields) => {
            let parts = array.as_struct_opt().ok_or_else(|| odd("a record is no struct"))?;
            let columns = fields.iter().map(|field| match parts.column_by_name(field.name()) {
                Some(column) => shaped(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), parts.len())),
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            let nulls = parts.nulls().cloned();
            StructArray::try_new_with_length(fields.clone(), columns, nulls, parts.len())
                .map(|array| Arc::new(array) as ArrayRef)
                .map_err(odd)
        }
        same if same == array.data_type() => Ok(Arc::clone(array)),
        other => cast(array, other).map_err(odd),
    }
}

/// A repeated column is a list without items where there are none, never null.
fn shaped_list(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef> {
    let list = array.as_list_opt::<i32>().ok_or_else(|| odd("a repeated column is no list"))?;
    let mut offsets = list.offsets().clone();
    let mut values = Arc::clone(list.values());
    if list.null_count() > 0 {
        let lengths = (0..list.len())
            .map(|row| if list.is_null(row) { 0 } else { list.value_length(row) as usize });
        let kept = (0..list.len()).filter(|row| list.is_valid(*row)).flat_map(|row| {
            let window = &list.value_offsets()[row..row + 2];
            window[0] as u64..window[1] as u64
        });
        values = take(&values, &UInt64Array::from_iter_values(kept), None).map_err(odd)?;
        offsets = OffsetBuffer::from_lengths(lengths);
    }
    let values = shaped(&values, item.data_type())?;
    let list = ListArray::try_new(Arc::clone(item), offsets, values, None).map_err(odd)?;
    Ok(Arc::new(list))
}

/// A schema and a batch as the Write API takes them.
pub(super) fn encoded(rows: &RecordBatch) -> Result<(Bytes, Bytes)> {
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema()).map_err(odd)?;
    let schema = writer.get_ref().len();
    writer.write(rows).map_err(odd)?;
    // What the writer adds at its end is not wanted.
    let bytes = Bytes::copy_from_slice(writer.get_ref());
    Ok((bytes.slice(..schema), bytes.slice(schema..)))
}

fn odd(error: impl std::fmt::Display) -> EngineError {
    Fault::new(FaultKind::Refused, format!("rows as Arrow: {error}")).into()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Fields, Schema, TimeUnit};
    use serde_json::json;

    use super::super::super::types::arrow_schema;
    use super::*;

    fn batch_of(arrays: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(
            arrays.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_can_be_read_with_whatever_follows_the_schema() {
        let rows = batch_of(vec![("i", Arc::new(Int64Array::from(vec![Some(1), None])))]);
        let (schema, batch) = encoded(&rows).unwrap();
        let ended = [schema.as_ref(), &[255, 255, 255, 255, 0, 0, 0, 0]].concat();
        for schema in [schema.clone(), ended.into()] {
            let decoder = Decoder::new(schema).unwrap();
            assert_eq!(decoder.batch(batch.clone(), &rows.schema()).unwrap(), rows);
        }
        assert!(Decoder::new(schema.slice(..10)).is_err());
        let decoder = Decoder::new(schema).unwrap();
        assert!(decoder.batch(batch.slice(..batch.len() / 2), &rows.schema()).is_err());
    }

    #[test]
    fn columns_are_shaped_as_rest_gives_them() {
        let fields = json!([
            {"name": "gone", "type": "STRING"},
            {"name": "t", "type": "TIMESTAMP"},
            {"name": "p", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "key", "type": "STRING"}, {"name": "more", "type": "FLOAT"}]},
        ]);
        let wanted = arrow_schema(fields.as_array().unwrap());
        let inner: Fields = vec![Field::new("key", DataType::Utf8, true)].into();
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a", "hidden", "b"]));
        let item = Arc::new(Field::new("element", DataType::Struct(inner.clone()), true));
        let structs = Arc::new(StructArray::new(inner, vec![keys], None));
        // The row in the middle is null over an item that must not show.
        let lists = ListArray::new(
            item,
            OffsetBuffer::from_lengths([1, 1, 1]),
            structs,
            Some(NullBuffer::from(vec![true, false, true])),
        );
        let times = cast(
            &Int64Array::from(vec![1, 2, 3]),
            &DataType::Timestamp(TimeUnit::Microsecond, Some("Etc/UTC".into())),
        );
        let rows = batch_of(vec![("p", Arc::new(lists)), ("t", times.unwrap())]);
        let (schema, bytes) = encoded(&rows).unwrap();
        let read = Decoder::new(schema).unwrap().batch(bytes, &wanted).unwrap();
        assert_eq!(read.schema(), wanted);
        assert_eq!(read.column(0).null_count(), 3);
        let lists = read.column(2).as_list::<i32>();
        assert_eq!((lists.null_count(), lists.value_length(1)), (0, 0));
        let structs = lists.values().as_struct();
        let keys: Vec<_> = structs.column(0).as_string::<i32>().iter().collect();
        assert_eq!(keys, [Some("a"), Some("b")]);
        assert_eq!(structs.column(1).null_count(), 2);
    }

    #[test]
    fn types_that_rest_writes_as_text_are_told() {
        let fields =
            json!([{"name": "r", "type": "RECORD", "fields": [{"name": "d", "type": "TIME"}]}]);
        let what = same_as_rest(fields.as_array().unwrap()).unwrap_err();
        assert_eq!(what, "the column `d` has the type TIME");
        let schema = Schema::new(vec![Field::new("s", DataType::Utf8, true)]);
        let fields = super::super::super::types::fields_of(&schema).unwrap();
        assert_eq!(same_as_rest(&fields), Ok(()));
    }
}
