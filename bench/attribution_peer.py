"""Runs inside the pinned environment: writes paths, and computes them with ChannelAttribution.

Usage: attribution_peer.py generate FILE ROWS SEED
       attribution_peer.py heuristics FILE OUT
       attribution_peer.py markov FILE OUT ORDER CORES SEED
       attribution_peer.py exact FILE OUT
"""

import collections
import json
import sys
import time

CHANNELS = 20
CHUNK = 1_000_000
SEPARATOR = " > "
START, CONVERSION, LOSS = "(start)", "(conversion)", "(loss)"


def chunk(rows: int, random):
    """A table of so many journeys: 1 to 20 touches, 5 on average; some channels convert better."""
    import numpy
    import pyarrow
    import pyarrow.compute as compute

    lengths = numpy.minimum(random.geometric(0.2, rows), 20)
    ends = numpy.concatenate([[0], numpy.cumsum(lengths)])
    popular = 1.0 / numpy.arange(1, CHANNELS + 1)
    touches = random.choice(CHANNELS, ends[-1], p=popular / popular.sum())
    names = pyarrow.array([f"Channel {k:02}" for k in range(CHANNELS)])
    flat = names.take(pyarrow.array(touches))
    paths = compute.binary_join(pyarrow.ListArray.from_arrays(ends.astype("int32"), flat), SEPARATOR)
    skill = 0.02 + 0.01 * (touches % 7)
    chance = numpy.add.reduceat(skill, ends[:-1])
    converted = (random.random(rows) < numpy.minimum(chance, 0.9)).astype("int64")
    cents = numpy.round(random.lognormal(4, 1, rows) * 100) * converted
    return pyarrow.table({
        "path": paths, "converted": converted, "lost": 1 - converted, "value": cents / 100,
    })


def generate(file: str, rows: int, seed: int) -> None:
    """A Parquet file of journeys, one row each."""
    import numpy
    import pyarrow.parquet as parquet

    random = numpy.random.default_rng(seed)
    writer = None
    for start in range(0, rows, CHUNK):
        table = chunk(min(CHUNK, rows - start), random)
        writer = writer or parquet.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=CHUNK // 8)
    writer.close()


def read(file: str):
    """The file as a data frame."""
    import pandas

    return pandas.read_parquet(file)


def heuristics(file: str, out: str) -> None:
    """First, last and linear touch."""
    from ChannelAttribution import heuristic_models

    data = read(file)
    start = time.perf_counter()
    result = heuristic_models(data, "path", "converted", var_value="value", flg_pro=False)
    store(out, result, time.perf_counter() - start)


def markov(file: str, out: str, order: int, cores: int, seed: int) -> None:
    """Its Markov model, which is simulated."""
    from ChannelAttribution import markov_model

    data = read(file)
    start = time.perf_counter()
    result = markov_model(data, "path", "converted", var_value="value", var_null="lost", order=order,
                          ncore=cores, seed=seed, verbose=False, flg_pro=False)
    store(out, result, time.perf_counter() - start)


def exact(file: str, out: str) -> None:
    """Markov of order 1 by numpy alone, as a judge of both: removal effects of the absorbing chain `(I - Q)^-1 R`."""
    import numpy

    data = read(file)
    steps = collections.Counter()
    for path, converted, lost in zip(data["path"], data["converted"], data["lost"]):
        states = [START, *path.split(SEPARATOR)]
        for pair in zip(states, states[1:]):
            steps[pair] += converted + lost
        steps[states[-1], CONVERSION] += converted
        steps[states[-1], LOSS] += lost
    channels = sorted({state for state, _ in steps} - {START})

    def chance(removed: str | None) -> float:
        rows = {state: row for row, state in enumerate(state for state in [START, *channels] if state != removed)}
        within, ends, totals = (numpy.zeros(shape) for shape in [(len(rows),) * 2, len(rows), len(rows)])
        for (state, to), count in steps.items():
            if state == removed:
                continue
            totals[rows[state]] += count
            if to == CONVERSION:
                ends[rows[state]] += count
            elif to in rows:
                within[rows[state], rows[to]] += count
        return numpy.linalg.solve(numpy.eye(len(rows)) - within / totals[:, None], ends / totals)[0]

    whole, converted = chance(None), int(data["converted"].sum())
    effects = {channel: 1 - chance(channel) / whole for channel in channels}
    share = converted / sum(effects.values())
    with open(out, "w") as file:
        json.dump({channel: effect * share for channel, effect in effects.items()}, file)


def store(out: str, result, seconds: float) -> None:
    """The rows, and how long the call alone took."""
    with open(out, "w") as file:
        json.dump({"seconds": seconds, "rows": result.to_dict("records")}, file)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    if what == "generate":
        generate(rest[0], int(rest[1]), int(rest[2]))
    elif what == "heuristics":
        heuristics(*rest)
    elif what == "exact":
        exact(*rest)
    else:
        markov(rest[0], rest[1], *map(int, rest[2:]))
