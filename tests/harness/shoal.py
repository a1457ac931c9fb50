"""Shoal as its users run it: `shoal serve` in one process, or a scheduler with executors."""

import json
import os
import subprocess
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql

from .process import Process, free_port, wait_until

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/shoal/target"))


def program(name: str) -> Path:
    path = TARGET / os.environ.get("SHOAL_PROFILE", "debug") / name
    if not path.exists():
        raise RuntimeError(f"{path} not found; run make build")
    return path


def merged(base: dict, changes: dict) -> dict:
    """`base` with the keys of `changes` laid over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if inner else value
    return result


class Shoal:
    """A running deployment. `kind` is "serve" or "cluster"."""

    def __init__(self, kind: str, folder: Path, settings: dict | None = None, executors: int = 2, env: dict | None = None):
        self.kind = kind
        self.folder = folder
        self.port = free_port()
        self.settings = merged(self._defaults(), settings or {})
        self.config = folder / "settings.yaml"
        self.config.write_text(json.dumps(self.settings, indent=2))  # JSON is YAML
        self.env = env
        self.processes: list[Process] = []
        self.executors: list[Process] = []
        self._start_front()
        if kind == "cluster":
            for _ in range(executors):
                self.start_executor()
            self.wait_for_executors(executors)

    def _defaults(self) -> dict:
        data = self.folder / "data"
        return {
            "storage": {f"{zone}_path": f"{data}/{zone}" for zone in ("raw", "processed", "curated", "default")},
            "catalog": {"url": f"sqlite://{data}/catalog.db"},
            "flight": {"port": self.port, "anonymous": True},
            "cluster": {
                "scheduler": {"port": free_port()},
                "executor": {"port": free_port(), "grpc_port": free_port(), "vcores": 2, "memory": "1GiB",
                             "work_dir": f"{data}/work", "spill_dir": f"{data}/spill"},
                "heartbeat_seconds": 1,
                "executor_timeout_seconds": 5,
                "shutdown_grace_seconds": 5,
            },
        }

    def _start(self, name: str, binary: str, *arguments) -> Process:
        process = Process([program(binary), *arguments, "--config", self.config], self.folder, name, self.env)
        self.processes.append(process)
        return process

    def _start_front(self):
        if self.kind == "serve":
            self.front = self._start("serve", "shoal", "serve")
        else:
            self.front = self._start("scheduler", "shoal-scheduler")
            self.front.wait_for_port(self.settings["cluster"]["scheduler"]["port"])
        self.front.wait_for_port(self.port)

    def restart(self):
        """Starts the process that listens anew, after it was killed."""
        self.processes.remove(self.front)
        self._start_front()
        if self.kind == "cluster":
            self.wait_for_executors(len(self.executors))

    def start_executor(self) -> Process:
        """One more executor: the same settings file, its own ports and folders."""
        name = f"executor{len(self.executors) + 1}"
        own = {"port": free_port(), "grpc_port": free_port(),
               "work_dir": self.folder / name / "work", "spill_dir": self.folder / name / "spill"}
        flags = [part for key, value in own.items() for part in ("--set", f"cluster.executor.{key}={value}")]
        process = self._start(name, "shoal-executor", *flags)
        process.work_dir = own["work_dir"]
        self.executors.append(process)
        return process

    def wait_for_executors(self, count: int, seconds: float = 60):
        def registered():
            for process in self.processes:
                if process not in self.executors:
                    process.check_alive()
            return len(self.rows("SHOW EXECUTORS")) == count

        wait_until(f"{count} executors registered", registered, seconds)

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def connect(self, **options):
        """An ADBC connection; `options` are database options, such as `username`."""
        return flight_sql.connect(self.url, db_kwargs=options, autocommit=True)

    def rows(self, sql: str, parameters=None) -> list[tuple]:
        """The rows of one statement on a connection of its own."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()

    def value(self, sql: str, parameters=None):
        """The one value that `sql` gives."""
        [[value]] = self.rows(sql, parameters)
        return value

    def table(self, sql: str, parameters=None):
        """The result as an Arrow table."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetch_arrow_table()

    def run(self, *statements: str):
        """Statements whose rows nobody wants, on one connection."""
        with self.connect() as connection, connection.cursor() as cursor:
            for sql in statements:
                cursor.execute(sql)
                cursor.fetchall()

    def cli(self, *arguments, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
        """The `shoal` command against this deployment."""
        done = subprocess.run(
            [program("shoal"), *map(str, arguments), "--url", self.url],
            input=stdin, capture_output=True, text=True, timeout=120, cwd=self.folder,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def location(self, schema: str, table: str) -> Path:
        """The folder of a managed table of a built-in schema."""
        return Path(self.settings["storage"][f"{schema}_path"]) / table

    def discard(self):
        for process in reversed(self.processes):
            process.discard()
