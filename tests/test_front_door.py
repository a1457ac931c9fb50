"""What the Flight SQL front door promises beyond answering SQL: who may come in, sessions, tickets,
partitions, message sizes. Through Python's ADBC driver."""

import subprocess

import pytest
from adbc_driver_flightsql import DatabaseOptions

from harness.shoal import program

MANY = "SELECT value AS id, repeat('x', 1000) AS text FROM generate_series(1, 20000)"


def hashed(secret: str, *arguments: str) -> str:
    command = [program("shoal"), "hash-password", *arguments]
    done = subprocess.run(command, input=secret, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A deployment that lets in alice by password and robot by token, and nobody else."""
    from harness.shoal import Shoal

    folder = tmp_path_factory.mktemp("guarded")
    users = folder / "users"
    token = "0123456789abcdef" * 4
    users.write_text(f"# people\nalice:{hashed('open sesame')}\nrobot:{hashed(token, '--token')}\n")
    deployment = Shoal("serve", folder, {"flight": {"anonymous": False, "users_file": str(users)}})
    deployment.token = token
    yield deployment
    deployment.discard()


def answer(deployment, **options):
    with deployment.connect(**options) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()


def test_a_user_comes_in_by_password_and_a_program_by_token(guarded):
    assert answer(guarded, username="alice", password="open sesame") == (1,)
    bearer = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {guarded.token}"}
    assert answer(guarded, **bearer) == (1,)


@pytest.mark.parametrize("options", [
    {},
    {"username": "alice", "password": "open"},
    {"username": "mallory", "password": "open sesame"},
    {DatabaseOptions.AUTHORIZATION_HEADER.value: "Bearer " + "f" * 64},
])
def test_nobody_else_comes_in(guarded, options):
    with pytest.raises(Exception, match="(?i)unauthenticated"):
        answer(guarded, **options)


def test_a_ticket_of_one_user_is_no_ticket_of_another(guarded):
    bearer = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {guarded.token}"}
    with guarded.connect(username="alice", password="open sesame") as alice, guarded.connect(**bearer) as robot, \
            alice.cursor() as hers, robot.cursor() as its:
        partitions, _ = hers.adbc_execute_partitions("SELECT 42")
        with pytest.raises(Exception):
            its.adbc_read_partition(partitions[0])
            its.fetchall()
        hers.adbc_read_partition(partitions[0])
        assert hers.fetchall() == [(42,)]


def test_the_current_catalog_and_schema_belong_to_the_session(shoal, schema):
    shoal.run(f"CREATE TABLE {schema}.here AS SELECT 42 AS answer")
    with shoal.connect() as one, shoal.connect() as other:
        assert one.adbc_current_catalog == "lake"
        one.adbc_current_db_schema = schema
        assert one.adbc_current_db_schema == schema
        with one.cursor() as cursor:
            cursor.execute("SELECT answer FROM here")
            assert cursor.fetchall() == [(42,)]
        with other.cursor() as cursor, pytest.raises(Exception, match="here"):
            cursor.execute("SELECT answer FROM here")
        with pytest.raises(Exception, match="schema"):
            one.adbc_current_db_schema = "no_such_schema"


def test_a_schema_is_known_without_executing(shoal):
    with shoal.connect() as connection, connection.cursor() as cursor:
        found = cursor.adbc_execute_schema("SELECT 1 AS a, 'x' AS b")
    assert found.names == ["a", "b"]


def test_a_partition_is_read_over_another_connection_and_only_once(shoal):
    with shoal.connect() as connection, connection.cursor() as cursor:
        [partition], found = cursor.adbc_execute_partitions(MANY)
        assert found.names == ["id", "text"]
        with shoal.connect() as reader, reader.cursor() as reading:
            reading.adbc_read_partition(partition)
            assert reading.fetch_arrow_table().num_rows == 20000
            with pytest.raises(Exception, match="(?i)ticket"):
                reading.adbc_read_partition(partition)
                reading.fetchall()


def test_incremental_execution_ends_with_one_partition_and_its_rows(shoal):
    with shoal.connect() as connection, connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_options(**{"adbc.statement.exec.incremental": "true"})
        statement.set_sql_query(MANY)
        partitions = []
        while more := statement.execute_partitions()[0]:
            partitions += more
        cursor.adbc_read_partition(partitions[0])
        assert (len(partitions), cursor.fetch_arrow_table().num_rows) == (1, 20000)


def test_an_update_through_execute_is_done_when_execute_returns(shoal, schema):
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {schema}.t (id BIGINT)")
        cursor.execute(f"INSERT INTO {schema}.t VALUES (1), (2), (3)")
        assert cursor.rowcount == 3
        cursor.execute(f"SELECT count(*) FROM {schema}.t")
        assert cursor.fetchone() == (3,)


def test_large_results_fit_the_default_message_size_and_larger_rows_one_that_was_raised(shoal):
    with shoal.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000000) AS text FROM generate_series(1, 40)")
        assert cursor.fetch_arrow_table().num_rows == 40
    limit = {DatabaseOptions.WITH_MAX_MSG_SIZE.value: str(64 << 20)}
    with shoal.connect(**limit) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 30000000) AS text")
        assert len(cursor.fetchone()[0]) == 30_000_000


def test_transactions_are_refused_in_plain_words(shoal):
    with shoal.connect() as connection, pytest.raises(Exception, match="(?i)transaction"):
        connection.adbc_connection.set_autocommit(False)
