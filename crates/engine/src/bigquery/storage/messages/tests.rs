//! The bytes are those that Google's Python library writes (`google-cloud-bigquery-storage`, `types.X.serialize`).

use super::*;

const TABLE: &str = "projects/p/datasets/d/tables/t";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read<M: Message + Default>(hex: &str) -> M {
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect();
    M::decode(bytes.as_slice()).unwrap()
}

#[test]
fn requests_are_written_as_google_writes_them() {
    let session = ReadSession { table: TABLE.into(), data_format: ARROW, ..ReadSession::default() };
    let create = CreateReadSession {
        parent: "projects/p".into(),
        read_session: Some(session),
        max_stream_count: 4,
    };
    assert_eq!(
        hex(&create.encode_to_vec()),
        "0a0a70726f6a656374732f7012221802321e70726f6a656374732f702f64617461736574732f642f7461626c65732f741804"
    );
    let rows = ReadRows { read_stream: "s/streams/0".into(), offset: 300 };
    assert_eq!(hex(&rows.encode_to_vec()), "0a0b732f73747265616d732f3010ac02");
    let stream = WriteStream { name: String::new(), kind: COMMITTED };
    let create = CreateWriteStream { parent: TABLE.into(), write_stream: Some(stream) };
    assert_eq!(
        hex(&create.encode_to_vec()),
        "0a1e70726f6a656374732f702f64617461736574732f642f7461626c65732f7412021001"
    );
    assert_eq!(hex(&FinalizeWriteStream { name: "w".into() }.encode_to_vec()), "0a0177");
}

#[test]
fn the_first_append_has_an_offset_of_zero_and_the_schema() {
    let batch = || ArrowRecordBatch { serialized_record_batch: Bytes::from_static(&[3]) };
    let schema = ArrowSchema { serialized_schema: Bytes::from_static(&[1, 2]) };
    let first = AppendRows {
        write_stream: format!("{TABLE}/streams/x"),
        offset: Some(Number { value: 0 }),
        arrow_rows: Some(ArrowRows { writer_schema: Some(schema), rows: Some(batch()) }),
    };
    assert_eq!(
        hex(&first.encode_to_vec()),
        "0a2870726f6a656374732f702f64617461736574732f642f7461626c65732f742f73747265616d732f7812002a0b0a040a02010212030a0103"
    );
    let next = AppendRows {
        write_stream: String::new(),
        offset: Some(Number { value: 300 }),
        arrow_rows: Some(ArrowRows { writer_schema: None, rows: Some(batch()) }),
    };
    assert_eq!(hex(&next.encode_to_vec()), "120308ac022a0512030a0103");
}

#[test]
fn answers_are_read_and_what_is_not_used_is_skipped() {
    let session: ReadSession = read(
        "0a017318022a040a020102321e70726f6a656374732f702f64617461736574732f642f7461626c65732f74520d0a0b732f73747265616d732f\
         30520d0a0b732f73747265616d732f31604d7009",
    );
    let streams: Vec<&str> = session.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(streams, ["s/streams/0", "s/streams/1"]);
    assert_eq!(session.arrow_schema.unwrap().serialized_schema.as_ref(), [1, 2]);
    let rows: ReadRowsResponse =
        read("1214121209000000000000e03f11000000000000f03f22040a020506300742030a0101");
    assert_eq!(rows.row_count, 7);
    assert_eq!(rows.arrow_record_batch.unwrap().serialized_record_batch.as_ref(), [5, 6]);
    assert_eq!(read::<FinalizeWriteStreamResponse>("08f0a204").row_count, 70_000);
}

#[test]
fn answers_to_appends_tell_what_was_wrong() {
    let good: AppendRowsResponse = read("0a040a0208052a0177");
    assert!(good.error.is_none() && good.row_errors.is_empty());
    let late: AppendRowsResponse = read(
        "1257080612046c6174651a4d0a41747970652e676f6f676c65617069732e636f6d2f676f6f676c652e636c6f75642e62696771756572792e73\
         746f726167652e76312e53746f726167654572726f72120808061201651a016d2a0177",
    );
    let error = late.error.unwrap();
    assert_eq!((error.code, error.message.as_str()), (6, "late"));
    let inner = StorageError::decode(error.details[0].value.clone()).unwrap();
    assert_eq!(inner.code, STREAM_FINALIZED);
    let bad: AppendRowsResponse = read("2209080310011a03626164");
    assert_eq!((bad.row_errors[0].index, bad.row_errors[0].message.as_str()), (3, "bad"));
}
