"""IMAGE, VECTOR and TENSOR from a client's side and from other engines': numpy-shaped in Python,
plain lists and structs in Delta and Iceberg, the same after a shuffle between processes."""

import deltalake
import duckdb
import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

COLUMNS = "(id INT, photo IMAGE, v VECTOR(3), t TENSOR(2, 3))"
ROWS = 200


def picture(i: int) -> np.ndarray:
    """An image of 2 x 3 pixels."""
    return (np.arange(18) * 7 + i).astype(np.uint8).reshape(2, 3, 3)


def rows(ids) -> pa.Table:
    images = [{"data": picture(i).tobytes(), "height": 2, "width": 3, "channels": 3, "mode": "RGB"} for i in ids]
    parts = pa.struct([("data", pa.binary()), ("height", pa.int32()), ("width", pa.int32()), ("channels", pa.int32()), ("mode", pa.string())])
    return pa.table({
        "id": pa.array(ids, pa.int32()),
        "photo": pa.array(images, parts),
        "v": pa.array([[i, i / 2, -i] for i in ids], pa.list_(pa.float32())),
        "t": pa.array([[i + k for k in range(6)] for i in ids], pa.list_(pa.float32())),
    })


def fill(shoal, table: str):
    """Several files, so that several tasks read them."""
    with shoal.connect() as connection, connection.cursor() as cursor:
        schema, name = table.rsplit(".", 1)
        catalog, _, schema = schema.rpartition(".")
        for part in np.array_split(np.arange(ROWS), 4):
            cursor.adbc_ingest(name, rows(part.tolist()), mode="append", catalog_name=catalog or "lake", db_schema_name=schema)


def check(table: pa.Table):
    """What a client got is what was written, as arrays of numpy's."""
    ids = table["id"].to_numpy()
    assert table.schema.field("photo").metadata[b"ARROW:extension:name"] == b"shoal.image"
    for i, image in zip(ids, table["photo"].to_pylist()):
        pixels = np.frombuffer(image["data"], np.uint8).reshape(image["height"], image["width"], image["channels"])
        assert image["mode"] == "RGB" and np.array_equal(pixels, picture(i))
    vectors = table["v"].combine_chunks()
    assert pa.types.is_fixed_size_list(vectors.type) and vectors.type.list_size == 3
    assert np.array_equal(vectors.flatten().to_numpy().reshape(-1, 3), np.stack([ids, ids / 2, -ids], axis=1).astype(np.float32))
    tensors = table["t"].combine_chunks()
    assert isinstance(tensors.type, pa.FixedShapeTensorType) and tensors.type.shape == [2, 3]
    assert np.array_equal(tensors.to_numpy_ndarray(), ids[:, None, None] + np.arange(6).reshape(2, 3))


@pytest.fixture(scope="module")
def iceberg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iceberg")
    attach = {"name": "ice", "kind": "iceberg_sql", "warehouse": f"{folder}/warehouse", "uri": f"sqlite://{folder}/ice.db"}
    (folder / "warehouse").mkdir()
    return attach, SqlCatalog("ice", uri=f"sqlite:///{folder}/ice.db", warehouse=f"file://{folder}/warehouse")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, iceberg):
    """Two executors that run everything, with tables of both formats."""
    from harness.shoal import Shoal

    settings = {"catalog": {"attach": [iceberg[0]]}, "query": {"placement": "distributed"}}
    deployment = Shoal("cluster", tmp_path_factory.mktemp("cluster"), settings)
    try:
        deployment.run("CREATE SCHEMA ice.shop",
                       f"CREATE TABLE raw.things {COLUMNS}",
                       f"CREATE TABLE ice.shop.things {COLUMNS} USING ICEBERG")
        for table in ("raw.things", "ice.shop.things"):
            fill(deployment, table)
        yield deployment
    finally:
        deployment.discard()


@pytest.mark.parametrize("table", ["raw.things", "ice.shop.things"])
def test_the_types_are_numpys_after_shuffles_between_processes(cluster, table):
    for sql in (
        f"SELECT * FROM {table} ORDER BY id",
        f"SELECT a.id, b.photo, b.v, b.t FROM {table} AS a JOIN {table} AS b ON a.id = b.id ORDER BY a.id",
        f"SELECT id, first_value(photo) AS photo, first_value(v) AS v, first_value(t) AS t FROM {table} GROUP BY id ORDER BY id",
        f"SELECT * FROM {table} WHERE id < 100 UNION ALL SELECT * FROM {table} WHERE id >= 100",
        f"SELECT id, photo, v, t FROM {table} GROUP BY id, photo, v, t ORDER BY id",
    ):
        found = cluster.table(sql).sort_by("id")
        assert found["id"].to_pylist() == list(range(ROWS)), sql
        check(found)
    plan = "\n".join(row[1] for row in cluster.rows(f"EXPLAIN SELECT count(*) FROM {table} GROUP BY id"))
    assert "Hash" in plan, "rows are dealt out anew by their hash"


