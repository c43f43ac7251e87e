"""Results as lines of JSON: what was measured, with which settings, when, and for how many seconds.

    benchmarks/results/EXPERIMENT.jsonl        a line for each case; a new measurement replaces the old one

A case is named by its settings.  `run` prints one table, *paper, here, seeds, seconds*, and stores each case as soon as
it is measured, so an interrupted run keeps what it has.  With `again=False`, cases that are stored are printed and not
run.  Before it starts, it says how long it will take: the stored seconds, or, for a case that never ran, those of the
most similar one times the ratio of the work.  With `jobs`, several processes measure, and the lines come in the order
in which the cases end.

`benchmarks.reproduce.page` makes the tables of docs/reproduce.md from these files.
"""

import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import jax

from benchmarks.reproduce import on_one_thread_each

FOLDER = Path(__file__).parents[1] / "results"
WIDTHS = (58, 34, 44)


class Case(NamedTuple):
    """One thing to measure."""

    experiment: str
    """The file: "temporal_order"."""
    settings: dict[str, Any]
    """The settings that identify the case in the file; JSON."""
    run: Callable[[], dict[str, Any]]
    """Measure it: figures, as JSON."""
    show: Callable[[dict[str, Any]], str]
    """The figures in a few words."""
    paper: str = "-"
    """The result of the paper, in a few words."""
    seeds: int = 1
    work: float = 1.0
    """Proportional to the time it takes, within the experiment."""


class Plan(NamedTuple):
    """The options of a program: the cases to measure."""

    cases: list[Case]
    again: bool
    """Measure what is stored too."""
    jobs: int = 1
    """How many processes measure at a time."""


class Record(NamedTuple):
    """One measured case, as it is stored."""

    settings: dict[str, Any]
    figures: dict[str, Any]
    paper: str
    seeds: int
    seconds: float | None
    """The wall-clock time; some older records lack it."""
    cpu_seconds: float | None
    """The CPU time of all threads together."""
    work: float
    when: dict[str, str]
    """The date, the commit, the versions, the machine; of older records what is known."""


def read(experiment: str, folder: Path = FOLDER) -> list[Record]:
    """Return all that is stored of an experiment."""
    file = folder / f"{experiment}.jsonl"
    return [Record(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


def find(records: Iterable[Record], settings: dict[str, Any]) -> Record | None:
    """Return the record of these settings, if there is one."""
    return next((record for record in records if record.settings == json.loads(json.dumps(settings))), None)


def write(experiment: str, record: Record, folder: Path = FOLDER) -> None:
    """Store a record in place of that of the same settings, or after the others; the whole file is replaced."""
    records = read(experiment, folder)
    known = find(records, record.settings)
    records = [record if old is known else old for old in records] + ([] if known else [record])
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{experiment}.{os.getpid()}"
    partial.write_text("".join(json.dumps(r._asdict(), ensure_ascii=False) + "\n" for r in records))
    os.replace(partial, folder / f"{experiment}.jsonl")


def run(plan: Plan, folder: Path = FOLDER) -> None:
    """Print a line for each stored case, then measure and store the others and print theirs."""
    cases, again, jobs = plan
    stored = {name: read(name, folder) for name in dict.fromkeys(case.experiment for case in cases)}
    known = [None if again else find(stored[case.experiment], case.settings) for case in cases]
    todo = [case for case, record in zip(cases, known, strict=True) if record is None]
    print(announcement(cases, todo, stored, jobs), flush=True)
    print(line("problem", "paper", "here", "seeds", "seconds"))
    for case, record in zip(cases, known, strict=True):
        if record is not None:
            print(row(case, record), flush=True)
    for case, record in measured(todo, jobs):
        write(case.experiment, record, folder)
        print(row(case, record), flush=True)


def row(case: Case, record: Record) -> str:
    """Return the line of a case."""
    return line(label(case), case.paper, case.show(record.figures), str(case.seeds), shown(record.seconds))


def measured(cases: list[Case], jobs: int) -> Iterator[tuple[Case, Record]]:
    """Measure the cases, `jobs` at a time, and yield each as soon as it is done."""
    if jobs == 1:
        yield from ((case, measure(case)) for case in cases)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), start_worker) as pool:
        running = {pool.submit(measure, case): case for case in cases}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.terminate()
            raise


def start_worker() -> None:
    """Prepare a process to measure; it ends when its parent does, even a parent that was killed."""
    on_one_thread_each()
    parent = parent_process()

    def follow() -> None:
        if parent:
            parent.join()
            os._exit(1)

    Thread(target=follow, daemon=True).start()


def measure(case: Case) -> Record:
    """Run a case and return its record."""
    start, cpu = time.perf_counter(), time.process_time()
    figures = case.run()
    return Record(
        settings=case.settings,
        figures=json.loads(json.dumps(figures)),
        paper=case.paper,
        seeds=case.seeds,
        seconds=round(time.perf_counter() - start, 2),
        cpu_seconds=round(time.process_time() - cpu, 2),
        work=case.work,
        when=now(),
    )


def now() -> dict[str, str]:
    """Return the date, the commit (with a + where files had changed), the versions and the machine."""
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=FOLDER.parent, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": asked.stdout.strip(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    }


def announcement(cases: list[Case], todo: list[Case], stored: dict[str, list[Record]], jobs: int = 1) -> str:
    """Tell how much there is to do, and how much time that takes according to the stored CPU seconds."""
    times = [estimate(case, stored[case.experiment]) for case in todo]
    known = sum(seconds for seconds in times if seconds is not None)
    by = "" if jobs == 1 else f", {in_words(known / jobs)} on {jobs} cores"
    left = f"the others take about {in_words(known)} of CPU time{by}"
    said = f"{len(cases)} cases, {len(cases) - len(todo)} of them stored; {left}"
    unknown = sum(seconds is None for seconds in times)
    return said + (f", and {unknown} that nothing like was ever timed\n" if unknown else "\n")


def estimate(case: Case, records: list[Record]) -> float | None:
    """Return the CPU seconds of a case: its own, or those of the most similar record times the ratio of the work."""
    records = [record for record in records if record.cpu_seconds is not None]
    own = find(records, case.settings)
    if own is not None:
        return own.cpu_seconds
    if not records:
        return None
    like = max(records, key=lambda record: len(record.settings.items() & case.settings.items()))
    return (like.cpu_seconds or 0.0) * case.work / like.work


def in_words(seconds: float) -> str:
    """Return a duration for a reader.

    >>> in_words(42), in_words(130), in_words(40_000)
    ('42 s', '2 min 10 s', '11 h 6 min')
    """
    seconds = round(seconds)
    minutes, hours = seconds // 60, seconds // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def label(case: Case) -> str:
    """Name a case by its experiment and its settings; the number of seeds has a column of its own."""
    said = [
        value if isinstance(value, str) else f"{name} {value:,}"
        for name, value in case.settings.items()
        if name != "seeds" and (name, value) not in (("first_seed", 0), ("seed", 0))
    ]
    return ", ".join([case.experiment.replace("_", " "), *said])


def shown(seconds: float | None) -> str:
    """Return seconds to a tenth, or a dash."""
    return "-" if seconds is None else f"{seconds:.1f}"


def line(problem: str, paper: str, here: str, seeds: str, seconds: str) -> str:
    """Return a line of the table; a cell that is too long for its column is not cut."""
    cells = [f"{text:<{width}}" for text, width in zip((problem, paper, here), WIDTHS, strict=True)]
    return " ".join([*cells, f"{seeds:>5}", f"{seconds:>8}"])
