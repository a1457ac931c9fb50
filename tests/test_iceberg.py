"""Iceberg tables in an attached SQL catalog, shared with PyIceberg."""

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

ROWS = pa.table({"id": pa.array(range(100), pa.int64()), "category": [f"c{i % 4}" for i in range(100)]})


@pytest.fixture(params=["sqlite", "postgres"])
def iceberg(request, tmp_path):
    """The catalog's database URL for Shoal, its URL for PyIceberg, its warehouse."""
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    if request.param == "sqlite":
        url = f"sqlite://{tmp_path}/iceberg.db"
        theirs = f"sqlite:///{tmp_path}/iceberg.db"
    else:
        url = request.getfixturevalue("postgres").database()
        theirs = url.replace("postgres://", "postgresql+psycopg://")
    return url, theirs, warehouse


@pytest.fixture
def both(request, start, iceberg):
    """A cluster with the catalog attached as `ice`, and PyIceberg's view of it."""
    url, theirs, warehouse = iceberg
    catalog = SqlCatalog("ice", uri=theirs, warehouse=f"file://{warehouse}")
    attach = [{"name": "ice", "kind": "iceberg_sql", "uri": url, "warehouse": str(warehouse)}]
    return start("cluster", {"catalog": {"attach": attach}}), catalog


def test_pyiceberg_reads_what_shoal_wrote(both):
    shoal, catalog = both
    shoal.run("CREATE SCHEMA ice.shop",
              "CREATE TABLE ice.shop.sales (id BIGINT, category STRING, ts TIMESTAMP) USING ICEBERG PARTITIONED BY (days(ts), category)",
              "INSERT INTO ice.shop.sales SELECT value, 'c' || (value % 4), TIMESTAMP '2024-01-01 00:00:00' + value * INTERVAL '1 hour' "
              "FROM generate_series(0, 99)",
              "INSERT INTO ice.shop.sales VALUES (100, NULL, TIMESTAMP '2024-02-01 00:00:00')")
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
