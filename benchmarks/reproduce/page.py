"""The tables and pictures of docs/reproduce.md, generated from the stored results.

Between `<!-- table: NAME -->` and `<!-- end -->` the page has the table that `TABLES[NAME]` makes from
benchmarks/results; the text around it is written by hand.

    python -m benchmarks.reproduce.page
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median

import tyro

from benchmarks.reproduce import context_decision, flossing, force, gradient_distance, lorenz, reservoirs, results
from benchmarks.reproduce import temporal_order as temporal_order_program
from benchmarks.reproduce.lstm_tables import lstm_tasks
from benchmarks.reproduce.memory_tables import draw_memory_curves, memory_curves, memory_tasks
from benchmarks.reproduce.networks import NAMES
from benchmarks.reproduce.result_tables import NOT_MEASURED, table
from benchmarks.reproduce.results import Record
from benchmarks.reproduce.sequence_tables import draw_sentence_lengths, sentence_lengths, source_order
from benchmarks.reproduce.state_tracking import TRIALS
from benchmarks.reproduce.tracking_tables import other_problems, scaled_accuracies, state_tracking, tracking_map
from jaxrnn.tasks.tracking import KINDS, draw_heat_map

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reproduce.md"
BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
FLOWS = {
    "lorenz": "Lorenz",
    "ks": "Kuramoto-Sivashinsky, L = 22",
    "ks-ring": "Kuramoto-Sivashinsky, L = 22, 4 reservoirs of the same weights",
}


def main() -> None:
    """Rewrite the page's tables, and draw its pictures."""
    PAGE.write_text(rendered(PAGE.read_text()))
    gradient_distance.draw(gradient_distance.stored()).savefig(DOCS / "gradient_distance.png")
    draw_memory_curves().savefig(DOCS / "memory_curves.png")
    draw_sentence_lengths().savefig(DOCS / "sentence_lengths.png")
    if tracking_map() != NOT_MEASURED:
        title = "Accuracy at 256 steps, at 16 pairs of recall"
        draw_heat_map(DOCS / "state_tracking.png", list(KINDS), list(TRIALS), scaled_accuracies(), title)


def rendered(page: str) -> str:
    """Return the page with every table rewritten."""
    return BLOCK.sub(lambda found: found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3], page)


def temporal_order(fast: bool) -> list[str]:
    """Return the table of how many seeds learned temporal order, and when."""
    records = [r for r in results.read("temporal_order") if "beyond" not in r.settings]
    records = [r for r in records if (r.settings["updates"] == 10_000) == fast]
    records.sort(key=lambda r: (r.settings["length"], r.settings["method"]))

    def row(record: Record) -> list[str]:
        s, errors = record.settings, record.figures["errors"] or []
        succeeded, seeds, after = temporal_order_program.outcome(record.figures)
        of_the_others = sorted(round(100 * e, 1) for e in errors if e >= 0.01)
        ends = list(dict.fromkeys(f"{error:g}" for error in (of_the_others[:1] + of_the_others[-1:])))
        return [
            str(s["length"]),
            s["method"],
            f"{s['updates']:,}",
            f"{succeeded} / {seeds}",
            f"{after:,.0f}" if succeeded else "-",
            " to ".join(ends) or "-",
            "-" if record.cpu_seconds is None else f"{record.cpu_seconds:.0f}",
        ]

    header = ("length", "method", "updates at most", "succeeded", "median after", "errors of the others, %", "CPU s")
    return table(header, map(row, records), records)


def temporal_order_beyond() -> list[str]:
    """Return the table of errors at lengths other than that of the training."""
    records = [r for r in results.read("temporal_order") if "beyond" in r.settings]
    lengths = sorted({int(n) for r in records for n in r.figures["beyond"]})

    def row(record: Record) -> list[str]:
        succeeded, seeds, after = temporal_order_program.outcome(record.figures)
        each = [record.figures["beyond"].get(str(n), []) for n in lengths]
        said = [" ".join(f"{100 * error:.1f}" for error in errors) or "-" for errors in each]
        s = record.settings
        return [str(s["length"]), s["method"], f"{succeeded} / {seeds}", f"{after:,.0f}" if succeeded else "-", *said]

    header = ("length of training", "method", "succeeded", "median after", *(f"% wrong at {n:,}" for n in lengths))
    return table(header, map(row, records), records)


