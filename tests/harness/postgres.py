"""A PostgreSQL server of its own for the tests."""

import os
import shutil
import subprocess
from pathlib import Path

import psycopg

from .process import Process, free_port, wait_until


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")) or [shutil.which(name)]
    if not found[-1]:
        raise RuntimeError(f"{name} not found; run scripts/setup-tests.sh")
    return str(found[-1])


class Postgres:
    """A server with user `shoal`; `database()` makes an empty database and gives its URL."""

    def __init__(self, folder: Path):
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        data = folder / "pgdata"
        data.mkdir()
        if user:
            shutil.chown(data, user)
            for parent in [folder, *folder.parents]:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)
        (folder / "password").write_text("secret-of-tests")
        (folder / "password").chmod(0o644)
        subprocess.run(
            [_program("initdb"), "-D", data, "-U", "shoal", "-A", "scram-sha-256", "--pwfile", folder / "password", "--no-sync"],
            check=True, user=user, cwd=data, stdout=subprocess.DEVNULL,
        )
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "fsync=off", f"unix_socket_directories={data}"]
        options = [part for setting in settings for part in ("-c", setting)]
        self._process = Process([_program("postgres"), "-D", data, *options], folder, "postgres", user=user)
        self._process.wait_for_port(self.port)
        # The port opens before the database has started up.
        wait_until("PostgreSQL takes logins", self._takes_logins, 60)
        self._made = 0

    def _takes_logins(self) -> bool:
        try:
            psycopg.connect(self.url("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"postgres://shoal:secret-of-tests@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        self._made += 1
        name = f"test{self._made}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def discard(self):
        self._process.discard()
