"""Who may come in: users with passwords, bearer tokens, nobody else."""

import subprocess

import pytest

from harness.shoal import program


@pytest.fixture(scope="module")
def users_file(tmp_path_factory):
    """Users file with `ann`, password `correct horse`."""
    done = subprocess.run([program("shoal"), "hash-password"], input="correct horse\n",
                          capture_output=True, text=True, check=True)
    file = tmp_path_factory.mktemp("users") / "users"
    file.write_text(f"ann:{done.stdout.strip()}\n")
    return file


def test_only_users_with_the_right_password_come_in(start, users_file):
    deployment = start("serve", {"flight": {"anonymous": False, "users_file": str(users_file)}})
    with deployment.connect(username="ann", password="correct horse") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchall() == [("ann",)]
    for options in ({"username": "ann", "password": "wrong"}, {"username": "bob", "password": "x"}, {}):
        with pytest.raises(Exception, match="(?i)unauthenticated"):
            with deployment.connect(**options) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    assert "correct horse" not in deployment.front.log


def test_a_ticket_of_one_user_is_no_ticket_of_another(start, users_file, tmp_path):
    both = tmp_path / "users"
    both.write_text(users_file.read_text() + users_file.read_text().replace("ann:", "bob:"))
    deployment = start("serve", {"flight": {"anonymous": False, "users_file": str(both)}})
    with deployment.connect(username="ann", password="correct horse") as ann, \
            deployment.connect(username="bob", password="correct horse") as bob, \
            ann.cursor() as hers, bob.cursor() as his:
        partitions, _ = hers.adbc_execute_partitions("SELECT 42")
        with pytest.raises(Exception):
            his.adbc_read_partition(partitions[0])
            his.fetchall()


def test_anonymous_is_refused_off_loopback(tmp_path):
    config = tmp_path / "settings.yaml"
    config.write_text("flight: {anonymous: true, bind_host: 0.0.0.0}")
    done = subprocess.run([program("shoal-scheduler"), "--config", config], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert done.returncode == 1 and "flight.anonymous" in done.stderr
