use arrow::array::{Array, Decimal128Array, Float64Array, Int64Array, ListArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn sample() -> QueryResult {
    let revenue = Decimal128Array::from(vec![Some(12_345_678_901_234_567_890), Some(-5), None])
        .with_precision_and_scale(38, 2)
        .unwrap();
    let lists = vec![Some(vec![Some(1), None]), None, Some(vec![])];
    let channels = vec![Some("Paid | \"Search\""), None, Some("a,b\n\u{1b}[31m")];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("channel", Arc::new(StringArray::from(channels))),
        ("n", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 2, -3]))),
        ("revenue", Arc::new(revenue)),
        ("rate", Arc::new(Float64Array::from(vec![0.1, f64::NAN, 1e300]))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    QueryResult { schema: batch.schema(), batches: vec![batch.slice(0, 2), batch.slice(2, 1)] }
}

fn empty() -> QueryResult {
    QueryResult { schema: sample().schema, batches: vec![] }
}

fn written(result: &QueryResult, format: RowFormat) -> String {
    let mut out = Vec::new();
    write_rows(result, format, None, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_text_format() {
    use RowFormat::{Csv, Json, Md, Ndjson, Table};
    for format in [Table, Csv, Json, Ndjson, Md] {
        let name = format!("{format:?}").to_lowercase();
        insta::assert_snapshot!(name.clone(), written(&sample(), format));
        insta::assert_snapshot!(format!("{name}_empty"), written(&empty(), format));
    }
}

#[test]
fn json_is_json_and_exact() {
    let text = written(&sample(), RowFormat::Json);
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows[0]["n"], 9_007_199_254_740_993_i64);
    assert!(text.contains("\"revenue\":123456789012345678.90"), "{text}");
    assert!(rows[1]["rate"].is_null());
    assert!(written(&empty(), RowFormat::Json).starts_with("[]"));
}

#[test]
fn parquet_keeps_types_and_rows() {
    let mut out = Vec::new();
    write_rows(&sample(), RowFormat::Parquet, None, &mut out).unwrap();
    let file = tempfile::tempfile().unwrap();
    Write::write_all(&mut &file, &out).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    assert_eq!(batches[0].column(2).data_type(), &DataType::Decimal128(38, 2));
}

#[test]
fn formats_by_ending() {
    assert_eq!(RowFormat::of("a/b.CSV"), Some(RowFormat::Csv));
    assert_eq!(RowFormat::of("b.parquet"), Some(RowFormat::Parquet));
    assert_eq!(RowFormat::of("b.txt"), None);
    assert_eq!(RowFormat::of("b"), None);
}
