"""Runs one side in a process of its own and watches the memory of that process and all below it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from harness.minio import CACHE
from harness.process import die_with_parent

#: Every side gets these many cores, whatever the machine has; figures are per core of them.
CORES = 2
#: Seconds between two looks at memory.
INTERVAL = 0.1


def interpreter(side: str) -> Path:
    """The Python that has the side's packages."""
    venv = "venv-pillow-simd" if side.startswith("Pillow-SIMD") else "venv-images"
    return CACHE / venv / "bin/python"


def resident(process: psutil.Process) -> int:
    """Bytes in memory of a process and all its descendants; what they share counts for each."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def prepare():
    """In a side's process before it starts."""
    die_with_parent()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def run(side: str, script: str, arguments: list, timeout: float) -> list[dict]:
    """The JSON lines that the script printed, each with `peak`, the most memory until then in bytes.
    A side that fails or takes too long gives one with `error` at the end."""
    log = Path(arguments[-1]) / "side.log"
    with open(log, "wb") as errors:
        child = subprocess.Popen(
            [interpreter(side), Path(__file__).parent / script, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=errors, text=True,
            preexec_fn=prepare)
    peak, ended = 0, threading.Event()

    def watch():
        nonlocal peak
        process = psutil.Process(child.pid)
        while not ended.wait(INTERVAL):
            try:
                peak = max(peak, resident(process))
            except psutil.NoSuchProcess:
                return

    watching = threading.Thread(target=watch)
    watching.start()
    late = threading.Timer(timeout, lambda: end(child))
    late.start()
    lines = []
    for line in child.stdout:
        if line.startswith("{"):
            lines.append({**json.loads(line), "peak": peak})
    status = child.wait()
    late.cancel()
    ended.set()
    watching.join()
    if status != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["no message"]
        named = [line for line in said if "Error" in line or "Exception" in line] or said
        reason = f"ended by signal {-status}; given up after {timeout:.0f} s" if status < 0 else named[-1].strip()
        print(f"{side}: {reason}", *said[-15:], sep="\n  ", file=sys.stderr)
        lines.append({"error": reason[:200]})
    return lines


def end(child: subprocess.Popen):
    """Kills a side with everything it has started."""
    for one in [*psutil.Process(child.pid).children(recursive=True), child]:
        one.kill()
