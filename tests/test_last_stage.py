"""The last stage of a distributed query: its rows come while it runs, and what it wrote in vain is removed."""

import hashlib
from contextlib import contextmanager

import pytest

from harness.process import wait_until

ROWS = 1500
#: Slow enough, row by row, to be watched.
DIGESTS = "SELECT id, sha2(repeat(concat(id, '.'), 8000), 512) AS digest FROM t"


def digest(id: int) -> str:
    return hashlib.sha512(f"{id}.".encode() * 8000).hexdigest()


@pytest.fixture
def cluster(start):
    """Two executors with one vcore each, and a table in one file."""
    deployment = start("cluster", {"query": {"placement": "distributed"}, "cluster": {"executor": {"vcores": 1}}})
    deployment.run(f"CREATE TABLE t AS SELECT value AS id FROM generate_series(1, {ROWS})")
    return deployment


@contextmanager
def digests(cluster):
    """The digests, read in small batches."""
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET datafusion.execution.batch_size = 8")
        cursor.execute(DIGESTS)
        yield cursor.fetch_record_batch()


def running(deployment) -> list:
    return [row for row in deployment.rows("SHOW JOBS") if "running" in map(str, row)]


def test_rows_arrive_while_the_last_stage_runs(cluster):
    with digests(cluster) as batches:
        first = batches.read_next_batch()
        assert first.num_rows > 0
        [(_, _, _, _, _, _, progress, *_)] = running(cluster)
        assert progress < 1, "its only task is not done"
        rest = batches.read_all()
    rows = first.to_pylist() + rest.to_pylist()
    assert sorted((row["id"], row["digest"]) for row in rows) == [(id, digest(id)) for id in range(1, ROWS + 1)]


def test_rows_in_order_arrive_while_they_are_merged(cluster):
    cluster.run(f"INSERT INTO t SELECT value AS id FROM generate_series({ROWS + 1}, {2 * ROWS})")
    with cluster.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM t ORDER BY id DESC")
        assert [id for id, in cursor.fetchall()] == list(range(2 * ROWS, 0, -1))


def test_a_query_whose_rows_were_delivered_is_not_started_over(cluster):
    with digests(cluster) as batches:
        assert batches.read_next_batch().num_rows > 0
        for executor in cluster.executors:
            executor.kill()
        with pytest.raises(Exception, match="executor .* rows were already delivered"):
            batches.read_all()
    wait_until("its job is gone", lambda: not running(cluster), 20)


def test_a_failed_write_leaves_no_files_of_tasks_that_were_done(cluster):
    cluster.run(f"INSERT INTO t SELECT 0 - value FROM generate_series(1, {ROWS}) ORDER BY value")
    cluster.run(f"CREATE TABLE target (id BIGINT, digest STRING, CHECK (id > -{ROWS}))")
    with pytest.raises(Exception, match="CHECK"):
        cluster.run(f"INSERT INTO target SELECT id, IF(id < 0, digest, '') FROM ({DIGESTS})")
    assert cluster.value("SELECT count(*) FROM target") == 0
    [folder] = cluster.folder.glob("data/**/target")
    wait_until("no data file is left", lambda: not list(folder.rglob("*.parquet")), 20)
