"""The same layer in every library, in one interleaved run.

Prints a table to standard output, and progress to standard error; draws the ratios of the training steps.

Examples:
    python -m benchmarks.layers
    python -m benchmarks.layers --cells lstm gru --programs train --seconds 2
    python -m benchmarks.layers --configurations 100 32 128 128 1000 1 64 64 --picture layers.png
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmarks import report
from benchmarks.contenders import CellName, Configuration, present
from benchmarks.timing import compiled, interleaved

CELLS: tuple[CellName, ...] = ("elman", "lstm", "gru", "gru-after")
CONFIGURATIONS = (
    (100, 32, 128, 128),
    (100, 64, 256, 256),
    (784, 32, 1, 128),
    (48, 128, 512, 512),
    (1000, 1, 64, 64),
    (32, 16, 1024, 1024),
)

MARKERS = {"flax": "o", "haiku": "s", "equinox": "^", "pytorch": "x"}
"""The marker of each library in the picture."""


def main(
    cells: tuple[CellName, ...] = CELLS,
    configurations: tuple[tuple[int, int, int, int], ...] = CONFIGURATIONS,
    programs: tuple[str, ...] = ("forward", "train"),
    contenders: tuple[str, ...] = (),
    seconds: float = 1.0,
    least: int = 5,
    json_path: Path = Path("bench.json"),
    picture: Path | None = None,
) -> None:
    """Compare this library with PyTorch, Flax, Haiku and Equinox.

    Args:
        cells: which cells; gru is the chapter's form, gru-after PyTorch's.
        configurations: T B in hidden, four numbers for each configuration.
        programs: forward, train.
        contenders: which libraries; all of them if none is named.
        seconds: time for each program of each contender.
        least: the least number of timed calls.
        json_path: a file for all results as JSON, in addition to the table.
        picture: a file for a picture of the training steps: the ratio to each library, by configuration.
    """
    makers, missing = present()
    for name in missing:
        print(f"{name}: not installed, left out", file=sys.stderr)
    makers = {name: make for name, make in makers.items() if not contenders or name in contenders}
    peers = [name for name in makers if name not in report.OURS]
    gemm = gemm_gflops()
    print(f"{report.machine()}\nmatrix product 2048³, float32: {gemm:.1f} GFLOP/s\n\n{report.HEADER}")
    rows: list[report.Row] = []
    for cell, sizes in tqdm([(c, Configuration(*s)) for c in cells for s in configurations], disable=None):
        made = {name: make(cell, sizes) for name, make in makers.items()}
        for what in programs:
            group = measure(cell, sizes, what, {name: m[what] for name, m in made.items()}, seconds, least)
            tqdm.write("\n".join(report.lines(group, peers)), file=sys.stdout)
            rows += group
    print("\n".join(report.summary(rows, peers)))
    json_path.write_text(json.dumps(report.document(rows, gemm), indent=1))
    if picture is not None:
        ratios(rows).savefig(picture, dpi=120)


def measure(cell, sizes, what, programs, seconds, least) -> list[report.Row]:
    """Time the contenders in turns, and return one row for each."""
    timings = interleaved(programs, seconds=seconds, least=least)
    return [
        report.Row(cell, sizes, what, name, timings[name], p.compile_seconds, p.temporary_bytes)
        for name, p in programs.items()
    ]


def ratios(rows: list[report.Row]) -> Figure:
    """Draw how many times as fast the training step of `unroll_bptt` is as that of each library."""
    rows = [row for row in rows if row.what == "train"]
    cells, sizes = (list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("cell", "sizes"))
    figure = Figure(figsize=(9, 2.2 * len(cells)), layout="constrained")
    for cell, axes in zip(cells, np.ravel(figure.subplots(len(cells), sharex=True, squeeze=False)), strict=True):
        for name, marker in MARKERS.items():
            points = [
                (k, report.fastest(group, [name]) / report.fastest(group, ["unroll_bptt"]))
                for k, at in enumerate(sizes)
                for group in [[row for row in rows if (row.cell, row.sizes) == (cell, at)]]
            ]
            axes.plot(*zip(*points, strict=True), marker, label=name, markersize=7, fillstyle="none")
        axes.axhline(1, color="black", linewidth=0.8)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(title=f"{cell}: times as fast", xlim=(-0.5, len(sizes) - 0.5))
        axes.set_xticks(range(len(sizes)), [", ".join(map(str, at)) for at in sizes])
        axes.grid(axis="y", alpha=0.3)
    axes.set_xlabel("T, B, inputs, units")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(MARKERS))
    return figure


def gemm_gflops(size: int = 2048) -> float:
    """Measure the GFLOP/s of a single large float32 matrix product on this machine: the upper limit."""
    x = jnp.ones((size, size))
    product = compiled(jnp.matmul, x, x)
    return 2 * size**3 / interleaved({"product": product}, seconds=1)["product"].minimum / 1e6


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
