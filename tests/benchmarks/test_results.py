"""The store of results: a case is measured once, an interrupted run keeps its results, the time is estimated first."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.reproduce.results import Case, Plan, estimate, find, read, run


def here():
    return {"score": 1.5, "process": os.getpid()}


def sleep(file):
    with open(file, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        time.sleep(600)


def stop():
    raise KeyboardInterrupt


def shown(figures):
    return f"{figures['score']}"


def case(name, work=1.0, measure=lambda: {"score": 1.5}):
    return Case("sums", {"name": name, "seeds": 2}, measure, shown, "1.4", 2, work)


def test_what_is_stored_is_what_was_measured(tmp_path):
    run(Plan([case("a")], again=False), tmp_path)
    (record,) = read("sums", tmp_path)
    assert record.settings == {"name": "a", "seeds": 2} and record.figures == {"score": 1.5}
    assert record.paper == "1.4" and record.seconds >= 0 and {"date", "commit", "jax"} <= record.when.keys()


def test_a_finished_case_is_not_run_again_unless_it_is_asked_for(tmp_path, capsys):
    runs = []
    one = case("a", measure=lambda: {"score": len(runs) + (runs.append(1) or 0)})
    run(Plan([one], again=False), tmp_path)
    run(Plan([one], again=False), tmp_path)
    assert len(runs) == 1 and "1 cases, 1 of them stored" in capsys.readouterr().out
    run(Plan([one], again=True), tmp_path)
    assert len(runs) == 2 and [r.figures["score"] for r in read("sums", tmp_path)] == [1]


def test_an_interrupted_run_keeps_what_it_has(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Plan([case("a"), case("b", measure=stop)], again=False), tmp_path)
    assert find(read("sums", tmp_path), case("a").settings) and not find(read("sums", tmp_path), case("b").settings)
    assert [file.name for file in tmp_path.iterdir()] == ["sums.jsonl"]


def test_the_table_has_the_paper_s_figure_and_ours_side_by_side(tmp_path, capsys):
    run(Plan([case("a")], again=False), tmp_path)
    header, row = capsys.readouterr().out.splitlines()[-2:]
    assert header.split() == ["problem", "paper", "here", "seeds", "seconds"]
    assert row.split()[-4:-1] == ["1.4", "1.5", "2"]


def test_the_time_of_a_case_that_never_ran_is_that_of_the_most_similar_by_its_work(tmp_path):
    run(Plan([case("a", work=2.0)], again=False), tmp_path)
    (record,) = read("sums", tmp_path)
    records = [record._replace(cpu_seconds=10.0)]
    assert estimate(case("a"), records) == 10
    assert estimate(case("b", work=8.0), records) == 40
    assert estimate(case("b"), []) is None


def test_cases_are_measured_in_processes_of_their_own(tmp_path, capsys):
    run(Plan([case(name, measure=here) for name in "ab"], again=False, jobs=2), tmp_path)
    records = read("sums", tmp_path)
    assert {r.settings["name"] for r in records} == {"a", "b"} and not {r.figures["process"] for r in records} & {
        os.getpid()
    }
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_an_interrupted_run_of_processes_does_not_measure_the_rest(tmp_path):
    cases = [case("a", measure=here), case("b", measure=stop), *(case(f"{n}", measure=here) for n in range(500))]
    with pytest.raises(KeyboardInterrupt):
        run(Plan(cases, again=False, jobs=2), tmp_path)
    assert len(read("sums", tmp_path)) < 500 and {file.name for file in tmp_path.iterdir()} <= {"sums.jsonl"}


def test_processes_end_when_the_program_is_killed(tmp_path):
    program = f"""
from functools import partial
from pathlib import Path
from benchmarks.reproduce.results import Plan, run
from tests.benchmarks.test_results import case, sleep
if __name__ == "__main__":
    cases = [case(name, measure=partial(sleep, {str(tmp_path)!r} + "/" + name)) for name in "ab"]
    run(Plan(cases, again=False, jobs=2), Path({str(tmp_path)!r}))
"""
    (tmp_path / "program.py").write_text(program)
    root, files = Path(__file__).parents[2], [tmp_path / name for name in "ab"]
    with subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], env=os.environ | {"PYTHONPATH": str(root)}
    ) as parent:
        until(lambda: all(file.exists() and held(file) for file in files))
        parent.kill()
    until(lambda: not any(map(held, files)))


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.1)


def held(file):
    with open(file) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
