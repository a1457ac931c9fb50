"""Pages of docs/ whose statements are run and print what the page says."""

import os
import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
#: A block of SQL or of shell, and of what it prints, if that is shown.
BLOCK = re.compile(r"```(?P<language>sql|sh)\n(?P<text>.*?)```(?P<gap>\n+```text\n(?P<output>.*?)```)?", re.DOTALL)
#: What differs from run to run, and what stands on the page for it.
VARYING = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-11-21T20:00:00Z"),
    (r" in \d+\.\d s \(\d+/s\)", " in 0.4 s (41/s)"),
    # Nothing to do, so no rate either.
    (r"( 0 done, 0 rejected, \d+ unchanged) in 0\.4 s \(41/s\)", r"\1 in 0.2 s (0/s)"),
]


def check(page: str, shoal, places: dict[str, str]):
    """Runs every block of the page in its order; shell blocks are `shoal …` commands. `places` are folders by
    what the page calls them. SHOAL_REWRITE_DOCS=1 writes what is printed into the page."""
    path = DOCS / page
    text, written, end = path.read_text(), "", 0
    for block in BLOCK.finditer(text):
        statement = block["text"]
        for name, place in places.items():
            statement = re.sub(rf"(?<=['\s]){re.escape(name)}", place, statement)
        if block["language"] == "sql":
            done = shoal.cli("sql", "-c", statement, check=False)
        else:
            done = shoal.cli(*statement.removeprefix("shoal").split(), check=False)
        printed = done.stdout if done.returncode == 0 else done.stderr
        for name, place in places.items():
            padding = " " * (len(place) - len(name))
            printed = re.sub(re.escape(place) + r"(\S*)", lambda found: name + found[1] + padding, printed)
        for pattern, constant in VARYING:
            printed = re.sub(pattern, constant, printed)
        if block["gap"] is None:
            assert done.returncode == 0, printed
        elif "SHOAL_REWRITE_DOCS" in os.environ:
            written += text[end : block.start("gap")] + f"\n```text\n{printed}```"
            end = block.end("gap")
        else:
            assert printed == block["output"], block["text"]
    path.write_text(written + text[end:])