def gradients() -> list[str]:
    """Return the table of gradient norms against the distance."""
    records = [r for r in results.read("gradient_distance") if r.settings["time"] == 200 and r.settings["seed"] == 0]
    rows = [
        [
            NAMES[r.settings["network"]],
            *(f"{r.figures['norms'][n]:.1e}" for n in gradient_distance.SHOWN),
            f"{r.figures['reach']:.0f}",
        ]
        for r in records
    ]
    return table(["network", *(f"n = {n}" for n in gradient_distance.SHOWN), "1/e after"], rows, records)


def mackey_glass() -> list[str]:
    """Return the table of NRMSE₈₄ of the states h, and of h together with h²."""
    records = [r for r in results.read("reservoirs") if r.settings["problem"] == "mackey-glass"]
    papers = {(400, 3000): "2.8e-4", (400, 21_000): "1.2e-4", (1000, 3000): "10^-4.2 = 6.3e-5 (Jaeger & Haas 2004)"}
    rows = []
    for record in sorted(records, key=lambda r: (r.settings["units"], r.settings["reservoirs"])):
        found = {(row["steps"], row["read"]): row["nrmse"] for row in record.figures["rows"]}
        for steps in dict.fromkeys(steps for steps, _ in found):
            cells = [found[steps, read] for read in ("h", "h and h²")]
            shown = [f"{median(cell):.2e} ({min(cell):.1e} to {max(cell):.1e})" for cell in cells]
            units, count = record.settings["units"], record.settings["reservoirs"]
            rows.append([str(units), f"{steps:,}", papers.get((units, steps), "-"), *shown, str(count)])
    return table(("units", "fitted steps", "published", "h", "h beside h²", "reservoirs"), rows, records)


def flows() -> list[str]:
    """Return the table of the laser, and of how long continuations of flows are valid."""
    records = [r for r in results.read("reservoirs") if r.settings["problem"] != "mackey-glass"]
    rows = []
    for record in records:
        s, figures = record.settings, record.figures
        if s["problem"] == "laser":
            ours, theirs = (f"{mean(figures[library]):.6f}" for library in ("jaxrnn", "reservoirpy"))
            here, beside = f"{ours}, the mean of 5", f"reservoirpy with the same weights: {theirs}"
            rows.append(["Santa Fe laser, one step ahead, NRMSE", str(s["units"]), "8,074", here, beside])
        else:
            here = "{:.1f} ({:.1f} to {:.1f})".format(*reservoirs.mean_and_range(figures))
            name = f"{FLOWS[s['problem']]}, valid time in Lyapunov times"
            rows.append([name, str(s["units"]), f"{s['steps']:,}", here, "-"])
    return table(("", "units", "fitted steps", "here", "beside it"), rows, records)


SORTED = 16
"""The scored vectors of a sequence of priority sort; it alone has no tests beyond the lengths of training."""


def turing_machine() -> list[str]:
    """Return the table of every seed's scores within the lengths of training, and beyond."""
    records = results.read("turing_machine")
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(json.dumps(record.settings | {"seed": None}), []).append(record)
    header = ("problem", "controller", "paper", "trained by", "episodes", "wrong bits", "learned after", "wrong beyond")
    return table(header, map(_turing_machines, groups.values()), records)


def _turing_machines(records: list[Record]) -> list[str]:
    """Return the row of the seeds of one case; of n-grams, the bits in place of the wrong bits."""
    s, each = records[0].settings, [record.figures for record in records]
    if "best_bits" in each[0]:
        within = "bits: " + " ".join(f"{f['bits']:.3f}" for f in each)
        after, beyond = "-", f"the best predictor: {each[0]['best_bits']:.3f} bits"
    else:
        within, after = _percent(f["wrong"] for f in each), " ".join(_learned_after(f["curve"]) for f in each)
        tests = {name: _percent(f["beyond"][name]["wrong"] for f in each) for name in each[0]["beyond"]}
        beyond = "<br>".join(f"{name}: {wrong}" for name, wrong in tests.items())
        beyond = beyond or "bits per sequence: " + " ".join(f"{SORTED * f['bits']:.1f}" for f in each)
    how = f"{s['optimizer']}, {s['learning_rate']:g}" + (f", batches of {s['batch']}" if s["batch"] > 1 else "")
    how += f", start by {s['start']}" if "start" in s else ""
    how += (
        f", the first {s['short']:,} of a quarter of the length, the next {s['short'] // 2:,} of half"
        if "short" in s
        else ""
    )
    return [s["problem"], s["controller"], records[0].paper, how, f"{s['episodes']:,}", within, after, beyond]


