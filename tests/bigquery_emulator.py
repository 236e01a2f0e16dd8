"""Starts bqemulator, a BigQuery server on DuckDB, for checks: `python bigquery_emulator.py REST_PORT GRPC_PORT`.

Some of its ways are changed here:
- it asks for DuckDB's extension `spatial`, which it would download; nothing here has geography in it, so it runs without;
- where it expands `select *` it leaves out columns that are structs, as it has no type for them; here they get one;
- Storage Read: it gives small tables in one piece and always from the first row on; here they come in several streams and
  small batches, and from the row that is asked for, as BigQuery does;
- Storage Write: it takes rows without structs only; here they are taken as the table has them.
"""

import sys

import pyarrow
from bqemulator import cli
from bqemulator.api.routes import tabledata
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.sql import catalog_schema
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.streaming import read_session

DuckDBEngine._load_spatial = lambda self: None
type_of = catalog_schema._safe_bq_to_duckdb
catalog_schema._safe_bq_to_duckdb = lambda name: type_of(name) or "STRUCT"

BATCH_ROWS = 20
read_session._SMALL_TABLE_BYTE_THRESHOLD = 20_000


class SmallBatches:
    """Rows of a stream from some row on, a few at a time."""

    def __init__(self, table: pyarrow.Table) -> None:
        self.table, self.schema = table, table.schema

    def to_batches(self, max_chunksize: int) -> list:
        return self.table.combine_chunks().to_batches(max_chunksize=min(max_chunksize, BATCH_ROWS))


def rows_from_offset(session_name: str, stream_name: str):
    # The name carries the offset, as this is called with nothing else of the request.
    stream_name, _, offset = stream_name.partition("@")
    table = read_session.get_stream_data(session_name, stream_name)
    return None if table is None else SmallBatches(table.slice(int(offset or 0)))


read_servicer.get_stream_data = rows_from_offset
read_rows = read_servicer.BigQueryReadHandler._handle_read_rows


def read_rows_from_offset(self, request_bytes: bytes, context):
    from google.cloud.bigquery_storage_v1 import types

    request = types.ReadRowsRequest.deserialize(request_bytes)
    request.read_stream = f"{request.read_stream}@{request.offset}"
    return read_rows(self, types.ReadRowsRequest.serialize(request), context)


read_servicer.BigQueryReadHandler._handle_read_rows = read_rows_from_offset
write_servicer._table_arrow_schema = lambda table: tabledata._build_arrow_schema(
    tabledata._fields_raw_from_schema(table.schema_.fields)
)


def main() -> None:
    rest, grpc = sys.argv[1:3]
    sys.argv = ["bqemulator", "start", "--rest-port", rest, "--grpc-port", grpc, "--log-level", "error"]
    cli.main()


if __name__ == "__main__":
    main()
