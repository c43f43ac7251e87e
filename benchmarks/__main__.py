"""The same layer in every library, in one interleaved run.

Prints a table to standard output, and progress to standard error.

Examples:
    python -m benchmarks
    python -m benchmarks --cells lstm gru --programs train --seconds 2
    python -m benchmarks --configurations 100 32 128 128 1000 1 64 64 --json bench.json
"""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from tqdm import tqdm

from benchmarks import (
    attention,
    compile,
    in_loop,
    long,
    ntm,
    parallel,
    report,
    reservoirs,
    sampling,
    trees,
    wirings,
)
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


def main(
    cells: tuple[CellName, ...] = CELLS,
    configurations: tuple[tuple[int, int, int, int], ...] = CONFIGURATIONS,
    programs: tuple[str, ...] = ("forward", "train"),
    contenders: tuple[str, ...] = (),
    seconds: float = 1.0,
    least: int = 5,
    json_path: Path = Path("bench.json"),
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


def measure(cell, sizes, what, programs, seconds, least) -> list[report.Row]:
    """Time the contenders in turns, and return one row for each."""
    timings = interleaved(programs, seconds=seconds, least=least)
    return [
        report.Row(cell, sizes, what, name, timings[name], p.compile_seconds, p.temporary_bytes)
        for name, p in programs.items()
    ]


def gemm_gflops(size: int = 2048) -> float:
    """Measure the GFLOP/s of a single large float32 matrix product on this machine: the upper limit."""
    x = jnp.ones((size, size))
    product = compiled(jnp.matmul, x, x)
    return 2 * size**3 / interleaved({"product": product}, seconds=1)["product"].minimum / 1e6


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
    in_loop.main()
    sampling.main()
    trees.main()
    long.main()
    ntm.main()
    wirings.main()
    reservoirs.main()
    attention.main()
    compile.main()
    parallel.main()
    subprocess.run([sys.executable, "-m", "benchmarks.cores"], check=True)  # it splits the CPU before JAX starts
