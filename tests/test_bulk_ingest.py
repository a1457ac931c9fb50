"""Bulk ingest (`adbc_ingest`) and cancellation through ADBC."""

import threading
import time

import pyarrow as pa
import pytest

ROWS = pa.table({"id": pa.array([1, 2, 3], pa.int64()), "name": ["a", None, "c"],
                 "vector": pa.array([[0.5, 1.5], [], None], pa.list_(pa.float32()))})


def ingest(shoal, schema, mode, table=ROWS):
    with shoal.connect() as connection, connection.cursor() as cursor:
        return cursor.adbc_ingest("t", table, mode=mode, catalog_name="lake", db_schema_name=schema)


def test_ingest_creates_appends_and_replaces(shoal, schema):
    assert ingest(shoal, schema, "create") == 3
    assert shoal.table(f"SELECT * FROM {schema}.t ORDER BY id").to_pylist() == ROWS.to_pylist()
    assert ingest(shoal, schema, "append") == 3
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 6
    assert ingest(shoal, schema, "replace", ROWS.slice(0, 1)) == 1
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 1


def test_ingest_refuses_what_does_not_fit_and_leaves_the_table(shoal, schema):
    with pytest.raises(Exception, match="t"):
        ingest(shoal, schema, "append")
    ingest(shoal, schema, "create")
    with pytest.raises(Exception, match="t"):
        ingest(shoal, schema, "create")
    with pytest.raises(Exception, match="other"):
        ingest(shoal, schema, "append", pa.table({"other": [1]}))
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 3


def test_a_large_ingest_arrives_whole(shoal, schema):
    ids = pa.array(range(1_000_000), pa.int64())
    assert ingest(shoal, schema, "create", pa.table({"id": ids})) == 1_000_000
    assert shoal.rows(f"SELECT count(*), sum(id), count(DISTINCT id) FROM {schema}.t") == [
        (1_000_000, 999_999 * 500_000, 1_000_000)]


LONG = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 1000) b ON a.value % 997 <> b.value"


def jobs(shoal) -> list:
    return [row for row in shoal.rows("SHOW JOBS") if "running" in map(str, row) and "generate_series" in str(row)]


def test_cancel_stops_the_statement_and_frees_the_cluster(shoal):
    with shoal.connect() as connection, connection.cursor() as cursor:
        threading.Timer(2, cursor.adbc_cancel).start()
        began = time.monotonic()
        with pytest.raises(Exception):
            cursor.execute(LONG)
            cursor.fetchall()
        assert time.monotonic() - began < 15
    deadline = time.monotonic() + 15
    while jobs(shoal):
        assert time.monotonic() < deadline, jobs(shoal)
        time.sleep(0.2)
    assert shoal.value("SELECT 1") == 1
