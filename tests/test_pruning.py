"""What a scan does not read: leaves of structs, row groups and pages that cannot match."""

import hashlib
import math
import random
import re

import deltalake
import duckdb
import pyarrow.parquet
import pytest

UNITS = {"": 1, "B": 1, "K": 1e3, "KB": 1e3, "M": 1e6, "MB": 1e6}


@pytest.fixture(params=["local", "distributed"])
def analyze(request, shoal):
    """Runs a query here or there, and gives what EXPLAIN ANALYZE prints about it."""
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = {request.param}")

        def run(sql: str) -> str:
            cursor.execute(f"EXPLAIN ANALYZE {sql}")
            return "\n".join(plan for _, plan in cursor.fetchall())

        yield run


def bytes_scanned(text: str) -> float:
    found = re.findall(r"bytes_scanned=([\d.]+) ?([KM]?B?)", text)
    assert found, text
    return sum(float(number) * UNITS[unit] for number, unit in found)


def test_of_a_struct_only_the_fields_that_are_used_are_read(shoal, schema, analyze):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, s STRUCT<narrow: INT, wide: STRING>)",
              f"INSERT INTO {schema}.t SELECT value, named_struct('narrow', CAST(value AS INT), 'wide', sha2(CAST(value AS STRING), 512)) "
              "FROM generate_series(1, 20000)")
    assert shoal.rows(f"SELECT max(s.narrow), max(length(s.wide)) FROM {schema}.t") == [(20000, 128)]
    wide = bytes_scanned(analyze(f"SELECT max(length(s.wide)) FROM {schema}.t"))
    narrow = bytes_scanned(analyze(f"SELECT max(s.narrow) FROM {schema}.t"))
    assert narrow < wide / 5
    filtered = bytes_scanned(analyze(f"SELECT count(*) FROM {schema}.t WHERE s.narrow > 19000"))
    assert filtered < wide / 5


def test_bloom_filters_that_other_engines_wrote_rule_row_groups_out(shoal, schema, analyze, tmp_path):
    location = tmp_path / "filtered"
    location.mkdir()
    numbers = random.Random(1).sample(range(0, 1_000_000, 2), 2000)
    values = ", ".join(f"({number})" for number in numbers)
    duckdb.sql(f"COPY (SELECT v FROM (VALUES {values}) t(v), range(20)) TO '{location}/part.parquet' (FORMAT parquet)")
    deltalake.convert_to_deltalake(location)
    shoal.run(f"CREATE TABLE {schema}.t USING DELTA LOCATION '{location}'")
    assert shoal.value(f"SELECT count(*) FROM {schema}.t WHERE v = {numbers[0]}") == 20
    assert shoal.value(f"SELECT count(*) FROM {schema}.t WHERE v = 499999") == 0, "odd, between smallest and largest"
    text = analyze(f"SELECT v FROM {schema}.t WHERE v = 499999")
    assert re.search(r"row_groups_pruned_bloom_filter=1 total → 0 matched", text), text


def test_pages_that_cannot_match_are_not_read(shoal, schema, analyze):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, sha2(CAST(value AS STRING), 512) AS digest FROM generate_series(1, 200000)")
    everything = bytes_scanned(analyze(f"SELECT max(digest) FROM {schema}.t"))
    few = bytes_scanned(analyze(f"SELECT max(digest) FROM {schema}.t WHERE id BETWEEN 150000 AND 150010"))
    assert few < everything / 5


