"""The tables and the picture of sequence to sequence: the order of the source, and the score against the length."""

from collections.abc import Iterable
from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.reproduce import results
from benchmarks.reproduce.encoder_decoders import LONGEST, TESTED
from benchmarks.reproduce.result_tables import table
from benchmarks.reproduce.results import Record
from benchmarks.reproduce.sequence_to_sequence import PAPERS, at, reached

NAMES = {"none": "a fixed context", "additive": "additive attention", "location": "location attention"}
SHOWN = (6, 10, 14, 20, 24, 30, 40)


def stored(setting: str) -> dict[tuple[str, ...], list[Record]]:
    """Return the records that have this setting, by all their settings but the seed; seeds in order."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    records = [r for r in results.read("sequence_to_sequence") if setting in r.settings]
    for record in sorted(records, key=lambda r: r.settings["seed"]):
        s = record.settings
        groups.setdefault(tuple(s[name] for name in s if name != "seed"), []).append(record)
    return groups


def source_order() -> list[str]:
    """Return the table of sources in order and reversed."""
    groups = dict(sorted(stored("source").items(), key=lambda item: (item[0][2], item[0][:2])))

    def row(key: tuple[str, ...], records: list[Record]) -> list[str]:
        problem, order, updates = key
        curves = [r.figures for r in records]
        after = [reached(f["answers"]) for f in curves]
        return [
            problem,
            order,
            f"{updates:,}",
            _each([float(np.exp(f["nats"][-1])) for f in curves], "{:.3f}"),
            _each([100 * f["symbols"][-1] for f in curves], "{:.1f}"),
            _each([100 * f["answers"][-1] for f in curves], "{:.1f}"),
            " ".join(f"{n:,}" if n else "-" for n in after),
        ]

    header = ("problem", "source", "updates", "perplexity", "symbols right, %", "answers right, %", "half right after")
    return table(header, [row(*item) for item in groups.items()], [r for rs in groups.values() for r in rs])


def _each(values: list[float], form: str) -> str:
    """Return the median, and the value of each seed."""
    each = " ".join(map(form.format, values))
    return f"{form.format(median(values))} ({each})" if len(values) > 1 else each


def sentence_lengths() -> list[str]:
    """Return the table of the right answers by length, the best and the median of the seeds."""
    groups = stored("attention")

    def cell(records: Iterable[Record], length: int) -> str:
        right = [100 * at(r.figures, length) for r in records]
        return f"{max(right):.0f} / {median(right):.0f}"

    def row(attention: str, updates: int, records: list[Record]) -> list[str]:
        shown = [cell(records, length) for length in SHOWN]
        return [NAMES[attention], f"{updates:,}", str(len(records)), *shown, PAPERS.get(attention, "-")]

    rows = [row(*key, records) for key, records in groups.items()]
    header = ("decoder", "updates", "seeds", *(f"{n} letters" for n in SHOWN), "paper")
    return table(header, rows, [r for rs in groups.values() for r in rs])


def draw_sentence_lengths() -> Figure:
    """Draw the score against the length for each decoder, of the records with most updates: best and median seed."""
    figure = Figure(figsize=(9, 3.8), dpi=130, layout="constrained")
    titles = {"answers": "whole answers right", "symbols": "letters in their places"}
    best_known = {key[0]: records for key, records in sorted(stored("attention").items(), key=lambda item: item[0][1])}
    for axes, (score, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for k, (attention, records) in enumerate(best_known.items()):
            each = np.array([r.figures[score] for r in records])
            axes.plot(TESTED, np.median(each, axis=0), "o-", color=f"C{k}", markersize=3, label=NAMES[attention])
            axes.plot(TESTED, each.max(axis=0), "--", color=f"C{k}", linewidth=1)
        axes.axvspan(LONGEST, max(TESTED), color="0.93", label="longer than any learned from")
        axes.set(title=title, xlabel="letters in the source", ylim=(-0.03, 1.03), xlim=(0, max(TESTED)))
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
