"""TPC-H: 22 queries, each engine on the same rows, answers checked against DuckDB's."""

import json
import subprocess
import sys
from pathlib import Path

from . import data
from .engine_process import ENGINES as ALL

ENGINES = list(ALL)
ENGINE_PROCESS = Path(__file__).parent / "engine_process.py"


def results(engine: str, scale: float) -> dict:
    """What the engine's process printed, by query."""
    done = subprocess.run([sys.executable, ENGINE_PROCESS, engine, str(scale)], stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(f"{engine}: {sum(row.get('seconds', 0) for row in rows):.1f} s", file=sys.stderr)
    return {row["query"]: row for row in rows}


def same(one: list, other: list) -> bool:
    """Whether two results agree; numbers up to the digits that engines round differently."""
    def close(a, b):
        try:
            return abs(float(a) - float(b)) <= 0.01 + 1e-6 * abs(float(a))
        except ValueError:
            return a == b

    return len(one) == len(other) and all(
        len(a) == len(b) and all(map(close, a, b)) for a, b in zip(one, other))


def measure(folder, arguments):
    data.parquet(arguments.scale), data.delta(arguments.scale)
    found = {engine: results(engine, arguments.scale) for engine in arguments.engines.split(",")}
    expected = found.get("DuckDB", {})
    totals, remarks = {}, []
    for engine, queries in found.items():
        totals[engine] = sum(query.get("seconds", 0) for query in queries.values())
        for name, _ in data.QUERIES:
            query = queries.get(name, {"error": "the engine ended before it"})
            if "error" in query:
                remarks.append(f"- {engine}, {name}: {query['error']}")
            elif expected and not same(query["rows"], expected[name]["rows"]):
                remarks.append(f"- {engine}, {name}: another answer than DuckDB")
    base = totals.get("DataFusion")
    yield f"TPC-H, scale {arguments.scale:g}, seconds of the second run"
    yield ""
    yield "| | " + " | ".join(found) + " |"
    yield "|---|" + "---:|" * len(found)
    for name, _ in data.QUERIES:
        seconds = (queries.get(name, {}).get("seconds") for queries in found.values())
        yield f"| {name} | " + " | ".join("–" if s is None else f"{s:.2f}" for s in seconds) + " |"
    yield "| **all** | " + " | ".join(f"**{total:.1f}**" for total in totals.values()) + " |"
    if base:
        yield "| × DataFusion | " + " | ".join(f"{total / base:.2f}" for total in totals.values()) + " |"
    yield from ["", *remarks] if remarks else []
