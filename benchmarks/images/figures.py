"""Measures Shoal's image functions and vector search against what a user would pick instead.

    figures.py [photos|decoders|search ...] [--count 5000] [--vectors 1000000] [--write]     (all by default)

Prints Markdown tables; `--write` puts them into benchmarks/README.md instead, between the markers
`<!-- photos -->` … `<!-- /photos -->` and the same for decoders and search.
"""

import argparse
import os
import platform
import sys
from datetime import date
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "tests")]  # for harness and reference_features

import decoder_figures  # noqa: E402
import photo_figures  # noqa: E402
import search_figures  # noqa: E402

FIGURES = {"photos": photo_figures, "decoders": decoder_figures, "search": search_figures}
README = Path(__file__).parents[1] / "README.md"


def machine() -> str:
    """The processor and memory, for the line below a table."""
    processors = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processors[0] if processors else platform.processor()}, {len(processors)} processors, {memory:.0f} GiB"


def write(name: str, lines: list[str]):
    """Puts the lines between the markers of the README."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    text = README.read_text()
    before, rest = text.split(begin)
    _, after = rest.split(end)
    README.write_text(before + begin + "\n".join(["", *lines, "", ""]) + end + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", choices=[[], *FIGURES], default=[])
    parser.add_argument("--count", type=int, default=5000, help="photos; 400 for a quick run")
    parser.add_argument("--vectors", type=int, default=1_000_000, help="vectors to search; 100000 for a quick run")
    parser.add_argument("--sides", type=lambda names: names.split(","), help="some sides, by name")
    parser.add_argument("--engines", type=lambda names: names.split(","), help="some engines of search, by name")
    parser.add_argument("--tasks", type=lambda names: names.split(","), help="some of " + ", ".join(photo_figures.ALL))
    parser.add_argument("--write", action="store_true", help="write into benchmarks/README.md")
    arguments = parser.parse_args()
    for name in arguments.figures or FIGURES:
        lines = []
        for line in FIGURES[name].measure(arguments):
            lines.append(line)
            if not arguments.write:
                print(line, flush=True)
        if arguments.write:
            write(name, [*lines, "", f"{machine()}, {date.today()}."])
        print()


if __name__ == "__main__":
    main()
