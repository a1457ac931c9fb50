"""SQL through Python's ADBC driver: queries, parameters, row counts, errors."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest


def test_values_of_every_type_come_back_as_they_are(shoal):
    [row] = shoal.rows("""SELECT 1, CAST(2 AS BIGINT), 1.5e0, CAST(1.25 AS DECIMAL(10, 2)), 'é中', TRUE, NULL,
                          DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56.789', X'00FF', [1, 2],
                          named_struct('a', 1, 'b', 'x')""")
    assert row == (1, 2, 1.5, Decimal("1.25"), "é中", True, None, datetime.date(2024, 2, 29),
                   datetime.datetime(2024, 2, 29, 12, 34, 56, 789000), b"\x00\xff", [1, 2], {"a": 1, "b": "x"})


def test_a_table_is_created_filled_and_queried(shoal, schema):
    shoal.run(
        f"CREATE TABLE {schema}.t (id BIGINT NOT NULL, name STRING, score DOUBLE)",
        f"INSERT INTO {schema}.t VALUES (1, 'a', 0.5), (2, 'b', NULL), (3, NULL, 2)",
        f"INSERT INTO {schema}.t SELECT id + 10, name, score FROM {schema}.t",
    )
    assert shoal.rows(f"SELECT count(*), count(name), sum(score), max(id) FROM {schema}.t") == [(6, 4, 5.0, 13)]
    assert shoal.rows(f"SELECT id FROM {schema}.t WHERE name = 'b' ORDER BY id") == [(2,), (12,)]


def test_parameters_are_bound_and_typed(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, 'n' || value AS name FROM generate_series(1, 100)")
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.adbc_statement.set_sql_query(f"SELECT name FROM {schema}.t WHERE id = $1 OR name = $2 ORDER BY id")
        cursor.adbc_statement.prepare()
        handle = cursor.adbc_statement.get_parameter_schema()
        schema_of_parameters = pa.Schema._import_from_c(handle.address)
        assert [field.type for field in schema_of_parameters] == [pa.int64(), pa.string()]
    sql = f"SELECT name FROM {schema}.t WHERE id = $1 OR name = $2 ORDER BY id"
    assert shoal.rows(sql, (7, "n9")) == [("n7",), ("n9",)]
    assert shoal.rows(sql, (8, None)) == [("n8",)]


def test_an_insert_with_parameters_runs_once_per_row(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, name STRING)")
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {schema}.t VALUES ($1, $2)", [(1, "a"), (2, None), (3, "c")])
    assert shoal.rows(f"SELECT * FROM {schema}.t ORDER BY id") == [(1, "a"), (2, None), (3, "c")]


def test_updates_report_the_rows_they_wrote(shoal, schema):
    def update(cursor, sql):
        cursor.adbc_statement.set_sql_query(sql)
        return cursor.adbc_statement.execute_update()

    with shoal.connect() as connection, connection.cursor() as cursor:
        update(cursor, f"CREATE TABLE {schema}.t (id BIGINT)")
        assert update(cursor, f"INSERT INTO {schema}.t SELECT value FROM generate_series(1, 1234)") == 1234
        assert update(cursor, f"INSERT OVERWRITE {schema}.t VALUES (1), (2)") == 2
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 2


def test_a_large_result_arrives_whole(shoal):
    table = shoal.table("SELECT value AS a, value % 7 AS b FROM generate_series(1, 2000000)")
    assert table.num_rows == 2_000_000
    column = table.column("a").to_numpy()
    assert column.sum() == 2_000_000 * 2_000_001 // 2


@pytest.mark.parametrize("sql, named", [
    ("SELECT * FROM nowhere.nothing", "nowhere"),
    ("SELECT * FROM nothing_here", "nothing_here"),
    ("SELECT no_such_column FROM (SELECT 1 AS a)", "no_such_column"),
    ("SELECT no_such_function(1)", "no_such_function"),
    ("SELECT FROM WHERE", "line 1, column 13"),
    ("SELECT CAST('x' AS INT)", "x"),
])
def test_an_error_names_what_is_wrong_and_the_session_goes_on(shoal, sql, named):
    with shoal.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(Exception, match=named):
            cursor.execute(sql)
            cursor.fetchall()
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_a_view_is_a_name_for_its_query(shoal, schema):
    shoal.run(
        f"CREATE TABLE {schema}.t AS SELECT value AS id FROM generate_series(1, 10)",
        f"CREATE VIEW {schema}.even AS SELECT id FROM {schema}.t WHERE id % 2 = 0",
    )
    assert shoal.value(f"SELECT count(*) FROM {schema}.even") == 5
    shoal.run(f"INSERT INTO {schema}.t VALUES (12)")
    assert shoal.value(f"SELECT count(*) FROM {schema}.even") == 6


def test_overwrite_truncate_and_drop_leave_what_they_say(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT, day STRING) PARTITIONED BY (day)",
              f"INSERT INTO {schema}.t VALUES (1, 'mon'), (2, 'tue')")
    shoal.run(f"INSERT OVERWRITE {schema}.t PARTITION (day = 'mon') SELECT 3")
    assert shoal.rows(f"SELECT * FROM {schema}.t ORDER BY id") == [(2, "tue"), (3, "mon")]
    shoal.run(f"TRUNCATE TABLE {schema}.t")
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 0
    shoal.run(f"DROP TABLE {schema}.t")
    with pytest.raises(Exception, match="t"):
        shoal.rows(f"SELECT * FROM {schema}.t")


def test_constraints_are_enforced_and_nothing_is_written_when_broken(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t (id BIGINT NOT NULL, age INT, CONSTRAINT adult CHECK (age >= 18))",
              f"INSERT INTO {schema}.t VALUES (1, 20)")
    with pytest.raises(Exception, match="adult"):
        shoal.run(f"INSERT INTO {schema}.t VALUES (2, 30), (3, 7)")
    with pytest.raises(Exception, match="id"):
        shoal.run(f"INSERT INTO {schema}.t VALUES (NULL, 30)")
    assert shoal.rows(f"SELECT id FROM {schema}.t") == [(1,)]


@pytest.mark.parametrize("placement", ["local", "distributed"])
def test_answers_are_the_same_wherever_a_query_runs(shoal, schema, placement):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, value % 10 AS g FROM generate_series(1, 10000)")
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = '{placement}'")
        cursor.fetchall()
        cursor.execute(f"SELECT g, count(*), sum(a.id) FROM {schema}.t a JOIN {schema}.t b USING (id, g) GROUP BY g ORDER BY g")
        expected = [(g, 1000, sum(range(g or 10, 10001, 10))) for g in range(10)]
        assert cursor.fetchall() == expected
        cursor.execute(f"EXPLAIN SELECT count(*) FROM {schema}.t WHERE id > 5")
        explained = str(cursor.fetchall()).lower()
        assert placement in explained


@pytest.mark.parametrize("placement", ["local", "distributed"])
@pytest.mark.parametrize("nested", [
    "upper(lower(" * 21 + "n" + "))" * 21,
    "CASE WHEN id > 0 THEN n ELSE " * 40 + "n" + " END" * 40,
    "nullif(" * 42 + "n" + ", 'x')" * 42,
    " || ".join(["n"] * 120),
])
def test_expressions_as_deep_as_the_parser_takes_them_run(shoal, schema, placement, nested):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id, CAST(value AS STRING) AS n FROM generate_series(1, 9)")
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET query.placement = '{placement}'")
        cursor.execute(f"SELECT count({nested}), count(*) FROM {schema}.t WHERE {nested} <> ''")
        assert cursor.fetchall() == [(9, 9)]


@pytest.mark.parametrize("sql, nearest", [
    ("DELETE FROM {schema}.t WHERE id = 1", "INSERT OVERWRITE"),
    ("CREATE TEMPORARY TABLE x (a INT)", "CREATE VIEW"),
    ("GRANT SELECT ON {schema}.t TO ann", "view"),
    ("BEGIN", "commit"),
])
def test_what_is_not_offered_is_refused_with_the_nearest_that_is(shoal, schema, sql, nearest):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT 1 AS id")
    with pytest.raises(Exception, match=nearest):
        shoal.run(sql.format(schema=schema))
    assert shoal.value(f"SELECT count(*) FROM {schema}.t") == 1


def test_metadata_answers_read_no_file(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.t AS SELECT value AS id FROM generate_series(1, 1000)")
    for file in shoal.location("default", f"{schema}/t").rglob("*.parquet"):
        file.unlink()
    assert shoal.rows(f"SELECT count(*), min(id), max(id) FROM {schema}.t") == [(1000, 1, 1000)]


@pytest.mark.parametrize("query, expected", [
    ("SELECT id FROM {t} WHERE id < 10 UNION ALL SELECT id FROM {t} WHERE id >= 10 ORDER BY id", list(range(40))),
    ("(SELECT id FROM {t} ORDER BY id LIMIT 3) UNION ALL SELECT id FROM {t} WHERE id > 37", [0, 1, 2, 38, 39]),
    ("SELECT row_number() OVER (ORDER BY id) FROM {t} UNION ALL SELECT id FROM {t} WHERE id > 37", [*range(1, 41), 38, 39]),
    ("SELECT count(*) FROM {t} UNION ALL SELECT max(id) FROM {t}", [40, 39]),
])
def test_a_union_of_sorted_parts_has_every_row_once(start, query, expected):
    cluster = start("cluster", {"query": {"placement": "distributed"}})
    cluster.run("CREATE TABLE raw.n (id INT)")
    for part in range(4):
        cluster.run(f"INSERT INTO raw.n SELECT value FROM generate_series({part * 10}, {part * 10 + 9})")
    rows = cluster.table(query.format(t="raw.n"))[0].to_pylist()
    assert sorted(rows) == sorted(expected)
