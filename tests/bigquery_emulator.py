"""Starts bqemulator, a BigQuery server on DuckDB, for checks: `python bigquery_emulator.py REST_PORT GRPC_PORT`.

Four of its ways are changed here, as BigQuery has others:
- it asks for DuckDB's extension `spatial`, which it would download; nothing here has geography in it, so it runs without;
- where it expands `select *` it leaves out columns that are structs, as it has no type for them; here they get one;
- `cast(x as numeric)` keeps three digits after the point, as a DECIMAL of DuckDB does; a NUMERIC of BigQuery has nine;
- `cast(text as bytes)` fails for any letter outside ASCII, as DuckDB's cast reads escapes; BigQuery gives the text in UTF-8.

Two more make it quicker, as its time goes into parsing:
- it parses a statement anew for each of its twenty rewriters; here the same text is parsed once;
- to look for row access policies it writes out all views below a statement; there are no policies here, and DuckDB has the views.

Those of the Storage APIs: `bigquery_emulator_storage`.
"""

import sys
from functools import lru_cache

import sqlglot
from bqemulator import cli
from bqemulator.sql import catalog_schema, inner_query, rules
from bqemulator.storage.engine import DuckDBEngine
from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import build_default_decimal_type

DuckDBEngine._load_spatial = lambda self: None
type_of = catalog_schema._safe_bq_to_duckdb
catalog_schema._safe_bq_to_duckdb = lambda name: type_of(name) or "STRUCT"
nine_digits = build_default_decimal_type(precision=38, scale=9)
BigQuery.Parser.TYPE_CONVERTERS = {**BigQuery.Parser.TYPE_CONVERTERS, exp.DataType.Type.DECIMAL: nine_digits}

inner_query.rewrite_for_row_access = lambda sql, **_: sql
parse_one = sqlglot.parse_one
parse_once = lru_cache(64)(lambda sql, read: parse_one(sql, read=read))


def parsed(sql: str, read: str | None = None, **more) -> exp.Expression:
    """`sqlglot.parse_one`; callers change what they get, so that each gets a copy."""
    return parse_one(sql, read=read, **more) if more else parse_once(sql, read).copy()


sqlglot.parse_one = parsed


@rules.register
class TextAsBytes(rules.TranslationRule):
    """`cast(x as blob)` becomes `encode(x)`, but not where the emulator writes it itself to count the bytes of a blob."""

    name = "TEXT_AS_BYTES"

    def applies_to(self, node: exp.Expression) -> bool:
        if not isinstance(node, exp.Cast) or not node.to.is_type(exp.DataType.Type.VARBINARY):
            return False
        above = node.parent
        counts = isinstance(above, exp.Anonymous) and str(above.this).upper() == "OCTET_LENGTH"
        return not counts and type(above).__name__ not in ("OctetLength", "ByteLength")

    def rewrite(self, node: exp.Expression) -> exp.Expression:
        return exp.Anonymous(this="encode", expressions=[node.this.copy()])


# Reads the rules as they are by now.
import bigquery_emulator_storage  # noqa: E402, F401


def main() -> None:
    rest, grpc = sys.argv[1:3]
    sys.argv = ["bqemulator", "start", "--rest-port", rest, "--grpc-port", grpc, "--log-level", "error"]
    cli.main()


if __name__ == "__main__":
    main()
