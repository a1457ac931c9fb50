"""Writing `lineitem` into a Delta table: Shoal's INSERT … SELECT against the deltalake package."""

import time

import deltalake
import pyarrow.dataset

from harness.shoal import Shoal

from .data import attach, parquet


def measure(folder, arguments):
    source = pyarrow.dataset.dataset(parquet(arguments.scale) / "lineitem.parquet")
    rows = source.count_rows()
    speeds = {}
    for run in range(2):
        began = time.perf_counter()
        deltalake.write_deltalake(folder / f"deltalake{run}", source.scanner().to_reader())
        speeds["deltalake"] = rows / (time.perf_counter() - began)
    for kind in ("serve", "cluster"):
        place = folder / kind
        place.mkdir()
        deployment = Shoal(kind, place)
        try:
            attach(deployment, arguments.scale)
            for run in range(2):
                deployment.run(f"CREATE TABLE target{run} AS SELECT * FROM lineitem LIMIT 0")
                began = time.perf_counter()
                deployment.run(f"INSERT INTO target{run} SELECT * FROM lineitem")
                speeds[f"Shoal {kind}"] = rows / (time.perf_counter() - began)
                assert deployment.value(f"SELECT count(*) FROM target{run}") == rows
        finally:
            deployment.discard()
    yield f"INSERT of lineitem into Delta, scale {arguments.scale:g} ({rows} rows)"
    yield ""
    yield "| | rows/s | × deltalake |"
    yield "|---|---:|---:|"
    for name, speed in speeds.items():
        yield f"| {name} | {speed:,.0f} | {speed / speeds['deltalake']:.2f} |"
