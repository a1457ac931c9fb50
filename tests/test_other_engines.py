"""What Shoal writes other engines read, and the reverse."""

import datetime

import deltalake
import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

ROWS = pa.table({
    "id": pa.array(range(1000), pa.int64()),
    "name": [f"n{i}" if i % 10 else None for i in range(1000)],
    "amount": pa.array([i / 4 for i in range(1000)], pa.float64()),
    "at": pa.array([datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i) for i in range(1000)], pa.timestamp("us", "UTC")),
    "day": [f"2024-01-{1 + i % 3:02}" for i in range(1000)],
})


def test_deltalake_and_duckdb_read_what_shoal_wrote(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, name STRING, day STRING) PARTITIONED BY (day)",
              f"INSERT INTO {schema}.t SELECT value, 'n' || value, CASE value % 2 WHEN 0 THEN 'even' ELSE 'odd' END "
              "FROM generate_series(1, 1000)",
              f"INSERT INTO {schema}.t VALUES (0, NULL, NULL)")
    table = deltalake.DeltaTable(str(shoal.location("default", f"{schema}/t")))
    assert table.version() == 2
    assert table.metadata().partition_columns == ["day"]
    rows = table.to_pyarrow_table()
    assert rows.num_rows == 1001
    assert rows.filter(pa.compute.is_null(rows["day"])).to_pylist() == [{"id": 0, "name": None, "day": None}]
    assert duckdb.sql("SELECT day, count(*), sum(id) FROM rows WHERE day IS NOT NULL GROUP BY day ORDER BY day").fetchall() == [
        ("even", 500, 250500), ("odd", 500, 250000)]


def test_the_log_carries_statistics_other_engines_prune_by(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, CASE WHEN value > 3 THEN value END AS b FROM generate_series(1, 10)")
    table = deltalake.DeltaTable(str(shoal.location("default", f"{schema}/t")))
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert sum(action["num_records"] for action in actions) == 10
    assert min(action["min.id"] for action in actions) == 1
    assert max(action["max.id"] for action in actions) == 10
    assert sum(action["null_count.b"] for action in actions) == 3


def test_shoal_reads_and_extends_what_deltalake_wrote(shoal, schema, tmp_path):
    location = tmp_path / "made elsewhere"
    deltalake.write_deltalake(location, ROWS, partition_by=["day"])
    shoal.run(f"CREATE TABLE {schema}.t USING DELTA LOCATION '{location}'")
    expected = duckdb.sql("SELECT day, count(*), count(name), sum(amount), min(\"at\"::TIMESTAMP)::VARCHAR FROM ROWS GROUP BY day ORDER BY day").fetchall()
    found = shoal.rows(f"SELECT day, count(*), count(name), sum(amount), CAST(CAST(min(at) AS TIMESTAMP) AS STRING) FROM {schema}.t GROUP BY day ORDER BY day")
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    assert shoal.value(f"SELECT count(*) FROM {schema}.t WHERE day = '2024-01-02' AND id < 100") == 33

    deltalake.write_deltalake(location, ROWS.slice(0, 10), mode="append")
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 1010, "a commit from outside is seen at once"
    shoal.run(f"INSERT INTO {schema}.t SELECT id + 5000, name, amount, at, day FROM {schema}.t WHERE id < 5")
    assert deltalake.DeltaTable(location).to_pyarrow_table().num_rows == 1020

    with pytest.raises(Exception, match="external"):
        shoal.run(f"DROP TABLE {schema}.t PURGE")
    shoal.run(f"DROP TABLE {schema}.t")
    assert deltalake.DeltaTable(location).version() == 2, "an external table keeps its files"


def test_deletes_by_another_engine_are_seen(shoal, schema, tmp_path):
    deltalake.write_deltalake(tmp_path / "t", ROWS)
    shoal.run(f"CREATE TABLE {schema}.t USING DELTA LOCATION '{tmp_path}/t'")
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 1000
    deltalake.DeltaTable(tmp_path / "t").delete("id % 2 = 0")
    assert shoal.rows(f"SELECT count(*), min(id) FROM {schema}.t") == [(500, 1)]


def test_a_table_with_an_unknown_reader_feature_is_refused_by_name(shoal, schema, tmp_path):
    deltalake.write_deltalake(tmp_path / "t", ROWS)
    log = tmp_path / "t/_delta_log/00000000000000000001.json"
    log.write_text('{"protocol":{"minReaderVersion":3,"minWriterVersion":7,'
                   '"readerFeatures":["crystalBall"],"writerFeatures":["crystalBall"]}}\n')
    with pytest.raises(Exception, match="crystalBall"):
        shoal.run(f"CREATE TABLE {schema}.t USING DELTA LOCATION '{tmp_path}/t'", f"SELECT count(*) FROM {schema}.t")


def test_each_file_is_in_the_order_that_the_table_asks_for(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, name STRING, day STRING) PARTITIONED BY (day) "
              "TBLPROPERTIES ('sorted_by' = 'name DESC, id')",
              f"INSERT INTO {schema}.t SELECT value * 7919 % 1000, IF(value % 50 = 0, NULL, 'n' || value % 5), 'd' || value % 3 "
              "FROM generate_series(1, 1000)")
    table = deltalake.DeltaTable(str(shoal.location("default", f"{schema}/t")))
    files = table.file_uris()
    assert len(files) >= 3
    for file in files:
        rows = pa.parquet.read_table(file, columns=["name", "id"]).to_pylist()
        keys = [(row["name"] is not None, row["name"] or "") for row in rows]
        assert keys == sorted(keys, reverse=True), "descending, NULL last"
        assert all(a["id"] <= b["id"] for a, b in zip(rows, rows[1:]) if a["name"] == b["name"])
    with pytest.raises(Exception, match="no column nope"):
        shoal.run(f"CREATE TABLE {schema}.wrong (id BIGINT) TBLPROPERTIES ('sorted_by' = 'nope')")
