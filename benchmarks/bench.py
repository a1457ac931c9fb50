"""Measures Shoal against what a user would pick instead, on this machine, in one run.

    bench.py [tpch|latency|insert|images ...] [--scale N]     (all four by default)

Prints Markdown tables. Every engine runs in a process of its own; the second of two runs counts.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # for harness: starting Shoal

from measure import images, insert, latency, tpch  # noqa: E402

FIGURES = {"tpch": tpch, "latency": latency, "insert": insert, "images": images}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", choices=[[], *FIGURES], default=[])
    parser.add_argument("--scale", type=float, default=1, help="TPC-H scale factor of tpch, latency and insert")
    parser.add_argument("--engines", default=",".join(tpch.ENGINES), help="engines of tpch, by name")
    arguments = parser.parse_args()
    for name in arguments.figures or FIGURES:
        with tempfile.TemporaryDirectory(prefix=f"shoal-bench-{name}-") as folder:
            for line in FIGURES[name].measure(Path(folder), arguments):
                print(line, flush=True)
        print()


if __name__ == "__main__":
    main()
