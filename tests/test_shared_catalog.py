"""Two schedulers on one PostgreSQL catalog."""

import threading

import pytest


@pytest.fixture
def pair(start, postgres, tmp_path):
    """Two deployments that share a catalog and storage and nothing else."""
    settings = {"catalog": {"url": postgres.database()},
                "storage": {f"{zone}_path": str(tmp_path / zone) for zone in ("raw", "processed", "curated", "default")}}
    return start("cluster", settings, executors=1), start("serve", settings)


def test_each_sees_the_tables_of_the_other(pair):
    one, other = pair
    one.run("CREATE SCHEMA shared", "CREATE TABLE shared.t AS SELECT 1 AS a")
    assert other.rows("SELECT a FROM shared.t") == [(1,)]
    other.run("INSERT INTO shared.t VALUES (2)", "CREATE VIEW shared.v AS SELECT max(a) AS m FROM shared.t")
    assert one.value("SELECT m FROM shared.v") == 2
    one.run("DROP TABLE shared.t")
    with pytest.raises(Exception, match="t"):
        other.rows("SELECT * FROM shared.t")


def test_both_insert_at_once_and_the_ledger_balances(pair):
    pair[0].run("CREATE TABLE ledger (writer BIGINT, entry BIGINT)")
    errors = []

    def write(writer):
        try:
            for entry in range(6):
                pair[writer % 2].run(f"INSERT INTO ledger VALUES ({writer}, {entry})")
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert not errors
    expected = [(writer, entry) for writer in range(4) for entry in range(6)]
    for deployment in pair:
        assert deployment.rows("SELECT * FROM ledger ORDER BY writer, entry") == expected


def at_once(pair, sql: str) -> list[str]:
    """What becomes of the statement on both deployments at the same moment."""
    outcomes = []
    together = threading.Barrier(len(pair))

    def create(deployment):
        together.wait(30)
        try:
            deployment.run(sql)
            outcomes.append("created")
        except Exception as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=create, args=(deployment,)) for deployment in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@pytest.mark.parametrize("clause, winners", [("", 1), ("IF NOT EXISTS", 2)])
def test_a_table_that_two_create_at_once_is_there_once_and_whole(pair, clause, winners):
    for n in range(8):
        outcomes = at_once(pair, f"CREATE TABLE {clause} contested{n} (a BIGINT)")
        assert outcomes.count("created") == winners, outcomes
        assert all("contested" in outcome for outcome in outcomes if outcome != "created")
        for deployment in pair:
            deployment.run(f"INSERT INTO contested{n} VALUES (1)")
        assert [deployment.value(f"SELECT count(*) FROM contested{n}") for deployment in pair] == [2, 2]
