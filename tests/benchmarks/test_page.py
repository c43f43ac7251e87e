"""docs/reproduce.md shows the stored results."""

import re

import numpy as np
import pytest

from benchmarks.reproduce import memory_tables
from benchmarks.reproduce.__main__ import plan
from benchmarks.reproduce.page import BLOCK, PAGE, TABLES, rendered
from benchmarks.reproduce.result_tables import stamp
from benchmarks.reproduce.results import Record, find, read

RECORD = Record({"a": 1}, {"score": 1.0}, "-", 1, 2.0, 70.0, 1.0, {"date": "2026-01-02", "commit": "abc"})


def test_every_table_of_the_page_is_made_of_the_results():
    page = PAGE.read_text()
    assert rendered(page) == page, "run `python -m benchmarks.reproduce.page`"
    assert page.count("<!-- table: ") == len(BLOCK.findall(page)) >= 8
    assert {name for _, name, _ in BLOCK.findall(page)} <= TABLES.keys()


def test_a_changed_figure_changes_the_page(monkeypatch):
    monkeypatch.setitem(TABLES, "memory-tasks", lambda: ["| other |"])
    assert rendered(PAGE.read_text()) != PAGE.read_text()


def test_a_table_says_when_its_records_were_measured():
    assert stamp([RECORD, RECORD]) == "Measured 2026-01-02 at abc. 2 min 20 s of CPU time."
    assert stamp([]) == "Not measured yet."


def test_every_table_can_be_made():
    for make in TABLES.values():
        widths = {line.count(" | ") for line in make() if line.startswith("| ")}
        assert len(widths) <= 1


def test_every_picture_of_the_page_is_there():
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text())
    assert pictures and all((PAGE.parent / picture).exists() for picture in pictures)


def test_the_picture_of_the_memory_tasks_has_a_line_of_each_seed_in_the_panel_of_its_problem(monkeypatch):
    figures = {"scores": [0.1, None], "no_memory": 0.2, "curves": [[0.2, 0.019], [0.2, None, 0.2]], "every": 250}
    settings = {"problem": "copy", "length": 100, "network": "GRU", "updates": memory_tables.LONG, "first_seed": 0}
    longer, apart = settings | {"length": 200, "network": "tanh"}, settings | {"first_seed": 2}
    records = [RECORD._replace(settings=each, figures=figures) for each in (longer, apart, settings)]
    monkeypatch.setattr(memory_tables.results, "read", lambda experiment: records)
    panels = [axes for axes in memory_tables.draw_memory_curves().axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["copy, T = 100", "copy, T = 200"]
    lines = panels[0].get_lines()[:4]
    assert [line.get_xdata().tolist() for line in lines] == [[250, 500], [250, 500, 750]] * 2
    np.testing.assert_allclose(lines[0].get_ydata(), [1, 0.095])
    cells = [cell.strip() for cell in memory_tables.memory_curves()[2].split("|")]
    assert cells[1:6] == ["copy, T = 100", "GRU", "500 - 500 -", "0.1 diverged 0.1 diverged", "0.2"]
    assert cells[7] == "140"


@pytest.mark.parametrize("full", [False, True])
def test_what_is_stored_can_be_shown(full):
    cases = plan(full=full).cases
    stored = {name: read(name) for name in {case.experiment for case in cases}}
    found = [(case, find(stored[case.experiment], case.settings)) for case in cases]
    assert [case.show(record.figures) for case, record in found if record]


def test_no_line_of_the_docs_begins_with_a_percent_sign_which_myst_takes_for_a_comment():
    pages = list(PAGE.parent.rglob("*.md"))
    assert len(pages) > 20
    assert not [page for page in pages if re.search("^%", page.read_text(encoding="utf-8"), re.MULTILINE)]
