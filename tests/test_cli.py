"""The `shoal` command as people and scripts use it."""

import csv
import io
import json
import signal
import subprocess

import pyarrow as pa
import pyarrow.parquet
import pytest

from harness.process import wait_until
from harness.shoal import program

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


def test_nested_values_are_json_in_csv(shoal):
    done = shoal.cli("sql", "-c", "SELECT ARRAY[1.5, NULL] AS v UNION ALL SELECT NULL ORDER BY v NULLS LAST", "--format", "csv")
    assert done.stdout == 'v\n"[1.5,null]"\n""\n'


def test_status_shows_the_executors(shoal):
    printed = shoal.cli("status").stdout
    assert printed.count("127.0.0.1") >= len(shoal.executors)


def test_a_failed_statement_stops_the_run_with_code_1_and_its_line(shoal):
    done = shoal.cli("sql", "--format", "csv", "-c", "SELECT 1 AS a;\n\nSELECT * FROM no.such_table;\nSELECT 2",
                     check=False)
    assert (done.returncode, done.stdout) == (1, "a\n1\n")
    assert done.stderr.startswith("error: line 3: ")
    assert "lake.no" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["sql", "--format", "xml", "-c", "SELECT 1"],
    ["sql", "-c", "SELECT 1", "-f", "x.sql"],
    ["ingest", "images", "/tmp", "--into", "raw.images; DROP TABLE raw.images"],
    ["no-such-command"],
])
def test_wrong_usage_is_code_2(shoal, arguments):
    assert shoal.cli(*arguments, check=False).returncode == 2


def test_a_server_that_is_not_there_is_named_with_the_remedy():
    done = subprocess.run([program("shoal"), "sql", "-c", "SELECT 1", "--url", "http://127.0.0.1:1"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "http://127.0.0.1:1" in done.stderr and "shoal serve" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(shoal):
    command = f"{program('shoal')} sql --url {shoal.url} --format csv -c 'SELECT * FROM range(3000000)' | head -n 2"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (0, 2, "")


def test_ctrl_c_cancels_the_query_on_the_server(shoal):
    endless = "SELECT count(*) FROM range(100000000000) a WHERE a.value % 7 = 8"
    child = subprocess.Popen([program("shoal"), "sql", "--url", shoal.url, "-c", endless],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def running():
        return any("100000000000" in str(row) and "running" in str(row) for row in shoal.rows("SHOW JOBS"))

    wait_until("the query runs", running)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=15)
    assert child.returncode == 130, errors
    wait_until("the query is gone", lambda: not running())


def test_the_password_comes_from_the_environment_and_is_checked(start, tmp_path):
    hashed = subprocess.run([program("shoal"), "hash-password"], input="open sesame\n",
                            capture_output=True, text=True, check=True).stdout
    users = tmp_path / "users"
    users.write_text(f"anna:{hashed}")
    shoal = start("serve", {"flight": {"anonymous": False, "users_file": str(users)}})

    def sql(password):
        return subprocess.run(
            [program("shoal"), "sql", "--url", shoal.url, "--user", "anna", "--format", "csv", "-c", "SELECT 1 AS a"],
            env={"SHOAL_PASSWORD": password}, capture_output=True, text=True, timeout=30)

    assert sql("open sesame").stdout == "a\n1\n"
    refused = sql("let me in")
    assert refused.returncode == 1
    assert "let me in" not in refused.stderr
