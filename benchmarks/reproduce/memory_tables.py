"""The tables and the picture of adding and copy: scores, when each seed had learned, and the curves of the loss."""

from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.reproduce import results
from benchmarks.reproduce.memory_tasks import BATCH, learned_after
from benchmarks.reproduce.networks import NAMES
from benchmarks.reproduce.result_tables import table
from benchmarks.reproduce.results import Record

SHORT, LONG = 2_000, 20_000
"""The number of updates of the table of every network, and of the curves."""


def memory_tasks() -> list[str]:
    """Return the table of best and worst scores of adding and copy."""
    records = [r for r in results.read("memory_tasks") if r.settings["updates"] == SHORT]
    columns = sorted({(r.settings["problem"], r.settings["length"]) for r in records})

    def cell(network: str, column: tuple[str, int]) -> str:
        of_this = [
            r
            for r in records
            if (r.settings["network"], r.settings["problem"], r.settings["length"]) == (network, *column)
        ]
        scores = [score for r in of_this for score in r.figures["scores"]]
        return ", ".join(dict.fromkeys(map(_score, sorted(scores, key=lambda s: (s is None, s)))))

    known = {(r.settings["problem"], r.settings["length"]): r.figures["no_memory"] for r in records}
    there = {r.settings["network"] for r in records}
    rows = [["no memory", *(_score(known[column]) for column in columns)]]
    rows += [[NAMES[n], *(cell(n, column) or "-" for column in columns)] for n in NAMES if n in there]
    return table(["", *(f"{problem}, T = {length}" for problem, length in columns)], rows, records)


def _score(score: float | None) -> str:
    return "diverged" if score is None else f"{score:.3g}"


def measured() -> list[Record]:
    """Return the records with curves, by problem, length, network and seed."""
    records = [r for r in results.read("memory_tasks") if r.settings["updates"] == LONG]
    return sorted(records, key=lambda r: (*_case(r), r.settings["first_seed"]))


def joined() -> list[Record]:
    """Return one record for each problem, length and network: that of its first seed, with the figures of all seeds."""
    return [_together(list(group)) for _, group in groupby(measured(), _case)]


def _case(record: Record) -> tuple[str, int, int]:
    s = record.settings
    return s["problem"], s["length"], list(NAMES).index(s["network"])


def _together(records: list[Record]) -> Record:
    lists = {name: [each for r in records for each in r.figures[name]] for name in ("scores", "curves")}
    seconds = sum(r.cpu_seconds or 0 for r in records)
    return records[0]._replace(figures=records[0].figures | lists, cpu_seconds=seconds)


def memory_curves() -> list[str]:
    """Return the table of when each seed had learned, and of its score after training."""

    def row(record: Record) -> list[str]:
        s, f = record.settings, record.figures
        return [
            f"{s['problem']}, T = {s['length']:,}",
            NAMES[s["network"]],
            " ".join(f"{n:,}" if n else "-" for n in learned_after(f)),
            " ".join(map(_score, f["scores"])),
            _score(f["no_memory"]),
            record.paper,
            f"{record.cpu_seconds:.0f}",
        ]

    header = ("problem", "network", "learned after", "score", "no memory", "paper", "CPU s")
    return table(header, map(row, joined()), measured())


def draw_memory_curves() -> Figure:
    """Draw the loss of each seed against the number of updates, relative to that of having no memory."""
    panels: dict[tuple, list[Record]] = {}
    for record in joined():
        panels.setdefault((record.settings["problem"], record.settings["length"]), []).append(record)
    figure, rows = Figure(figsize=(9, 6.2), dpi=130, layout="constrained"), 2
    every = figure.subplots(rows, -(-len(panels) // rows), sharex=True, sharey=True, squeeze=False)
    named: dict[str, Any] = {}
    for axes in every.flat[len(panels) :]:
        axes.axis("off")
    for axes, ((problem, length), records) in zip(every.flat, panels.items(), strict=False):
        for record in records:
            name, f = record.settings["network"], record.figures
            for curve in f["curves"]:
                losses = np.array([np.nan if loss is None else loss for loss in curve]) / f["no_memory"]
                at, color = f["every"] * np.arange(1, len(losses) + 1), f"C{list(NAMES).index(name)}"
                (named[NAMES[name]],) = axes.semilogy(at, losses, color=color, linewidth=1.2)
        axes.axhline(1, color="0.5", linewidth=0.8, linestyle=":")
        axes.set(title=f"{problem}, T = {length:,}", xlim=(0, LONG), ylim=(0.01, 3))
        axes.set_xticks([0, LONG // 2], ["0", f"{LONG // 2:,}"])
        axes.spines[["top", "right"]].set_visible(False)
    shown = [name for name in NAMES.values() if name in named]
    figure.legend(
        [named[name] for name in shown], shown, loc="outside upper center", ncols=len(NAMES), frameon=False, fontsize=8
    )
    figure.supxlabel(f"updates, of {BATCH} sequences each", fontsize=10)
    figure.supylabel("loss / loss without a memory", fontsize=10)
    return figure
