"""Small statements through Flight SQL: p50 and p99 of each, one client after the other."""

import random
import statistics
import time

from harness.shoal import Shoal

ROWS = 10_000_000
TABLE = f"""CREATE TABLE things AS SELECT value AS id, 'thing ' || value AS name, value % 1000 AS kind, value * 0.25 AS price
            FROM generate_series(1, {ROWS})"""
STATEMENTS = {
    "SELECT 1": "SELECT 1",
    "point lookup": "SELECT * FROM things WHERE id = {key}",
    "COUNT(*)": "SELECT count(*) FROM things",
}
RUNS = 300


def measure(folder, arguments):
    yield f"Latency through Python's ADBC driver, milliseconds, {RUNS} runs each, a table of {ROWS:,} rows"
    yield ""
    yield "| | | p50 | p99 |"
    yield "|---|---|---:|---:|"
    for kind in ("serve", "cluster"):
        place = folder / kind
        place.mkdir()
        deployment = Shoal(kind, place)
        try:
            deployment.run(TABLE)
            keys = random.Random(1)
            with deployment.connect() as connection, connection.cursor() as cursor:
                for name, sql in STATEMENTS.items():
                    times = []
                    for run in range(RUNS + 20):
                        statement = sql.format(key=keys.randrange(1, ROWS))
                        began = time.perf_counter()
                        cursor.execute(statement)
                        cursor.fetchall()
                        times.append(1000 * (time.perf_counter() - began))
                    warm = times[20:]
                    yield f"| {kind} | {name} | {statistics.median(warm):.1f} | {statistics.quantiles(warm, n=100)[98]:.1f} |"
        finally:
            deployment.discard()
