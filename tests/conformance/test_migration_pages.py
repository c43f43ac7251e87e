"""The code of the migration pages runs as printed, and compares both libraries."""

import re
import warnings
from pathlib import Path

import jax
import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGES = ("from_torch", "from_keras", "from_flax_haiku_equinox")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_as_it_stands(page, without_beartype):
    text = (DOCS / f"{page}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    assert [f"## {n}. " in text for n in range(1, 11)] == [True] * 10
    program = "\n".join(blocks)
    assert program.count("same(") + program.count("assert_allclose(") > 12  # at least one for each of the ten
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other libraries
        exec(compile(program, f"{page}.md", "exec"), {"__name__": page})
