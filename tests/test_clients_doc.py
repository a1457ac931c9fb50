"""The pages of docs/ with Python: it runs, and prints what stands below it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"```python\n(?P<code>.*?)```(?:\n```text\n(?P<output>.*?)```)?", re.DOTALL)


@pytest.mark.parametrize("name", ["clients.md", "types.md"])
def test_the_python_of_the_page_prints_what_it_says(shoal, name):
    page = (DOCS / name).read_text().replace("127.0.0.1:32010", f"127.0.0.1:{shoal.port}")
    blocks = list(BLOCK.finditer(page))
    assert len(blocks) > 3
    names = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], name, "exec"), names)
        assert printed.getvalue() == (block["output"] or "")
