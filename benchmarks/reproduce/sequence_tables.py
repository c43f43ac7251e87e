"""The tables and the picture of sequence to sequence: the order of the source, and the score against the length."""

from collections.abc import Callable, Iterable
from itertools import chain
from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.reproduce import results
from benchmarks.reproduce.encoder_decoders import HIDDEN, LONGEST, TESTED
from benchmarks.reproduce.result_tables import table
from benchmarks.reproduce.results import Record
from benchmarks.reproduce.sequence_to_sequence import EARLY, LEARNED, PAPERS, at, perplexities, reached

NAMES = {"none": "a fixed context", "additive": "additive attention", "location": "location attention"}
SHOWN = (6, 10, 14, 20, 24, 30, 40)


def stored(*names: str) -> dict[tuple, list[Record]]:
    """Return the records that have the first of these settings, by all of them; a group has its seeds in order."""
    groups: dict[tuple, list[Record]] = {}
    records = [r for r in results.read("sequence_to_sequence") if names[0] in r.settings]
    for record in sorted(records, key=lambda r: (-r.settings["updates"], r.settings["seed"])):
        settings = {"hidden": HIDDEN} | record.settings
        groups.setdefault(tuple(settings[name] for name in names), []).append(record)
    return groups


def source_order() -> list[str]:
    """Return the table of sources in order and reversed."""

    def row(problem: str, order: str, updates: int, records: list[Record]) -> list[str]:
        curves, share = [r.figures for r in records], LEARNED[problem]
        after = [reached(f["answers"], share) for f in curves]
        return [
            problem,
            order,
            f"{updates:,}",
            *(_each(list(each), "{:.3f}") for each in zip(*map(perplexities, curves), strict=True)),
            _each([100 * f["symbols"][-1] for f in curves], "{:.1f}"),
            _each([100 * f["answers"][-1] for f in curves], "{:.1f}"),
            f"{100 * share:.0f} %: " + " ".join(f"{n:,}" if n else "-" for n in after),
        ]

    scores = f"perplexity after {EARLY}", "at the end", "symbols right, %", "answers right, %", "right after"
    header = ("problem", "source", "updates", *scores)
    return _table(header, row, stored("problem", "source", "updates"))


def _each(values: list[float], form: str) -> str:
    """Return the median, and the value of each seed."""
    each = " ".join(map(form.format, values))
    return f"{form.format(median(values))} ({each})" if len(values) > 1 else each


def sentence_lengths() -> list[str]:
    """Return the table of the right answers by length, the best and the median of the seeds."""

    def row(attention: str, hidden: int, updates: int, records: list[Record]) -> list[str]:
        right = [[100 * at(r.figures, length) for r in records] for length in SHOWN]
        shown = [f"{max(each):.0f} / {median(each):.0f}" for each in right]
        return [NAMES[attention], str(hidden), f"{updates:,}", str(len(records)), *shown, PAPERS.get(attention, "-")]

    header = ("decoder", "units", "updates", "seeds", *(f"{n} letters, %" for n in SHOWN), "paper")
    return _table(header, row, by_decoder())


def by_decoder() -> dict[tuple, list[Record]]:
    """Return the records of each decoder, size and number of updates, without attention first."""
    groups = stored("attention", "hidden", "updates")
    return dict(sorted(groups.items(), key=lambda item: (list(NAMES).index(item[0][0]), item[0][1], -item[0][2])))


def _table(header: Iterable[str], row: Callable[..., list[str]], groups: dict[tuple, list[Record]]) -> list[str]:
    """Return the table with a row of each group."""
    return table(header, [row(*key, records) for key, records in groups.items()], [*chain(*groups.values())])


def draw_sentence_lengths() -> Figure:
    """Draw the score against the length for each decoder and size, of the most updates: best and median seed."""
    figure = Figure(figsize=(9, 3.8), dpi=130, layout="constrained")
    titles = {"answers": "whole answers right", "symbols": "letters in their places"}
    drawn: dict[str, list[Record]] = {}
    for (attention, hidden, _), records in by_decoder().items():
        drawn.setdefault(f"{NAMES[attention]}, {hidden} units", records)
    for axes, (score, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for k, (name, records) in enumerate(drawn.items()):
            each = np.array([r.figures[score] for r in records])
            axes.plot(TESTED, np.median(each, axis=0), "o-", color=f"C{k}", markersize=3, label=name)
            axes.plot(TESTED, each.max(axis=0), "--", color=f"C{k}", linewidth=1)
        axes.axvspan(LONGEST, max(TESTED), color="0.93", label="longer than any learned from")
        axes.set(title=title, xlabel="letters in the source", ylim=(-0.03, 1.03), xlim=(0, max(TESTED)))
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    return figure
