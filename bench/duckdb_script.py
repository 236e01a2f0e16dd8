"""Turns `clicktrail compile --target duckdb` into one SQL script: the models, in DAG order."""

from __future__ import annotations

import json
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from harness import BenchError


def scripts(project: Path, threads: int) -> tuple[str, str]:
    """The script that loads the seeds and the one that builds the models."""
    nodes = json.loads((project / "target" / "manifest.json").read_text())["nodes"]
    wanted = {k: n for k, n in nodes.items() if n["resource_type"] in ("model", "seed")}
    graph = {
        key: [parent for parent in node["depends_on"]["nodes"] if parent in wanted]
        for key, node in wanted.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise BenchError(f"cycle in the manifest: {error.args[1]}") from error
    seeds = [f"set threads = {threads};"]
    models = [f"set threads = {threads};"]
    for key in order:
        node = wanted[key]
        if node["resource_type"] == "seed":
            seeds += [schema_of(node), seed_statement(project, node)]
        elif (statement := model_statement(project, node)) is not None:
            models += [schema_of(node), statement]
    return once(seeds), once(models)


def once(statements: list[str]) -> str:
    """One script; a repeated statement, such as that of a schema, stays once."""
    return "\n\n".join(dict.fromkeys(statements)) + "\n"


def schema_of(node: dict) -> str:
    """A schema must be there before what lives in it."""
    return f"create schema if not exists {quoted(node['schema'])};"


def quoted(name: str) -> str:
    """A name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def relation(node: dict) -> str:
    """Where the node lives."""
    return f"{quoted(node['schema'])}.{quoted(node['alias'])}"


def seed_statement(project: Path, node: dict) -> str:
    """A table from the CSV file, with the types of the seed config."""
    path = str(project / node["original_file_path"]).replace("'", "''")
    types = node["config"].get("column_types") or {}
    columns = ", ".join(f"'{name}': '{type_}'" for name, type_ in types.items())
    extra = f", types = {{{columns}}}" if columns else ""
    return (
        f"create or replace table {relation(node)} as\n"
        f"select * from read_csv('{path}', header = true{extra});"
    )


def model_statement(project: Path, node: dict) -> str | None:
    """`create or replace` around the compiled SQL; none for an ephemeral model: it is inlined."""
    kind = node["config"]["materialized"]
    if kind == "ephemeral":
        return None
    # A first build is a full one, so an incremental model is a table here.
    verb = {"view": "view", "table": "table", "incremental": "table"}.get(kind)
    if verb is None:
        raise BenchError(f"model {node['name']}: no script for `materialized: {kind}`")
    compiled = project / "target" / "compiled" / node["package_name"] / node["original_file_path"]
    if not compiled.is_file():
        raise BenchError(f"no compiled SQL of {node['name']}: {compiled}")
    sql = compiled.read_text().strip().rstrip(";")
    return f"-- {node['name']}\ncreate or replace {verb} {relation(node)} as\n{sql}\n;"