def test_few_images_share_a_row_group(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, CAST(repeat('x', 1000000) AS BINARY) AS content FROM generate_series(1, 40)")
    files = [pyarrow.parquet.ParquetFile(path) for path in shoal.location("default", f"{schema}/t").rglob("*.parquet")]
    groups = [file.metadata.row_group(at) for file in files for at in range(file.num_row_groups)]
    assert sum(group.num_rows for group in groups) == 40
    assert max(group.total_byte_size for group in groups) < 20 << 20


@pytest.fixture
def thumbnails(shoal, schema):
    """A table of that many different values of 10 KiB, under ids in order and keys without any."""
    shoal.run(f"CREATE TABLE {schema}.thumbnails AS SELECT value AS id, value * 7919 % {THUMBNAILS} AS key, "
              "CAST(repeat(sha2(CAST(value AS STRING), 512), 80) AS BINARY) AS content "
              f"FROM generate_series(1, {THUMBNAILS})")
    return f"{schema}.thumbnails"


THUMBNAILS = 20_000
THUMBNAIL_BYTES = 10_240
# Pages hold some neighbours, and the other columns, the footers and the page indexes are read beside them.
READ_BESIDE = 2


def test_a_hundred_images_by_id_are_read_with_little_beside_them(shoal, thumbnails, analyze):
    ids = random.Random(2).sample(range(1, THUMBNAILS + 1), 100)
    for column in ["id", "key"]:
        wanted = f"SELECT content FROM {thumbnails} WHERE {column} IN ({', '.join(map(str, ids))})"
        assert shoal.value(f"SELECT count(DISTINCT content) FROM ({wanted})") == 100
        read = bytes_scanned(analyze(wanted))
        assert 100 * THUMBNAIL_BYTES < read < READ_BESIDE * 100 * THUMBNAIL_BYTES, column
    everything = bytes_scanned(analyze(f"SELECT max(length(content)) FROM {thumbnails}"))
    assert everything > THUMBNAILS * THUMBNAIL_BYTES


def test_conditions_on_images_read_only_those_that_pass_the_other_conditions(shoal, thumbnails, analyze):
    condition = "image_width(content) IS NULL AND key BETWEEN 1 AND 100"
    assert shoal.value(f"SELECT count(*) FROM {thumbnails} WHERE {condition}") == 100
    read = bytes_scanned(analyze(f"SELECT id, length(content) FROM {thumbnails} WHERE {condition}"))
    assert read < 2 * READ_BESIDE * 100 * THUMBNAIL_BYTES, "once for the condition and once for the result"


def test_the_first_rows_of_an_order_are_decided_without_large_columns(shoal, thumbnails, analyze):
    first = f"SELECT id, content FROM {thumbnails} WHERE id % 3 > 0 ORDER BY key DESC LIMIT 5"
    keys = {id: id * 7919 % THUMBNAILS for id in range(1, THUMBNAILS + 1) if id % 3}
    expected = sorted(keys, key=keys.get, reverse=True)[:5]
    rows = shoal.rows(first)
    assert [row[0] for row in rows] == expected
    assert [row[1] for row in rows] == [hashlib.sha512(str(id).encode()).hexdigest().encode() * 80 for id in expected]
    read = bytes_scanned(analyze(first))
    assert read < THUMBNAILS * THUMBNAIL_BYTES / 20, "ids, keys, and few of the contents"


ORDERS = [
    ("key", "", lambda row: row["key"]),
    ("key DESC", "", lambda row: -row["key"]),
    ("few, key", "", lambda row: (row["few"], row["key"])),
    ("maybe NULLS LAST, key", "", lambda row: (row["maybe"] is None, row["maybe"] or 0, row["key"])),
    ("maybe DESC NULLS FIRST, id", "", lambda row: (row["maybe"] is not None, -(row["maybe"] or 0), row["id"])),
    ("abs(key - 500), id", "few > 2 AND maybe IS NOT NULL", lambda row: (abs(row["key"] - 500), row["id"])),
    ("part DESC, key", "maybe < 10 OR id < 20", lambda row: (-row["part"], row["key"])),
    ("array_distance(v, [500.25, 0])", "v[1] = 0", lambda row: abs(row["key"] - 500.25)),
]


@pytest.mark.parametrize("placement", ["local", "distributed"])
@pytest.mark.parametrize("form", ["DELTA", "ICEBERG"])
def test_rows_of_large_columns_come_in_any_order_asked_for(shoal, schema, form, placement):
    """The same answers as sorting all rows in Python; files, row groups and pages are many."""
    rows = [{"id": id, "key": id * 7919 % 1009, "few": id * 31 % 7, "part": id % 3,
             "maybe": None if id % 5 == 0 else id * 13 % 101} for id in range(1, 1001)]
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, key BIGINT, few BIGINT, maybe BIGINT, v VECTOR(2), content BINARY, part BIGINT) "
              f"USING {form} PARTITIONED BY (part)")
    for first, last in [(1, 300), (301, 600), (601, 1000)]:
        shoal.run(f"INSERT INTO {schema}.t SELECT value, value * 7919 % 1009, value * 31 % 7, "
                  "CASE WHEN value % 5 = 0 THEN NULL ELSE value * 13 % 101 END, [value * 7919 % 1009, value % 2], "
                  "CAST(repeat(sha2(CAST(value AS STRING), 512), 80) AS BINARY), value % 3 "
                  f"FROM generate_series({first}, {last})")
    conditions = {"few > 2 AND maybe IS NOT NULL": lambda row: row["few"] > 2 and row["maybe"] is not None,
                  "maybe < 10 OR id < 20": lambda row: (row["maybe"] is not None and row["maybe"] < 10) or row["id"] < 20,
                  "v[1] = 0": lambda row: row["id"] % 2 == 0}
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = {placement}")
        for order, condition, key in ORDERS:
            wanted = sorted(filter(conditions.get(condition, lambda row: True), rows), key=key)[3:20]
            where = f"WHERE {condition} " if condition else ""
            sql = f"FROM {schema}.t {where}ORDER BY {order} LIMIT 17 OFFSET 3"
            cursor.execute(f"EXPLAIN SELECT id, content {sql}")
            assert "first 20 of each file" in "\n".join(plan for _, plan in cursor.fetchall()), order
            cursor.execute(f"SELECT id, content {sql}")
            found = cursor.fetchall()
            assert [id for id, _ in found] == [row["id"] for row in wanted], order
            for id, content in found:
                assert content == hashlib.sha512(str(id).encode()).hexdigest().encode() * 80, order


