"""README.md: every command in it runs, and prints what stands below it.

A block with `$ ` lines holds commands; a `text` block right behind it is what the last one printed.
With SHOAL_REWRITE_DOCS set, the test writes the output into the page instead of comparing it."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from harness.process import Process, free_port
from harness.shoal import program

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "README.md"
BLOCK = re.compile(r"```console\n(?P<commands>.*?)```(?P<gap>\n\n```text\n(?P<output>.*?)```)?", re.DOTALL)
STARTS_A_SERVER = ("shoal serve", "shoal-scheduler", "shoal-executor")


def own_ports(folder: Path) -> dict:
    """Settings that keep a server of the page away from others on this machine."""
    data = {f"SHOAL__STORAGE__{zone}_PATH": f"{folder}/{zone}" for zone in ("RAW", "PROCESSED", "CURATED", "DEFAULT")}
    ports = {key: str(free_port()) for key in ("SHOAL__FLIGHT__PORT", "SHOAL__CLUSTER__SCHEDULER__PORT",
                                               "SHOAL__CLUSTER__EXECUTOR__PORT", "SHOAL__CLUSTER__EXECUTOR__GRPC_PORT")}
    rest = {"SHOAL__CATALOG__URL": f"sqlite://{folder}/catalog.db",
            "SHOAL__CLUSTER__EXECUTOR__WORK_DIR": f"{folder}/work", "SHOAL__CLUSTER__EXECUTOR__SPILL_DIR": f"{folder}/spill"}
    return os.environ | data | ports | rest


def start(command: str, folder: Path, env: dict) -> Process:
    name, *arguments = shlex.split(command)
    arguments = [ROOT / part if part.startswith("config/") else part for part in arguments]
    return Process([program(name), *arguments], folder, name, env)


def run(command: str, port: str) -> str:
    name, *arguments = shlex.split(command)
    env = os.environ | {"SHOAL_URL": f"http://127.0.0.1:{port}"}
    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, timeout=120, cwd=ROOT, env=env)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_every_command_of_the_readme_runs_and_prints_what_it_says(tmp_path):
    env = own_ports(tmp_path)
    page = PAGE.read_text()
    servers, written = [], page
    try:
        for block in BLOCK.finditer(page):
            printed = ""
            for command in re.split(r"^\$ ", block["commands"], flags=re.MULTILINE)[1:]:
                if not command.startswith(STARTS_A_SERVER):
                    printed = run(command, env["SHOAL__FLIGHT__PORT"])
                    continue
                if command.startswith("shoal-scheduler"):
                    # The page's cluster takes the place of its single process.
                    assert servers.pop().terminate() == 0
                servers.append(start(command, tmp_path, env))
                port = "SHOAL__CLUSTER__EXECUTOR__PORT" if "executor" in command else "SHOAL__FLIGHT__PORT"
                servers[-1].wait_for_port(int(env[port]))
            if block["gap"]:
                if "SHOAL_REWRITE_DOCS" in os.environ:
                    written = written.replace(block[0], block[0].replace(block["gap"], f"\n\n```text\n{printed}```"))
                else:
                    assert printed == block["output"], block["commands"]
        assert len(servers) == 2
    finally:
        for server in reversed(servers):
            server.discard()
    PAGE.write_text(written)
