"""Every page of docs/start and docs/recipes is a program: its Python blocks, from the top, in a process of its own.

`make doctest` runs them. What a page claims it asserts; a page that takes more than a minute of processor time fails.
"""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent
PAGES = [p for folder in ("start", "recipes") for p in sorted((DOCS / folder).glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {p.stem: "\n".join(BLOCK.findall(p.read_text())) for p in PAGES}


@pytest.mark.parametrize("page", [name for name, program in PROGRAMS.items() if program])
def test_a_page_runs_in_a_minute(page, tmp_path):
    (tmp_path / "page.py").write_text(PROGRAMS[page])
    environment = os.environ | {"PYTHONPATH": str(DOCS.parent), "MPLBACKEND": "agg"}
    run = [sys.executable, "-W", "error::DeprecationWarning:__main__", "page.py"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-3000:]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 60


def test_every_recipe_is_in_the_table():
    table = (DOCS / "recipes/index.md").read_text()
    missing = [p.name for p in (DOCS / "recipes").glob("*.md") if p.stem != "index" and f"({p.name})" not in table]
    assert not missing
