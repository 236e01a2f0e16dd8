"""Starts bqemulator, a BigQuery server on DuckDB, for checks: `python bigquery_emulator.py REST_PORT GRPC_PORT`.

Two of its ways are changed here:
- it asks for DuckDB's extension `spatial`, which it would download; nothing here has geography in it, so it runs without;
- where it expands `select *` it leaves out columns that are structs, as it has no type for them; here they get one.
"""

import sys

from bqemulator import cli
from bqemulator.sql import catalog_schema
from bqemulator.storage.engine import DuckDBEngine

DuckDBEngine._load_spatial = lambda self: None
type_of = catalog_schema._safe_bq_to_duckdb
catalog_schema._safe_bq_to_duckdb = lambda name: type_of(name) or "STRUCT"


def main() -> None:
    rest, grpc = sys.argv[1:3]
    sys.argv = ["bqemulator", "start", "--rest-port", rest, "--grpc-port", grpc, "--log-level", "error"]
    cli.main()


if __name__ == "__main__":
    main()
