"""One child process with a log file, that never outlives the test run."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
# Below the ports that Linux gives to outgoing connections (32768 and up): one of those could take
# a port between the moment it is found free and the moment a server binds it.
PORTS = range(16_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nothing listens on, given out once."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            if port not in _given and probe.connect_ex(("127.0.0.1", port)) != 0:
                _given.add(port)
                return port


def wait_until(what: str, condition, seconds: float = 30):
    """Polls until `condition()` is true and returns what it gave; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def die_with_parent():
    """In a child before it runs: it is killed when its parent ends, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A started program; `log` holds what it printed."""

    def __init__(self, command: list, folder: Path, name: str, env: dict | None = None, user: str | None = None):
        self.name = name
        self.log_path = folder / f"{name}.log"
        with open(self.log_path, "ab") as log:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                cwd=folder,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=user,
                preexec_fn=die_with_parent,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        return self._child.pid

    def is_alive(self) -> bool:
        return self._child.poll() is None

    def check_alive(self):
        if not self.is_alive():
            raise RuntimeError(f"{self.name} ended with {self._child.returncode}:\n{self.log[-4000:]}")

    def wait_for_port(self, port: int, seconds: float = 60):
        def listens():
            self.check_alive()
            with socket.socket() as probe:
                probe.settimeout(0.5)
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(f"{self.name} listens on {port}", listens, seconds)

    def kill(self):
        """SIGKILL: the process gets no chance to clean up."""
        self._child.kill()
        self._child.wait(10)

    def terminate(self, seconds: float = 40) -> int:
        """SIGTERM; returns the exit code, and fails if the process is still there after `seconds`."""
        self._child.terminate()
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} ignored SIGTERM for {seconds} s:\n{self.log[-4000:]}") from None

    def discard(self):
        """Ends the process, one way or the other."""
        if self.is_alive():
            self._child.terminate()
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()
