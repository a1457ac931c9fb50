"""Runs the TPC-H queries in one engine, in a process of its own: `engine_process.py ENGINE SCALE`.

Prints one JSON line per query: its name, the seconds of the second run, its rows as text.
"""

import json
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "tests")]

from measure import data  # noqa: E402


@contextmanager
def duckdb(scale):
    import duckdb
    with duckdb.connect() as connection:
        for table in data.TABLES:
            connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{data.parquet(scale)}/{table}.parquet'")
        yield lambda sql: connection.execute(sql).fetchall()


@contextmanager
def datafusion(scale):
    from datafusion import SessionContext
    context = SessionContext()
    for table in data.TABLES:
        context.register_parquet(table, str(data.parquet(scale) / f"{table}.parquet"))

    def run(sql):
        return [tuple(row.values()) for batch in context.sql(sql).collect() for row in batch.to_pylist()]

    yield run


@contextmanager
def sail(scale, mode="local"):
    os.environ.update(SAIL_MODE=mode, SAIL_CLUSTER__WORKER_INITIAL_COUNT="2", SAIL_CLUSTER__WORKER_MAX_COUNT="2", RUST_LOG="error")
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    for table in data.TABLES:
        session.read.parquet(str(data.parquet(scale) / f"{table}.parquet")).createOrReplaceTempView(table)
    yield lambda sql: [tuple(row) for row in session.sql(sql).collect()]
    session.stop()
    server.stop()


@contextmanager
def spark(scale):
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    from pyspark.sql import SparkSession
    session = (SparkSession.builder.master("local[*]").config("spark.driver.memory", "8g")
               .config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "4")
               .config("spark.log.level", "ERROR").config("spark.ui.showConsoleProgress", "false").getOrCreate())
    for table in data.TABLES:
        session.read.parquet(str(data.parquet(scale) / f"{table}.parquet")).createOrReplaceTempView(table)
    yield lambda sql: [tuple(row) for row in session.sql(sql).collect()]
    session.stop()


@contextmanager
def shoal(scale, kind, placement="auto"):
    from harness.shoal import Shoal
    settings = {"query": {"placement": placement, **({"local_memory": "4GiB"} if kind == "cluster" else {})},
                "cluster": {"executor": {"vcores": 0 if kind == "serve" else 1, "memory": "4GiB"}}}
    with tempfile.TemporaryDirectory() as folder:
        deployment = Shoal(kind, Path(folder), settings)
        try:
            data.attach(deployment, scale)
            with deployment.connect() as connection, connection.cursor() as cursor:
                def run(sql):
                    cursor.execute(sql)
                    return cursor.fetchall()

                yield run
        finally:
            deployment.discard()


ENGINES = {
    "DuckDB": duckdb,
    "DataFusion": datafusion,
    "Sail": sail,
    "Sail local-cluster": lambda scale: sail(scale, "local-cluster"),
    "Spark": spark,
    "Shoal serve": lambda scale: shoal(scale, "serve"),
    "Shoal 2 executors": lambda scale: shoal(scale, "cluster"),
    "Shoal 2 executors forced": lambda scale: shoal(scale, "cluster", "distributed"),
}


def main(engine: str, scale: float):
    with ENGINES[engine](scale) as run:
        for name, sql in data.QUERIES:
            try:
                run(sql)
                began = time.perf_counter()
                rows = run(sql)
                found = {"seconds": time.perf_counter() - began, "rows": [[str(value) for value in row] for row in rows]}
            except Exception as error:  # a query that fails is a finding, and the others still count
                found = {"error": str(error).splitlines()[0][:200]}
            print(json.dumps({"query": name, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
