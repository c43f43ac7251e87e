"""The tables and the picture of state tracking: every cell in every problem, by its best record."""

from statistics import median

import numpy as np

from benchmarks.reproduce import results
from benchmarks.reproduce.result_tables import NOT_MEASURED, table
from benchmarks.reproduce.results import Record
from benchmarks.reproduce.state_tracking import FAST, PAPERS, TRIALS
from jaxrnn.tasks.tracking import KINDS


def best_known(problem: str) -> dict[str, Record]:
    """Return, for each cell, the record with the most updates and seeds; not one with `--convolution`."""
    records = [
        r for r in results.read("state_tracking") if r.settings["problem"] == problem and "conv" not in r.settings
    ]
    ranked = sorted(records, key=lambda r: (r.settings["updates"], r.settings["seeds"]))
    return {kind: r for kind in KINDS for r in ranked if r.settings["cell"] == kind}


def state_tracking(problem: str) -> list[str]:
    """Return the accuracies of a problem at three lengths, the best and the median of the seeds, of all records."""
    lengths, paper = (
        [str(n) for n in TRIALS[problem].tested],
        {kind: PAPERS.get((problem, kind), "-") for kind in KINDS},
    )
    records = [r for r in results.read("state_tracking") if r.settings["problem"] == problem]

    def row(record: Record) -> list[str]:
        kind, accuracy = record.settings["cell"], [record.figures["accuracy"][n] for n in lengths]
        shown = [f"{max(a):.2f} / {median(a):.2f}" if len(a) > 1 else f"{a[0]:.2f}" for a in accuracy]
        name = f"{kind}, convolution" if "conv" in record.settings else kind
        return [name, *shown, paper[kind], f"{record.settings['updates']:,}", str(record.seeds)]

    rows = []
    for kind in KINDS:
        own = sorted((r for r in records if r.settings["cell"] == kind), key=lambda r: r.settings["updates"])
        rows += [*map(row, own)] or [[kind, *["not measured"] * len(lengths), paper[kind], "-", "-"]]
    header = ["cell", *(f"{int(n):,} steps" for n in lengths), "published", "updates", "seeds"]
    return table(header, rows, records)


def other_problems() -> list[str]:
    """Return the best accuracies, at all three lengths, of the problems without a separate table."""
    known = {problem: best_known(problem) for problem in TRIALS if problem not in (*FAST, "s3")}
    known = {problem: records for problem, records in known.items() if records}
    if not known:
        return NOT_MEASURED

    def cell(kind: str, problem: str) -> str:
        if kind not in known[problem]:
            return "-"
        return " ".join(f"{max(scores):.2f}" for scores in known[problem][kind].figures["accuracy"].values())

    rows = [[kind, *(cell(kind, problem) for problem in known)] for kind in KINDS]
    header = ["cell", *(f"{problem}, {_updates(records)} updates" for problem, records in known.items())]
    return table(header, rows, [record for records in known.values() for record in records.values()])


def _updates(records: dict) -> str:
    """Return the numbers of updates of the records, as "1,500" or "1,500 and 6,000"."""
    return " and ".join(f"{n:,}" for n in sorted({record.settings["updates"] for record in records.values()}))


def tracking_map() -> list[str]:
    """Return the picture of cells against problems, once every cell has been measured in some problem."""
    measured = np.isfinite(scaled_accuracies()).any(axis=1).all()
    return ["![accuracy of every cell in every problem](state_tracking.png)"] if measured else NOT_MEASURED


def scaled_accuracies() -> np.ndarray:
    """Return the best accuracy at the middle length, scaled from 0 (a guess) to 1 (perfect); NaN if none."""
    scores = np.full((len(KINDS), len(TRIALS)), np.nan)
    for j, (problem, trial) in enumerate(TRIALS.items()):
        for i, kind in enumerate(KINDS):
            record = best_known(problem).get(kind)
            if record:
                chance, best = record.figures["chance"], max(record.figures["accuracy"][str(trial.tested[1])])
                scores[i, j] = max(0.0, (best - chance) / (1 - chance))
    return scores
