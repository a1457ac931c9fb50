"""Small statements through Flight SQL: p50 and p99 of each, one client after the other."""

import statistics
import time

from harness.shoal import Shoal

from .data import attach

STATEMENTS = {
    "SELECT 1": "SELECT 1",
    "point lookup": "SELECT * FROM orders WHERE o_orderkey = 1",
    "COUNT(*)": "SELECT count(*) FROM lineitem",
}
RUNS = 300


def measure(folder, arguments):
    yield f"Latency through Python's ADBC driver, milliseconds, {RUNS} runs each, scale {arguments.scale:g}"
    yield ""
    yield "| | | p50 | p99 |"
    yield "|---|---|---:|---:|"
    for kind in ("serve", "cluster"):
        place = folder / kind
        place.mkdir()
        deployment = Shoal(kind, place)
        try:
            attach(deployment, arguments.scale)
            with deployment.connect() as connection, connection.cursor() as cursor:
                for name, sql in STATEMENTS.items():
                    times = []
                    for run in range(RUNS + 20):
                        began = time.perf_counter()
                        cursor.execute(sql)
                        cursor.fetchall()
                        times.append(1000 * (time.perf_counter() - began))
                    warm = times[20:]
                    yield f"| {kind} | {name} | {statistics.median(warm):.1f} | {statistics.quantiles(warm, n=100)[98]:.1f} |"
        finally:
            deployment.discard()
