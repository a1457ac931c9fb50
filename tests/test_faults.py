"""What happens when a part of the cluster or a client dies in the middle of something."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from harness.process import wait_until

MINUTE = 60
ROWS = 500_000
#: Two shuffles over enough rows to be killed in the middle of.
QUERY = "SELECT g, count(*) AS n, sum(id) AS s FROM (SELECT DISTINCT id, id % 1000 AS g, pad FROM t) GROUP BY g ORDER BY g"
EXPECTED = [(g, ROWS // 1000, sum(range(g or 1000, ROWS + 1, 1000))) for g in range(1000)]


@pytest.fixture
def cluster(start):
    """A cluster with two executors and a table worth some seconds of work."""
    deployment = start("cluster", {"query": {"placement": "distributed"}})
    deployment.run(f"CREATE TABLE t AS SELECT value AS id, repeat('x', 50) || value AS pad FROM generate_series(1, {ROWS})")
    return deployment


def in_background(work):
    """Runs `work` on a thread; `finish()` gives its value or raises its error, within a minute."""
    result = {}

    def run():
        try:
            result["value"] = work()
        except Exception as error:  # handed to finish()
            result["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def finish():
        thread.join(MINUTE)
        assert not thread.is_alive(), "the statement hangs"
        if "error" in result:
            raise result["error"]
        return result["value"]

    return finish


@pytest.mark.parametrize("delay", [0.1, 0.8, 2.0])
def test_a_query_survives_the_kill_of_an_executor_or_names_it(cluster, delay):
    finish = in_background(lambda: cluster.rows(QUERY))
    time.sleep(delay)
    cluster.executors[0].kill()
    try:
        assert finish() == EXPECTED
    except Exception as error:
        assert "executor" in str(error).lower(), error
    cluster.wait_for_executors(1)
    assert cluster.rows(QUERY) == EXPECTED, "the executor that is left answers alone"


@pytest.mark.parametrize("delay", [0.1, 0.8, 2.0])
def test_an_insert_is_whole_or_absent_when_an_executor_is_killed(cluster, delay):
    cluster.run("CREATE TABLE target (id BIGINT, pad STRING)")
    finish = in_background(lambda: cluster.run("INSERT INTO target SELECT DISTINCT id, pad FROM t"))
    time.sleep(delay)
    cluster.executors[1].kill()
    try:
        finish()
        expected = ROWS
    except Exception as error:
        assert "executor" in str(error).lower(), error
        expected = 0
    assert cluster.rows("SELECT count(*), count(DISTINCT id) FROM target") == [(expected, expected)]


def test_a_new_executor_takes_the_place_of_a_lost_one(cluster):
    cluster.executors[0].kill()
    cluster.start_executor()
    cluster.wait_for_executors(2)
    assert cluster.rows(QUERY) == EXPECTED


def test_without_executors_a_query_ends_in_an_error(cluster):
    for executor in cluster.executors:
        executor.kill()
    finish = in_background(lambda: cluster.rows(QUERY))
    with pytest.raises(Exception, match="(?i)executor"):
        finish()


CLIENT = """
import sys
import adbc_driver_flightsql.dbapi as flight_sql
with flight_sql.connect(sys.argv[1], autocommit=True) as connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[2])
    print("rows", flush=True)
    cursor.fetchall()
"""


@pytest.mark.parametrize("kind", ["serve", "cluster"])
def test_a_killed_client_frees_the_cluster(start, kind):
    deployment = start(kind, {"query": {"placement": "distributed"}})
    long = "SELECT count(*) FROM generate_series(1, 100000000) a JOIN generate_series(1, 1000) b ON a.value % 997 <> b.value"
    client = subprocess.Popen([sys.executable, "-c", CLIENT, deployment.url, long])

    def running():
        return [row for row in deployment.rows("SHOW JOBS") if "running" in map(str, row)]

    wait_until("the query runs", running, 20)
    client.send_signal(signal.SIGKILL)
    client.wait()
    wait_until("its job is gone", lambda: not running(), 20)
    assert deployment.value("SELECT 1") == 1


def test_concurrent_inserts_lose_and_double_nothing(start):
    deployment = start("cluster")
    deployment.run("CREATE TABLE ledger (writer BIGINT, entry BIGINT)")

    def write(writer):
        for entry in range(5):
            deployment.run(f"INSERT INTO ledger VALUES ({writer}, {entry})")

    finishes = [in_background(lambda writer=writer: write(writer)) for writer in range(4)]
    for finish in finishes:
        finish()
    expected = [(writer, entry) for writer in range(4) for entry in range(5)]
    assert deployment.rows("SELECT * FROM ledger ORDER BY writer, entry") == expected