@pytest.mark.parametrize("table", ["raw.things", "ice.shop.things"])
def test_a_table_made_of_another_on_executors_has_its_types(cluster, table):
    cluster.run(f"CREATE TABLE raw.copied AS SELECT * FROM {table}")
    try:
        assert [row[1] for row in cluster.rows("DESCRIBE raw.copied")] == ["INT", "IMAGE", "VECTOR(3)", "TENSOR(2, 3)"]
        check(cluster.table("SELECT * FROM raw.copied ORDER BY id"))
    finally:
        cluster.run("DROP TABLE raw.copied PURGE")


def test_an_insert_on_executors_names_column_lengths_and_row(cluster):
    with pytest.raises(Exception, match=r"column v takes 3 elements, and 2 are given in the row \(id: 3, photo: NULL, v: \[3.0, 3.0\]"):
        cluster.run("INSERT INTO raw.things (id, v) SELECT value, IF(value = 3, array(value, value), array(1, 2, value)) "
                    "FROM generate_series(1, 5)")
    assert cluster.value("SELECT count(*) FROM raw.things") == ROWS


def test_tools_are_told_the_types(cluster):
    with cluster.connect() as connection:
        schema = connection.adbc_get_table_schema("things", catalog_filter="lake", db_schema_filter="raw")
    assert schema.field("v").type == pa.list_(pa.field("element", pa.float32()), 3)
    assert schema.field("v").metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"VECTOR(3)"
    assert schema.field("photo").metadata[b"ARROW:FLIGHT:SQL:TYPE_NAME"] == b"IMAGE"
    assert isinstance(schema.field("t").type, pa.FixedShapeTensorType)


def test_the_shell_prints_an_image_by_mode_and_size(cluster):
    printed = cluster.cli("sql", "-c", "SELECT photo, v FROM raw.things WHERE id = 2").stdout
    assert "| RGB 3×2 | [2.0, 1.0, -2.0] |" in printed


def plain(found: pa.Table):
    """What engines see that know none of the types."""
    found = found.sort_by("id")
    assert found["id"].to_pylist() == list(range(ROWS))
    expected = rows(range(ROWS))
    for name in ("photo", "v", "t"):
        assert found[name].to_pylist() == expected[name].to_pylist(), name


def test_deltalake_pyiceberg_and_duckdb_read_lists_and_structs(cluster, iceberg):
    delta = deltalake.DeltaTable(str(cluster.location("raw", "things")))
    fields = {field.name: field for field in delta.schema().fields}
    assert fields["v"].metadata == {"shoal.type": "vector(3)"}
    assert fields["t"].metadata == {"shoal.type": "tensor(2, 3)"}
    assert pa.schema(delta.schema().to_arrow()).field("v").type.value_type == pa.float32()
    plain(delta.to_pyarrow_table())

    table = iceberg[1].load_table("shop.things")
    assert table.properties["shoal.column.v.type"] == "vector(3)"
    assert str(table.schema().find_field("v").field_type) == "list<float>"
    plain(table.scan().to_arrow())

    files = {"delta": delta.file_uris(), "iceberg": [task.file.file_path for task in table.scan().plan_files()]}
    for uris in files.values():
        paths = [uri.removeprefix("file://") for uri in uris]
        assert duckdb.sql(f"SELECT count(*), sum(v[1]), sum(t[6]), max(photo.width) FROM read_parquet({paths})").fetchall() == [
            (ROWS, sum(range(ROWS)), sum(range(5, ROWS + 5)), 3)]


def test_lists_that_other_engines_append_are_vectors_if_they_are_as_long(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t {COLUMNS}")
    location = str(shoal.location("default", f"{schema}/t"))
    deltalake.write_deltalake(location, rows(range(10)), mode="append")
    check(shoal.table(f"SELECT * FROM {schema}.t ORDER BY id"))
    check(shoal.table(f"SELECT * FROM {schema}.t ORDER BY id LIMIT 3 OFFSET 4"))

    wrong = rows(range(10, 12)).set_column(2, "v", pa.array([[1, 2, 3], [1, 2]], pa.list_(pa.float32())))
    deltalake.write_deltalake(location, wrong, mode="append")
    [file] = set(deltalake.DeltaTable(location).file_uris()) - set(deltalake.DeltaTable(location, version=1).file_uris())
    with pytest.raises(Exception, match="column v takes 3 elements, but the file .*has a row of 2") as error:
        shoal.table(f"SELECT * FROM {schema}.t")
    assert file.rsplit("/", 1)[1] in str(error.value)
    assert shoal.value(f"SELECT count(id) FROM {schema}.t") == 12, "other columns can be read"


def test_lists_that_pyiceberg_appends_are_vectors(cluster, iceberg):
    cluster.run(f"CREATE TABLE ice.shop.shared {COLUMNS} USING ICEBERG")
    iceberg[1].load_table("shop.shared").append(rows(range(10)))
    check(cluster.table("SELECT * FROM ice.shop.shared ORDER BY id"))
