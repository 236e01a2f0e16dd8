"""The Storage APIs of bqemulator, with ways of its own changed: importing this is enough.

- Read: it gives small tables in one piece and always from the first row on; here they come in several streams and
  small batches, and from the row that is asked for, as BigQuery does.
- Write: it takes rows without structs only; here they are taken as the table has them.
- A call whose client left keeps its thread for good, and there are six on two cores; here there are many.
- All calls share one connection to DuckDB, which the Storage APIs use from threads of their own, into the work of others;
  here they take their turn, on a cursor of their own.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow
from bqemulator.api.routes import tabledata
from bqemulator.grpc_api import read_servicer, write_servicer
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.streaming import read_session

BATCH_ROWS = 20
CALLS_MAX = 200
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


# One cursor, while a call of the Storage APIs is at work.
cursors: list = []


def connection(self):
    is_main = threading.current_thread() is threading.main_thread()
    return cursors[-1] if cursors and is_main else self._connection


DuckDBEngine.connection = property(connection)


def in_turn(method):
    """Runs a handler where REST's run, while none of them writes, on a cursor of its own."""

    def alone(self, *arguments):
        cursor = self._ctx.engine._connection.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        cursors.append(cursor)
        try:
            return method(self, *arguments)
        finally:
            cursors.pop().close()

    def run(self, *arguments):
        if threading.current_thread() is threading.main_thread():
            return alone(self, *arguments)

        async def work():
            async with self._ctx.engine.write_lock():
                return alone(self, *arguments)

        return asyncio.run_coroutine_threadsafe(work(), loops[0]).result()

    return run


loops: list[asyncio.AbstractEventLoop] = []
start = DuckDBEngine.start


async def start_here(self) -> None:
    loops.append(asyncio.get_running_loop())
    loops[0].set_default_executor(ThreadPoolExecutor(CALLS_MAX))
    await start(self)


DuckDBEngine.start = start_here
for servicer, names in [
    (read_servicer.BigQueryReadHandler, ["_handle_create_read_session"]),
    (write_servicer.BigQueryWriteHandler, ["_handle_create_write_stream", "_bind_stream_to_target", "_perform_append"]),
]:
    for name in names:
        setattr(servicer, name, in_turn(getattr(servicer, name)))
