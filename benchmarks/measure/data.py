"""TPC-H data, made once per scale and kept in the cache."""

import os
import subprocess
from pathlib import Path

from harness.minio import CACHE
from harness.shoal import program

TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
QUERIES = [(path.stem, path.read_text()) for path in sorted((Path(__file__).parents[1] / "tpch").glob("q*.sql"))]


def parquet(scale: float) -> Path:
    """The folder with one Parquet file per table."""
    folder = CACHE / f"tpch/{scale:g}"
    if not (folder / "lineitem.parquet").exists():
        making = folder.with_suffix(".making")
        subprocess.run([program("tpch-data"), "--scale", str(scale), making], check=True)
        os.rename(making, folder)
    return folder


def delta(scale: float) -> Path:
    """The folder with one Delta table per table, written by deltalake from the same files."""
    import deltalake
    import pyarrow.dataset

    folder = CACHE / f"tpch/{scale:g}-delta"
    for table in TABLES:
        if not (folder / table / "_delta_log").exists():
            rows = pyarrow.dataset.dataset(parquet(scale) / f"{table}.parquet")
            deltalake.write_deltalake(folder / table, rows.scanner().to_reader(), target_file_size=128 << 20)
    return folder


def attach(shoal, scale: float):
    """Makes the Delta tables known to a deployment, in its default schema."""
    for table in TABLES:
        shoal.run(f"CREATE TABLE {table} USING DELTA LOCATION '{delta(scale) / table}'")