@pytest.mark.parametrize("indexed", [False, True])
def test_a_search_reads_images_of_the_nearest_rows_only(shoal, schema, analyze, indexed):
    rows = 4000
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, v VECTOR(3), content BINARY)",
              f"INSERT INTO {schema}.t SELECT value, [sin(value), cos(value), sin(value * 0.37)], "
              f"CAST(repeat(sha2(CAST(value AS STRING), 512), 80) AS BINARY) FROM generate_series(1, {rows})")
    if indexed:
        shoal.run(f"CREATE INDEX near ON {schema}.t USING IVF (v) WITH (metric = 'l2')")
    nearest = f"SELECT id, content FROM vector_search('{schema}.t', 'v', [0.3, 0.9, -0.2], 5, metric => 'l2')"

    def distance(id):
        return math.dist((math.sin(id), math.cos(id), math.sin(id * 0.37)), (0.3, 0.9, -0.2))

    expected = sorted(range(1, rows + 1), key=distance)[:5]
    assert shoal.rows(nearest) == [(id, hashlib.sha512(str(id).encode()).hexdigest().encode() * 80) for id in expected]
    text = analyze(nearest)
    assert (", rows=" in text) == indexed
    assert bytes_scanned(text) < rows * THUMBNAIL_BYTES / 20


def test_batches_of_a_table_just_written_are_bounded_by_bytes(shoal, schema, analyze):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, content BINARY)",
              f"INSERT INTO {schema}.t SELECT value, CAST(repeat('x', 1000000) AS BINARY) FROM generate_series(1, 6)")
    text = analyze(f"SELECT max(length(content)) FROM {schema}.t")
    scan = next(line for line in text.splitlines() if "DataSourceExec" in line)
    assert "output_batches=6" in scan, "one row in each, as processing.batch_bytes is 1 MiB"
