"""Iceberg tables in an attached catalog, SQL or REST, shared with PyIceberg."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import BucketTransform, DayTransform, IdentityTransform, TruncateTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from harness.iceberg_rest import RestCatalog

ROWS = pa.table({"id": pa.array(range(100), pa.int64()), "category": [f"c{i % 4}" for i in range(100)]})


@pytest.fixture(params=["sqlite", "postgres", "rest"])
def iceberg(request, tmp_path):
    """The setting that attaches a catalog to Shoal as `ice`, and PyIceberg's view of it."""
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    attach = {"name": "ice", "kind": "iceberg_sql", "warehouse": str(warehouse)}
    url, theirs = f"sqlite://{tmp_path}/iceberg.db", f"sqlite:///{tmp_path}/iceberg.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").database()
        theirs = url.replace("postgres://", "postgresql+psycopg://")
    catalog = SqlCatalog("ice", uri=theirs, warehouse=f"file://{warehouse}")
    if request.param == "rest":
        server = RestCatalog(catalog, token="s3cret")
        yield {**attach, "kind": "iceberg_rest", "uri": server.url, "token": "s3cret"}, catalog
        server.close()
    else:
        yield {**attach, "uri": url}, catalog


@pytest.fixture
def both(start, iceberg):
    """A cluster with the catalog attached as `ice`, which runs everything on executors, and
    PyIceberg's view of the catalog."""
    attach, catalog = iceberg
    return start("cluster", {"catalog": {"attach": [attach]}, "query": {"placement": "distributed"}}), catalog


def test_pyiceberg_reads_what_shoal_wrote(both):
    shoal, catalog = both
    shoal.run("CREATE SCHEMA ice.shop",
              "CREATE TABLE ice.shop.sales (id BIGINT, category STRING, ts TIMESTAMP) USING ICEBERG PARTITIONED BY (days(ts), category)",
              "INSERT INTO ice.shop.sales SELECT value, 'c' || (value % 4), to_timestamp_seconds(1704067200 + value * 3600) "
              "FROM generate_series(0, 99)",
              "INSERT INTO ice.shop.sales VALUES (100, NULL, TIMESTAMP '2024-02-01 00:00:00')")
    shoal.run("CREATE TABLE ice.shop.sorted (id BIGINT, name STRING) USING ICEBERG TBLPROPERTIES ('sorted_by' = 'name, id DESC')",
              "INSERT INTO ice.shop.sorted SELECT value, 'n' || value % 3 FROM generate_series(1, 30)")
    ordered = catalog.load_table("shop.sorted")
    assert [str(field) for field in ordered.sort_order().fields] == ["2 ASC NULLS FIRST", "1 DESC NULLS LAST"]
    for task in ordered.scan().plan_files():
        assert task.file.sort_order_id == ordered.sort_order().order_id
    table = catalog.load_table("shop.sales")
    rows = table.scan().to_arrow()
    assert rows.num_rows == 101 and sorted(rows["id"].to_pylist()) == list(range(101))
    assert table.scan(row_filter="category = 'c1'").to_arrow().num_rows == 25
    assert len(list(table.scan(row_filter="category = 'c1' and ts < '2024-01-02T00:00:00+00:00'").plan_files())) == 1
    assert shoal.rows("SELECT category, count(*) FROM ice.shop.sales WHERE ts < TIMESTAMP '2024-01-02 00:00:00' GROUP BY category ORDER BY category") == [
        (f"c{i}", 6) for i in range(4)]


def test_shoal_reads_and_extends_what_pyiceberg_wrote(both):
    shoal, catalog = both
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.made", schema=ROWS.schema)
    table.append(ROWS)
    assert shoal.rows("SELECT count(*), sum(id) FROM ice.shop.made WHERE category = 'c2'") == [(25, 1250)]
    with table.update_schema() as change:
        change.rename_column("category", "kind")
    assert shoal.rows("SELECT count(*) FROM ice.shop.made WHERE kind = 'c2'") == [(25,)], "matched by field id, not by name"
    shoal.run("INSERT INTO ice.shop.made VALUES (1000, 'new')")
    assert catalog.load_table("shop.made").scan().to_arrow().num_rows == 101


def test_a_table_made_by_a_query(both):
    shoal, catalog = both
    shoal.run("CREATE SCHEMA ice.shop", "CREATE TABLE ice.shop.t USING ICEBERG AS SELECT value AS id FROM generate_series(1, 10)")
    assert catalog.load_table("shop.t").scan().to_arrow().num_rows == 10


