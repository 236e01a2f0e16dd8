//! Rows in every shape that exports are known to have (export_schema.md, section 9.4).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, DictionaryArray, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema};
use clicktrail_ingest::{ReadOptions, schema};
use parquet::arrow::ArrowWriter;
use tempfile::tempdir;

use super::{file, lines, read, tolerant};

/// A row of the current shape with a value in every leaf.
pub(crate) fn full_row() -> String {
    fn value(data_type: &DataType, name: &str) -> String {
        match data_type {
            DataType::Int64 => "\"7\"".to_owned(),
            DataType::Float64 => "2.5".to_owned(),
            DataType::Boolean => "true".to_owned(),
            DataType::Struct(fields) => object(fields),
            DataType::List(element) => format!("[{}]", value(element.data_type(), name)),
            _ => format!("\"{name}\""),
        }
    }
    fn object(fields: &Fields) -> String {
        let member = |field: &Arc<Field>| {
            format!("\"{}\":{}", field.name(), value(field.data_type(), field.name()))
        };
        format!("{{{}}}", fields.iter().map(member).collect::<Vec<_>>().join(","))
    }
    object(schema::events().fields())
}

fn read_text(text: &str) -> Vec<String> {
    let folder = tempdir().unwrap();
    lines(&read(&file(folder.path(), "a.ndjson", text), &ReadOptions::default()).unwrap())
}

#[test]
fn a_row_with_all_leaves_comes_back_as_it_was() {
    let row = full_row();
    assert_eq!(read_text(&row), [row]);
}

#[test]
fn numbers_strings_and_nulls_may_swap_their_dress() {
    let written = concat!(
        r#"{"event_timestamp":"5","event_name":"e","event_params":[{"key":"a","#,
        r#""value":{"int_value":"1"}},{"key":"b","value":{"double_value":1.0}},"#,
        r#"{"key":"c","value":{}}],"user_ltv":{"revenue":"NaN"},"stream_id":"12","#,
        r#""ecommerce":{},"items":[],"is_active_user":true}"#,
    );
    let variants = [
        written.to_owned(),
        written.replace("\"5\"", "5").replace("\"1\"", "1").replace("1.0", "1"),
        written.replace("\"12\"", "12").replace("\"5\"", "5.0").replace("1.0", "\"1\""),
        written.replace("true", "\"true\""),
        written.replace("\"value\":{}", "\"value\":{\"string_value\":null,\"int_value\":null}"),
        written.replace("{\"", "{\"unknown\":[{\"deep\":[1,{}]}],\""),
        written.replace("\"event_name\"", "\"geo\":null,\"publisher\":null,\"event_name\""),
    ];
    for variant in variants {
        assert_eq!(read_text(&variant), [written], "{variant}");
    }
    let nulls = written.replace("\"items\":[]", "\"items\":null");
    assert_eq!(read_text(&nulls), [written.replace(",\"items\":[]", "")]);
}

#[test]
fn lines_may_end_as_they_like() {
    let row = r#"{"event_timestamp":"5","event_name":"e"}"#;
    assert_eq!(read_text(&format!("\u{feff}{row}\r\n\n  \n{row}")), [row, row]);
    assert!(read_text("").is_empty());
    assert!(read_text("\n\n").is_empty());
}