def _percent(shares: Iterable[float]) -> str:
    """Return shares as percentages of one decimal, with one sign behind them."""
    return " ".join(f"{100 * share:.1f}" for share in shares) + " %"


def _learned_after(curve: list[float]) -> str:
    """Return the thousands of episodes until the loss is a twentieth of that of the first thousand."""
    below = [k for k, loss in enumerate(curve, 1) if loss < curve[0] / 20]
    return f"{below[0]},000" if below else "-"


def fitzhugh_nagumo() -> list[str]:
    """Return the table of test errors of each cell."""
    records = results.read("fitzhugh_nagumo")

    def row(record: Record) -> list[str]:
        """Return the row of one cell with its settings."""
        errors, cell = record.figures["test"], record.settings["cell"]
        name = f"{cell}, Δt = {record.settings['dt']}" if "dt" in record.settings else cell
        said = f"{median(errors):.4f} ({' '.join(f'{error:.4f}' for error in errors)})"
        return [name, f"{record.settings['epochs']:,}", record.paper, said, f"{record.cpu_seconds:.0f}"]

    header = ("cell, 16 units", "epochs", "paper's program", "test error: median (each seed)", "CPU s")
    return table(header, map(row, records), records)


def flip_flop() -> list[str]:
    """Return the table of fixed points of each kind of network."""
    records, rows = results.read("flip_flop"), [["a cube", "", "8", "12", "6", "1", "12"]]
    for cell in dict.fromkeys(r.settings["cell"] for r in records):
        each = [r.figures for r in records if r.settings["cell"] == cell]
        counts = [(f"{f['correct']:.2%}", f["stable"], *map(f["saddles"].get, "123"), f["edges"]) for f in each]
        rows.append([cell, *(" ".join(str(n or 0) for n in numbers) for numbers in zip(*counts, strict=True))])
    return table(("each seed", "bits right", "stable", *(f"{k} unstable" for k in "123"), "edges"), rows, records)


def as_printed(experiment: str, show: Callable[[dict], str]) -> list[str]:
    """Return the table of the settings of each case and its figures, as the program prints them."""
    records = results.read(experiment)
    rows = [
        [", ".join(f"{name} {value}" for name, value in r.settings.items()), r.paper, show(r.figures)] for r in records
    ]
    return table(["case", "paper", "here"], rows, records)


TABLES: dict[str, Callable[[], list[str]]] = {
    "temporal-order": lambda: temporal_order(fast=True),
    "temporal-order-long": lambda: temporal_order(fast=False),
    "temporal-order-beyond": temporal_order_beyond,
    "memory-tasks": memory_tasks,
    "memory-curves": memory_curves,
    "lstm-tasks": lstm_tasks,
    "gradient-distance": gradients,
    "mackey-glass": mackey_glass,
    "flows": flows,
    "turing-machine": turing_machine,
    "source-order": source_order,
    "sentence-lengths": sentence_lengths,
    "tracking-map": tracking_map,
    "tracking-others": other_problems,
    "fitzhugh-nagumo": fitzhugh_nagumo,
    "force": lambda: as_printed("force", lambda f: force.show_pattern(f) if "before" in f else force.show_chaos(f)),
    "flossing": lambda: as_printed("flossing", flossing.show),
    "lorenz": lambda: as_printed("lorenz", lorenz.show),
    "flip-flop": flip_flop,
    "context-decision": lambda: as_printed("context_decision", context_decision.show),
    **{f"tracking-{problem.replace(' ', '-')}": lambda problem=problem: state_tracking(problem) for problem in TRIALS},
}


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
