//! The messages of `google.cloud.bigquery.storage.v1`, with the fields that are used here.
//!
//! Written by hand after Google's `.proto` files, so that no build needs a compiler for them. Fields that are left out
//! are skipped when they come. The numbers are compared with those of Google's own library in the tests below.

use prost::Message;
use prost::bytes::Bytes;

/// Rows as Arrow (`DataFormat`).
pub(super) const ARROW: i32 = 2;

/// A stream whose rows are seen as soon as they are acknowledged (`WriteStream.Type`).
pub(super) const COMMITTED: i32 = 1;

/// What [`StorageError::code`] says of a stream that takes no more rows.
pub(super) const STREAM_FINALIZED: i32 = 6;

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateReadSession {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) read_session: Option<ReadSession>,
    #[prost(int32, tag = "3")]
    pub(super) max_stream_count: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadSession {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "3")]
    pub(super) data_format: i32,
    #[prost(message, optional, tag = "5")]
    pub(super) arrow_schema: Option<ArrowSchema>,
    #[prost(string, tag = "6")]
    pub(super) table: String,
    #[prost(message, repeated, tag = "10")]
    pub(super) streams: Vec<ReadStream>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRows {
    #[prost(string, tag = "1")]
    pub(super) read_stream: String,
    #[prost(int64, tag = "2")]
    pub(super) offset: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadRowsResponse {
    #[prost(message, optional, tag = "4")]
    pub(super) arrow_record_batch: Option<ArrowRecordBatch>,
    #[prost(int64, tag = "6")]
    pub(super) row_count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrowSchema {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) serialized_schema: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrowRecordBatch {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) serialized_record_batch: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateWriteStream {
    #[prost(string, tag = "1")]
    pub(super) parent: String,
    #[prost(message, optional, tag = "2")]
    pub(super) write_stream: Option<WriteStream>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRows {
    #[prost(string, tag = "1")]
    pub(super) write_stream: String,
    #[prost(message, optional, tag = "2")]
    pub(super) offset: Option<Number>,
    #[prost(message, optional, tag = "5")]
    pub(super) arrow_rows: Option<ArrowRows>,
}

/// `google.protobuf.Int64Value`: zero is not the same as nothing.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Number {
    #[prost(int64, tag = "1")]
    pub(super) value: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrowRows {
    #[prost(message, optional, tag = "1")]
    pub(super) writer_schema: Option<ArrowSchema>,
    #[prost(message, optional, tag = "2")]
    pub(super) rows: Option<ArrowRecordBatch>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AppendRowsResponse {
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<RpcStatus>,
    #[prost(message, repeated, tag = "4")]
    pub(super) row_errors: Vec<RowError>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RowError {
    #[prost(int64, tag = "1")]
    pub(super) index: i64,
    #[prost(string, tag = "3")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStream {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinalizeWriteStreamResponse {
    #[prost(int64, tag = "1")]
    pub(super) row_count: i64,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Detail {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StorageError {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

#[cfg(test)]
mod tests;