def test_values_of_every_type_survive_the_way_there_and_back(both):
    shoal, catalog = both
    shoal.run("CREATE SCHEMA ice.shop",
              "CREATE TABLE ice.shop.types (a BOOLEAN, b SMALLINT, c INT, d BIGINT, e FLOAT, f DOUBLE, g DECIMAL(20, 3), h DATE, "
              "i TIMESTAMP, j STRING, k BINARY, l ARRAY<STRING>, m STRUCT<x: INT, y: STRING>) USING ICEBERG",
              "INSERT INTO ice.shop.types SELECT true, 1, 2, 3, 1.5, 2.5, -12345.678, DATE '1960-02-03', "
              "TIMESTAMP '2024-01-01 10:00:00.123456', 'ä', X'00FF', array('p', NULL), named_struct('x', 7, 'y', 'z')",
              "INSERT INTO ice.shop.types (a) VALUES (NULL)")
    row = catalog.load_table("shop.types").scan(row_filter="c = 2").to_arrow().to_pylist()[0]
    assert row == {
        "a": True, "b": 1, "c": 2, "d": 3, "e": 1.5, "f": 2.5, "g": Decimal("-12345.678"), "h": dt.date(1960, 2, 3),
        "i": dt.datetime(2024, 1, 1, 10, 0, 0, 123456, tzinfo=dt.timezone.utc), "j": "ä", "k": b"\x00\xff",
        "l": ["p", None], "m": {"x": 7, "y": "z"}}
    assert shoal.rows("SELECT count(*), count(c), max(g), min(h) FROM ice.shop.types") == [
        (2, 1, Decimal("-12345.678"), dt.date(1960, 2, 3))]
    assert shoal.rows("SELECT m.y, cardinality(l) FROM ice.shop.types WHERE m.x = 7") == [("z", 2)]


def test_partitions_that_pyiceberg_made_are_pruned_and_extended(both):
    shoal, catalog = both
    catalog.create_namespace("shop")
    schema = Schema(NestedField(1, "n", LongType(), required=False), NestedField(2, "k", StringType(), required=False),
                    NestedField(3, "ts", TimestamptzType(), required=False), NestedField(4, "cat", StringType(), required=False))
    spec = PartitionSpec(PartitionField(1, 1000, BucketTransform(4), "n_bucket"), PartitionField(2, 1001, TruncateTransform(1), "k_trunc"),
                         PartitionField(3, 1002, DayTransform(), "ts_day"), PartitionField(4, 1003, IdentityTransform(), "cat"))
    table = catalog.create_table("shop.parts", schema, partition_spec=spec)
    moments = [dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone.utc), dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc), None]
    table.append(pa.table({"n": pa.array([1, 2, 3], pa.int64()), "k": ["aa", "bb", None],
                           "ts": pa.array(moments, pa.timestamp("us", "UTC")), "cat": ["x", None, ""]}))
    for condition, expected in [("k = 'bb'", 2), ("n = 3", 3), ("ts < TIMESTAMP '2024-01-02 00:00:00'", 1),
                                ("cat = 'x'", 1), ("cat IS NULL", 2), ("cat = ''", 3)]:
        assert shoal.rows(f"SELECT n FROM ice.shop.parts WHERE {condition}") == [(expected,)], condition
    shoal.run("INSERT INTO ice.shop.parts VALUES (4, 'ccc', TIMESTAMP '2024-03-01 01:00:00', 'x'), (5, NULL, NULL, NULL)")
    table = catalog.load_table("shop.parts")
    assert sorted(table.scan().to_arrow()["n"].to_pylist()) == [1, 2, 3, 4, 5]
    for row_filter, expected in [("k = 'ccc'", [4]), ("n = 4", [4]), ("cat = 'x'", [1, 4]), ("ts >= '2024-03-01T00:00:00+00:00'", [4])]:
        assert sorted(table.scan(row_filter=row_filter).to_arrow()["n"].to_pylist()) == expected, row_filter


def test_appends_from_both_sides_at_once_all_arrive(both):
    shoal, catalog = both
    catalog.create_namespace("shop")
    table = catalog.create_table("shop.busy", schema=ROWS.schema)
    for i in range(3):
        table.refresh()
        table.append(ROWS)
        shoal.run(f"INSERT INTO ice.shop.busy VALUES ({1000 + i}, 'shoal')")
    assert shoal.rows("SELECT count(*), count(DISTINCT id) FROM ice.shop.busy") == [(303, 103)]


def test_a_catalog_that_does_not_answer_hides_nothing_else(start):
    attach = [{"name": "gone", "kind": "iceberg_rest", "uri": "http://127.0.0.1:1", "warehouse": "/nowhere", "token": "s3cret"}]
    shoal = start("serve", {"catalog": {"attach": attach}})
    assert ("lake",) in shoal.rows("SHOW CATALOGS")
    assert shoal.rows("SELECT 1") == [(1,)]
    with pytest.raises(Exception) as error:
        shoal.rows("SELECT * FROM gone.a.b")
    assert "gone" in str(error.value) and "s3cret" not in str(error.value)
