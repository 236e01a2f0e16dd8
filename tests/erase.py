#!/usr/bin/env python3
"""`clicktrail erase` with events that only the log of a server holds: nothing of the person is left, and the rest is as if nobody had been there.

Set CLICKTRAIL_BIN. One person's events are stored, in the log, and refused; the server is killed, so that nothing is tidied up before.
"""

import json
import shutil
import tempfile
from pathlib import Path

import duckdb
from harness import Checks, clicktrail
from live_server import Server, bag, differences, empty_project, log_files, now_micros, query, run, visit

# The least and the greatest of all ids, so that statistics of files name them.
ANN, LOGIN, BOB = "0ann.1700000001", "zz-ann@shop.example", "bob.1700000002"
BUILD = ("build", "--exclude", "test_type:unit", "--quiet")
MARTS = ("int_events", "int_sessions", "int_touchpoints", "int_conversions", "int_journeys", "fct_credits", "mart_attribution_daily", "mart_paths", "mart_first_click")


def hold(project: Path, words: list[str]) -> list[str]:
    """Files below the project with one of the words: their bytes as they are, and the rows of Parquet files besides."""
    database, found = duckdb.connect(), []
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        content, name = path.read_bytes(), str(path.relative_to(project))
        if any(word.encode() in content for word in words):
            found.append(name)
        elif path.suffix == ".parquet" and len(content) > 12 and content.endswith(b"PAR1"):
            # One that a killed server did not finish has no footer, and was looked at as bytes.
            tests = " or ".join(f"contains(cast(r as varchar), '{word}')" for word in words)
            if database.sql(f"select 1 from read_parquet('{path}', hive_partitioning = false) as r where {tests} limit 1").fetchall():
                found.append(name)
    return found


def visits(device: str, numbers: range, at: int, login: str | None = None) -> list[list[dict]]:
    """Sessions of one device, an hour apart."""
    found = []
    for number in numbers:
        rows = visit(number, at - number * 3_600_000_000, device=device)
        found.append([row | {"user_id": login} for row in rows] if login else rows)
    return found


def bad(device: str) -> list[dict]:
    """An event that is refused and kept as it came."""
    return [visit(9, 1, device=device)[0] | {"event_timestamp": "never"}]


def served(project: Path, first: list[list[dict]], last: list[list[dict]], refused: list[dict]) -> None:
    """Some events are stored and built, the last ones are in the log alone when the server is killed."""
    server = Server(project, "--store-every", "3600").ready()
    for rows in first:
        assert server.post_rows(rows).status == 200
    server.settled()
    assert server.stop() == 0
    clicktrail(project, *BUILD)
    server = Server(project, "--store-every", "3600").ready()
    for rows in last:
        assert server.post_rows(rows).status == 200
    if refused:
        assert server.post_rows(refused).status in (200, 207, 400), "a refused event is answered"
    server.settled()
    server.kill()


def marts(project: Path) -> dict[str, list[str]]:
    return {name: bag(query(project, f"select * from {name}")) for name in MARTS}


def main() -> None:
    checks = Checks("erase")
    with tempfile.TemporaryDirectory() as folder:
        base, at = empty_project(Path(folder)), now_micros() - 3_600_000_000
        without = Path(shutil.copytree(base, base.with_name("without")))
        ann, bob = visits(ANN, range(1, 5), at, LOGIN), visits(BOB, range(5, 9), at - 60_000_000)
        served(base, [*ann[:2], *bob[:2]], [*ann[2:], *bob[2:]], bad(ANN))
        served(without, bob[:2], bob[2:], [])
        in_log = [path.name for path in log_files(base) if path.stat().st_size > 64]
        checks.holds("events of both are in the log when the server dies", "" if in_log and hold(base / "warehouse/.live", [ANN]) else f"log files {in_log}")
        run(base, "query", f"select count(*) from int_events where user_pseudo_id = '{ANN}'")

        said = run(base, "erase", ANN, "--user-id", LOGIN, "--yes", "--output", "json")
        checks.equal("erase ends well", (said.returncode, said.stderr[-300:] if said.returncode else ""), (0, ""))
        report = json.loads(said.stdout)
        checks.equal("and says that all is clean", (report["is_clean"], report["left_in"]), (True, []))
        checks.equal("no file of the project holds an id", hold(base, [ANN, LOGIN]), [])
        clicktrail(without, *BUILD)
        clicktrail(base, *BUILD)
        checks.holds("the marts are those of a project that never saw the person", differences(marts(base), marts(without)))
        proof = query(base, "select * from erasures")
        checks.holds("each row of the proof is clean", "" if proof and all(row["is_clean"] and row["rows_after"] == 0 for row in proof) else str(proof)[:300])
        erased = {row["table_name"]: row["rows_before"] for row in proof if row["rows_before"]}
        events = sum(len(rows) for rows in ann)
        checks.equal("it counts the events of the log too", erased.get("events_stream"), events)
        checks.holds("and the refused one", "" if erased.get("events_dead_letter") == 1 else str(erased))
        hashes = set(report["id_hashes"])
        checks.equal("its hashes are those of the list", hashes, {line.split(",")[2] for line in (base / "erased_persons.csv").read_text().splitlines()[1:]})

        server = Server(base).ready()
        checks.equal("the next server has nobody of that name", server.rows(f"select count(*) as n from int_users where person_key = '{ANN}'"), [{"n": 0}])
        checks.equal("and everybody else", server.rows("select person_key from int_users"), [{"person_key": BOB}])
        again = [server.post_rows(rows).status for rows in (*visits(ANN, range(1, 3), at, LOGIN), *visits("new.1700000003", range(1, 2), at, LOGIN), *bob[:1])]
        checks.equal("events of the person are still answered", again, [200] * 4)
        server.settled()
        checks.equal("and left out", server.rows("select person_key from int_users"), [{"person_key": BOB}])
        server.kill()
        server = Server(base).ready()
        checks.equal("the start after it has everybody else", server.rows("select person_key from int_users"), [{"person_key": BOB}])
        checks.equal("the server ends well", server.stop(), 0)
        # What was sent since lies in the log, in a file that is not full yet.
        found = [name for name in hold(base, [ANN, LOGIN]) if not name.startswith("warehouse/.live/log/")]
        checks.equal("no table has the person again", found, [])
        said = run(base, "erase", ANN, "--user-id", LOGIN, "--yes")
        checks.equal("erasing again ends well", (said.returncode, "no table holds it any more" in said.stdout), (0, True))
        checks.equal("and empties the log", hold(base, [ANN, LOGIN]), [])
    checks.finish()


if __name__ == "__main__":
    main()
