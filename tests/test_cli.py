"""The `shoal` command as people and scripts use it."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet

SQL = "SELECT 1 AS a, 'x, \"y\"' AS b, CAST(NULL AS DOUBLE) AS c UNION ALL SELECT 2, 'é', 0.5 ORDER BY a"
ROWS = [{"a": 1, "b": 'x, "y"', "c": None}, {"a": 2, "b": "é", "c": 0.5}]


def test_every_format_holds_the_same_rows(shoal, tmp_path):
    assert json.loads(shoal.cli("sql", "-c", SQL, "--format", "json").stdout) == ROWS
    lines = shoal.cli("sql", "-c", SQL, "--format", "ndjson").stdout.splitlines()
    assert [{"c": None, **json.loads(line)} for line in lines] == ROWS
    rows = list(csv.reader(io.StringIO(shoal.cli("sql", "-c", SQL, "--format", "csv").stdout)))
    assert rows == [["a", "b", "c"], ["1", 'x, "y"', ""], ["2", "é", "0.5"]]
    shoal.cli("sql", "-c", SQL, "--format", "parquet", "--output", tmp_path / "rows.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == ROWS
    shoal.cli("sql", "-c", SQL, "--format", "arrow", "--output", tmp_path / "rows.arrow")
    with open(tmp_path / "rows.arrow", "rb") as file:
        assert pa.ipc.open_stream(file).read_all().to_pylist() == ROWS
    table = shoal.cli("sql", "-c", SQL).stdout
    assert "\x1b" not in table and "é" in table


def test_statements_come_from_a_file_or_standard_input(shoal, schema, tmp_path):
    script = f"CREATE TABLE {schema}.t (a INT); -- a; b\nINSERT INTO {schema}.t VALUES (1), (2);\nSELECT sum(a) AS s FROM {schema}.t;"
    (tmp_path / "script.sql").write_text(script)
    done = shoal.cli("sql", "-f", tmp_path / "script.sql", "--format", "csv")
    assert done.stdout.splitlines()[-2:] == ["s", "3"]
    assert shoal.cli("sql", "--format", "csv", stdin=f"SELECT count(*) AS n FROM {schema}.t").stdout == "n\n2\n"


def test_errors_go_to_standard_error_with_their_own_exit_codes(shoal):
    failed = shoal.cli("sql", "-c", "SELECT * FROM nothing_here", check=False)
    assert (failed.returncode, failed.stdout) == (1, "") and "nothing_here" in failed.stderr
    assert shoal.cli("sql", "--no-such-flag", check=False).returncode == 2


def test_status_shows_the_executors(shoal):
    printed = shoal.cli("status").stdout
    assert printed.count("127.0.0.1") >= len(shoal.executors)