#[test]
fn of_two_equal_keys_the_first_counts() {
    let row = r#"{"event_timestamp":1,"event_timestamp":2,"event_name":"e","event_name":[]}"#;
    assert_eq!(read_text(row), [r#"{"event_timestamp":"1","event_name":"e"}"#]);
}

#[test]
fn a_bad_row_leaves_its_neighbours_alone() {
    let folder = tempdir().unwrap();
    let good = full_row();
    let broken = [
        good.replacen("\"7\"", "\"seven\"", 1),
        good.replacen("\"value\":{", "\"value\":[", 1),
        good.replace("\"item_params\":[", "\"item_params\":[{\"key\":\"k\"},3,"),
        good.replace("\"price\":2.5", "\"price\":{}"),
        good.replace("\"event_name\":", "\"event_nom\":"),
        good[..good.len() / 2].to_owned(),
        format!("{good},"),
        "[]".to_owned(),
    ];
    let mut text = String::new();
    for row in &broken {
        text.push_str(&format!("{good}\n{row}\n"));
    }
    text.push_str(&good);
    for batch_rows in [1, 3, 8192] {
        let options = ReadOptions { batch_rows, ..tolerant(100) };
        let batch = read(&file(folder.path(), "a.ndjson", &text), &options).unwrap();
        assert_eq!(lines(&batch), vec![good.clone(); broken.len() + 1]);
        let rejected: Vec<u64> = options.rejects.rows().iter().map(|reject| reject.line).collect();
        assert_eq!(rejected, [2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(options.rejects.to_batch().unwrap().num_rows(), 8);
    }
}

/// `event_params` of two rows, one and two params, under the given list names.
fn params(element: &str, key: ArrayRef, int: ArrayRef) -> ArrayRef {
    let value = StructArray::from(vec![(
        Arc::new(Field::new("int_value", int.data_type().clone(), true)),
        int,
    )]);
    let inner = StructArray::from(vec![
        (
            Arc::new(Field::new("value", value.data_type().clone(), true)),
            Arc::new(value) as ArrayRef,
        ),
        (Arc::new(Field::new("key", key.data_type().clone(), true)), key),
    ]);
    let field = Arc::new(Field::new(element, inner.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([1, 2]);
    Arc::new(ListArray::new(field, offsets, Arc::new(inner), None))
}

fn write_parquet(path: &std::path::Path, columns: Vec<(&str, ArrayRef)>) {
    let field =
        |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_lists_may_name_their_element_as_they_like() {
    let folder = tempdir().unwrap();
    for element in ["element", "item", "array", "event_params_tuple"] {
        let path = folder.path().join("a.parquet");
        write_parquet(
            &path,
            vec![
                ("unknown", Arc::new(Int64Array::from(vec![1, 2]))),
                (
                    "event_params",
                    params(
                        element,
                        Arc::new(StringArray::from(vec!["a", "b", "c"])),
                        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
                    ),
                ),
                ("event_name", Arc::new(StringArray::from(vec!["x", "y"]))),
                ("event_timestamp", Arc::new(Int64Array::from(vec![10, 20]))),
            ],
        );
        assert_eq!(
            lines(&read(&path, &ReadOptions::default()).unwrap()),
            [
                concat!(
                    r#"{"event_timestamp":"10","event_name":"x","event_params":[{"key":"a","#,
                    r#""value":{"int_value":"1"}}]}"#,
                ),
                concat!(
                    r#"{"event_timestamp":"20","event_name":"y","event_params":[{"key":"b","#,
                    r#""value":{}},{"key":"c","value":{"int_value":"3"}}]}"#,
                ),
            ],
        );
    }
}

#[test]
fn a_two_level_list_reads_like_any_other() {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type as ParquetInt64};
    use parquet::file::writer::SerializedFileWriter;
    let message = "message m { optional int64 event_timestamp; optional binary event_name (UTF8);
        optional group event_params (LIST) { repeated group event_params_tuple {
            optional binary key (UTF8); } } }";
    let parsed = Arc::new(parquet::schema::parser::parse_message_type(message).unwrap());
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let out = std::fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(out, parsed, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ParquetInt64>().write_batch(&[5], Some(&[1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from("x")], Some(&[1]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let keys = [ByteArray::from("a"), ByteArray::from("b")];
    column.typed::<ByteArrayType>().write_batch(&keys, Some(&[3, 3]), Some(&[0, 1])).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    assert_eq!(
        lines(&read(&path, &ReadOptions::default()).unwrap()),
        [concat!(
            r#"{"event_timestamp":"5","event_name":"x","event_params":[{"key":"a"},"#,
            r#"{"key":"b"}]}"#,
        )],
    );
}

#[test]
fn parquet_types_are_brought_into_line() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let names: DictionaryArray<Int32Type> = vec!["x", "y"].into_iter().collect();
    write_parquet(
        &path,
        vec![
            ("event_date", Arc::new(Date32Array::from(vec![Some(18_658), None]))),
            ("event_timestamp", Arc::new(TimestampMillisecondArray::from(vec![7, 8]))),
            ("event_name", Arc::new(names)),
            ("stream_id", Arc::new(Int64Array::from(vec![Some(99), None]))),
            ("platform", Arc::new(Float64Array::from(vec![f64::NAN, 3.0]))),
            ("batch_page_id", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(4.0)]))),
            ("batch_ordering_id", Arc::new(StringArray::from(vec![Some("1"), None]))),
            ("event_value_in_usd", Arc::new(Int64Array::from(vec![Some(2), None]))),
        ],
    );
    let batch = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(
        lines(&batch),
        [
            concat!(
                r#"{"event_date":"20210131","event_timestamp":"7000","event_name":"x","#,
                r#""event_value_in_usd":2.0,"stream_id":"99","batch_ordering_id":"1"}"#,
            ),
            concat!(
                r#"{"event_timestamp":"8000","event_name":"y","#,
                r#""platform":"3","batch_page_id":"4"}"#,
            ),
        ],
    );
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[7000, 8000]);
}

#[test]
fn a_parquet_row_without_time_or_name_is_set_aside() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write_parquet(
        &path,
        vec![
            ("event_timestamp", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
            ("event_name", Arc::new(StringArray::from(vec![Some("x"), Some("y"), None]))),
        ],
    );
    let options = tolerant(2);
    assert_eq!(read(&path, &options).unwrap().num_rows(), 1);
    let rows = options.rejects.rows();
    assert_eq!(
        (rows[0].line, rows[0].reason.as_str()),
        (2, "`event_timestamp` is missing or null")
    );
    assert_eq!((rows[1].line, rows[1].reason.as_str()), (3, "`event_name` is missing or null"));
}
