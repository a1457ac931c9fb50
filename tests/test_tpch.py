"""The 22 TPC-H queries over Delta tables, against DuckDB over the Parquet files they were made of."""

import subprocess
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.parquet
import pytest

from harness.shoal import program

QUERIES = Path(__file__).parents[1] / "benchmarks/tpch"
TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


@pytest.fixture(scope="session")
def parquet(tmp_path_factory):
    """The folder of the Parquet files, at scale 0.05."""
    folder = tmp_path_factory.mktemp("tpch")
    subprocess.run([program("tpch-data"), "--scale", "0.05", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def loaded(shoal, parquet):
    """`shoal` with the tables in schema `tpch`."""
    shoal.run("CREATE SCHEMA tpch")
    with shoal.connect() as connection, connection.cursor() as cursor:
        for table in TABLES:
            # In batches that fit the driver's default message size.
            file = pyarrow.parquet.ParquetFile(parquet / f"{table}.parquet")
            rows = pyarrow.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(20_000))
            cursor.adbc_ingest(table, rows, mode="create", catalog_name="lake", db_schema_name="tpch")
    yield shoal
    shoal.run("DROP SCHEMA tpch CASCADE")


def same(found, expected) -> bool:
    """Equal; numbers that are not whole up to their last digits, which engines round differently."""
    if isinstance(expected, (float, Decimal)):
        return float(found) == pytest.approx(float(expected), rel=1e-6, abs=0.01)
    return found == expected


@pytest.mark.parametrize("placement", ["local", "distributed"])
@pytest.mark.parametrize("query", range(1, 23))
def test_the_answer_is_the_one_of_duckdb(loaded, parquet, query, placement):
    sql = (QUERIES / f"q{query:02}.sql").read_text()
    with duckdb.connect() as duck:
        for table in TABLES:
            duck.execute(f"CREATE VIEW {table} AS SELECT * FROM '{parquet}/{table}.parquet'")
        expected = duck.execute(sql).fetchall()
    with loaded.connect() as connection, connection.cursor() as cursor:
        for setting in ("USE lake.tpch", f"SET query.placement = '{placement}'"):
            cursor.execute(setting)
            cursor.fetchall()
        cursor.execute(sql)
        found = cursor.fetchall()
    assert len(found) == len(expected)
    for found_row, expected_row in zip(found, expected):
        assert all(map(same, found_row, expected_row)), (found_row, expected_row)
