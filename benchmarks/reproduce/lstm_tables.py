"""The table of the six tasks of Hochreiter & Schmidhuber 1997."""

from benchmarks.reproduce import results
from benchmarks.reproduce.lstm_tasks import TASKS, outcome
from benchmarks.reproduce.lstm_training import TESTED
from benchmarks.reproduce.result_tables import table
from benchmarks.reproduce.results import Record


def lstm_tasks() -> list[str]:
    """Return the table of every record, task by task."""
    records = [r for r in results.read("lstm_tasks") if r.settings["task"] in TASKS]
    names = list(TASKS)
    records.sort(key=lambda r: (names.index(r.settings["task"]), r.settings["training"], r.seeds))
    header = (
        "task",
        "blocks × cells",
        "training",
        "paper: sequences",
        "seeds that learned",
        "sequences, mean",
        "at most",
    )
    return table([*header, f"wrong of {TESTED:,}", "CPU s"], map(_row, records), records)


def _row(record: Record) -> list[str]:
    s, figures, task = record.settings, record.figures, TASKS[record.settings["task"]][0]
    each = {name: outcome(after) for name, after in figures["after"].items()}
    named = {name: f"{name}: " if len(each) > 1 else "" for name in each}
    wrong = sorted(figures["wrong"])
    return [
        s["task"],
        f"{task.blocks} × {task.size}",
        s["training"],
        record.paper,
        "<br>".join(f"{named[name]}{yes} / {seeds}" for name, (yes, seeds, _) in each.items()),
        "<br>".join(said.removeprefix(" after ") or "-" for _, _, said in each.values()),
        f"{s['sequences']:,}",
        " ".join(map(str, wrong)),
        "-" if record.cpu_seconds is None else f"{record.cpu_seconds:.0f}",
    ]
