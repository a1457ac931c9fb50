"""The Arrow Flight SQL JDBC driver, as DBeaver and other tools use it."""

import subprocess
from pathlib import Path

import pytest

from harness.minio import CACHE

DRIVER = CACHE / "jdbc/flight-sql-jdbc-driver.jar"


@pytest.fixture(scope="session")
def check_class(tmp_path_factory):
    """The folder of the compiled Check.java."""
    folder = tmp_path_factory.mktemp("jdbc")
    subprocess.run(["javac", "-d", folder, Path(__file__).parent / "jdbc/Check.java"], check=True)
    return folder


def test_a_jdbc_program_finds_writes_and_reads(shoal, schema, check_class):
    url = f"jdbc:arrow-flight-sql://127.0.0.1:{shoal.port}/?useEncryption=false"
    done = subprocess.run(
        ["java", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", f"{DRIVER}:{check_class}", "Check", url, schema],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "product Shoal", "updated 2", "table jdbc", "column id", "column name", "column at",
        "row 1 a true", "row 2 null false", "prepared a", "error true"]
