"""Zones on an S3-compatible store, reached by scheduler and executors from one section."""

import deltalake
import pyarrow.fs
import pytest
from pyiceberg.catalog.sql import SqlCatalog


@pytest.fixture(params=["serve", "cluster"])
def on_s3(request, start, minio):
    bucket = minio.bucket()
    storage = {f"{zone}_path": f"s3://{bucket}/{zone}/" for zone in ("raw", "processed", "curated", "default")}
    deployment = start(request.param, {"storage": {**storage, "s3": minio.settings()}})
    deployment.bucket = bucket
    return deployment


def test_tables_live_in_the_bucket(on_s3, minio):
    on_s3.run("CREATE TABLE processed.t (id BIGINT, day STRING) PARTITIONED BY (day)",
              "INSERT INTO processed.t SELECT value, CAST(value % 3 AS STRING) FROM generate_series(1, 3000)",
              "INSERT INTO processed.t VALUES (0, '0')")
    with on_s3.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET query.placement = 'distributed'")
        cursor.fetchall()
        cursor.execute("SELECT day, count(*), sum(id) FROM processed.t GROUP BY day ORDER BY day")
        assert cursor.fetchall() == [("0", 1001, 1501500), ("1", 1000, 1499500), ("2", 1000, 1500500)]
    table = deltalake.DeltaTable(f"s3://{on_s3.bucket}/processed/t", storage_options=minio.delta_options())
    assert table.to_pyarrow_table().num_rows == 3001

    deltalake.write_deltalake(table, table.to_pyarrow_table().slice(0, 9), mode="append")
    assert on_s3.value("SELECT count(*) FROM processed.t") == 3010

    on_s3.run("DROP TABLE processed.t PURGE")
    left = minio.files.get_file_info(
        pyarrow.fs.FileSelector(f"{on_s3.bucket}/processed/t", allow_not_found=True, recursive=True))
    assert [entry.path for entry in left if entry.is_file] == []


def test_iceberg_tables_live_in_the_bucket_too(on_s3, minio):
    on_s3.run("CREATE TABLE processed.odd (id BIGINT, name STRING) USING ICEBERG PARTITIONED BY (name)",
              "INSERT INTO processed.odd VALUES (1, 'a/b c%2F'), (2, 'ä=#?'), (3, ''), (4, NULL)",
              "CREATE TABLE processed.copied USING ICEBERG AS SELECT * FROM processed.odd")
    path = on_s3.settings["catalog"]["url"].removeprefix("sqlite://")
    catalog = SqlCatalog("lake", uri=f"sqlite:///{path}", **minio.iceberg_options())
    for name in ("odd", "copied"):
        rows = catalog.load_table(f"processed.{name}").scan().to_arrow().sort_by("id").to_pylist()
        assert [row["name"] for row in rows] == ["a/b c%2F", "ä=#?", "", None], name
        assert on_s3.rows(f"SELECT id FROM processed.{name} WHERE name = 'a/b c%2F'") == [(1,)]
    table = catalog.load_table("processed.odd")
    table.append(table.scan(row_filter="id < 3").to_arrow())
    assert on_s3.rows("SELECT name, count(*) FROM processed.odd WHERE id < 3 GROUP BY name ORDER BY name") == [
        ("a/b c%2F", 2), ("ä=#?", 2)]
    on_s3.run("DROP TABLE processed.odd PURGE")
    left = minio.files.get_file_info(
        pyarrow.fs.FileSelector(f"{on_s3.bucket}/processed/odd", allow_not_found=True, recursive=True))
    assert [entry.path for entry in left if entry.is_file] == []


def test_a_wrong_key_is_an_error_that_names_the_place_and_not_the_key(start, minio):
    bucket = minio.bucket()
    wrong = {**minio.settings(), "secret_access_key": "hunter2-hunter2"}
    deployment = start("serve", {"storage": {"default_path": f"s3://{bucket}/", "s3": wrong}})
    with pytest.raises(Exception) as error:
        deployment.run("CREATE TABLE t AS SELECT 1 AS a")
    assert bucket in str(error.value) and "hunter2" not in str(error.value)
    assert "hunter2" not in deployment.front.log
