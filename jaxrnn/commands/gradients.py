"""jaxrnn gradients: the same gradient by every algorithm, with their differences, times and memory."""

import shutil
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.commands.gradient_algorithms import LeftOut, Way, ways
from jaxrnn.commands.runs.command_line import check_seed, parse
from jaxrnn.commands.runs.memory_limit import refuse
from jaxrnn.core.types import Cell
from jaxrnn.tasks.data import check_count

HELP = """Compare every algorithm for the gradient of section 2.2.

The loss is a fixed random linear function of the outputs. Δ is the largest difference in any entry of any \
gradient (parameters and inputs; of what runs forwards, parameters), relative to the largest entry. The \
approximate algorithms, marked ≈, run in float32 alone: their Δ is what they leave out, not rounding.

examples:
  jaxrnn gradients
  jaxrnn gradients --cell gru --length 200
  jaxrnn gradients --cell elman --hidden 512 --batch 8"""

CELLS = {"elman": Elman, "gru": GRU, "gru-after": partial(GRU, reset="after"), "lstm": LSTM}


@dataclass(frozen=True)
class Comparison:
    """The options of `gradients`."""

    cell: Literal["elman", "gru", "gru-after", "lstm"] = "lstm"
    """The recurrent cell."""
    length: int = 64
    """Time steps."""
    batch: int = 4
    """Rows."""
    input: int = 8
    """Features of the input."""
    hidden: int = 16
    """Units."""
    seed: int = 0
    """The seed of weights, inputs and loss."""

    def __post_init__(self):
        check_count(length=self.length, batch=self.batch, input=self.input, hidden=self.hidden)
        check_seed(self.seed)


class Row(NamedTuple):
    """One line of the table."""

    dtype: str
    way: str
    versus_grad: float
    """Δ against `jax.grad` of `unroll` in the same dtype."""
    versus_float64: float
    """Δ against `jax.grad` of `unroll` in float64."""
    milliseconds: float
    mebibytes: float
    """The memory that the compiled program needs besides its arguments and results."""


def run(argv: list[str]) -> int:
    """Print the table."""
    options = parse(Comparison, argv, prog="jaxrnn gradients", description=HELP)
    cell = CELLS[options.cell](options.input, options.hidden)
    refuse(8 * 8 * (options.length * options.batch + options.input + options.hidden) * (options.input + options.hidden))
    columns = shutil.get_terminal_size().columns
    found, left_out = ways(cell, options.length, options.batch)
    print(f"{cell}\nlength {options.length}, batch {options.batch}\n")
    print(table(compare(cell, found, options), columns))
    if left_out:
        print("\n" + notes(left_out, columns))
    return 0


def compare(cell: Cell, found: list[Way], options: Comparison) -> list[Row]:
    """Compare in both dtypes, with the reference first in each; float64 comes first, as the reference for float32."""
    rows, exact, reference = [], None, None
    plan = [(jnp.float64, way) for way in found if way.exact] + [(jnp.float32, way) for way in found]
    with jax.enable_x64(True):
        for dtype, way in tqdm(plan, disable=None, leave=False, unit="way"):
            gradients, milliseconds, mebibytes = _measure(cell, way, dtype, options)
            reference = gradients if way is found[0] else reference
            exact = gradients if exact is None else exact
            deltas = _difference(gradients, reference), _difference(gradients, exact)
            name = way.name if way.exact else f"≈ {way.name}"
            rows.append(Row(jnp.dtype(dtype).name, name, *deltas, milliseconds, mebibytes))
    return rows


def notes(left_out: list[LeftOut], columns: int) -> str:
    """Return the algorithms that the table leaves out, with the reasons."""
    lines = [f"left out: {way.name}: {way.reason}" for way in left_out]
    return "\n".join(textwrap.fill(line, columns, subsequent_indent="  ") for line in lines)


def table(rows: list[Row], columns: int) -> str:
    """Format the rows in 80 columns, or as one paragraph per row on a narrower terminal."""
    if columns < 77:
        return "\n\n".join(
            f"{row.dtype}, {row.way}\n  Δ jax.grad {row.versus_grad:.1e}\n  Δ float64  {row.versus_float64:.1e}\n"
            f"  {row.milliseconds:.2f} ms, {row.mebibytes:.1f} MiB"
            for row in rows
        )
    lines = [f"{'dtype':8} {'gradient':28} {'Δ jax.grad':>10} {'Δ float64':>10} {'ms':>8} {'MiB':>7}"]
    lines += [
        f"{row.dtype:8} {row.way:28} {row.versus_grad:10.1e} {row.versus_float64:10.1e} "
        f"{row.milliseconds:8.2f} {row.mebibytes:7.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def _measure(cell: Cell, way: Way, dtype: Any, options: Comparison) -> tuple[Any, float, float]:
    """Return (gradients, milliseconds, mebibytes) of ∇ Σ ys ⊙ weights."""
    keys = jax.random.split(jax.random.key(options.seed), 3)
    shape = (options.length, options.batch)
    params = jax.tree.map(lambda leaf: leaf.astype(dtype), cell.init(keys[0]))
    xs = jax.random.normal(keys[1], (*shape, options.input), jnp.float64).astype(dtype)
    weights = jax.random.normal(keys[2], (*shape, options.hidden), jnp.float64).astype(dtype)
    compiled = jax.jit(way.gradient).lower(params, xs, weights).compile()
    memory = compiled.memory_analysis()
    gradients = jax.block_until_ready(compiled(params, xs, weights))
    return gradients, _fastest(compiled, params, xs, weights), getattr(memory, "temp_size_in_bytes", 0) / 2**20


def _fastest(compiled: Callable, *arguments) -> float:
    """Return the fastest of up to 20 calls, within a second, in milliseconds."""
    times, end = [], time.perf_counter() + 1
    while not times or (len(times) < 20 and time.perf_counter() < end):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def _difference(gradients: Any, reference: Any) -> float:
    """Return max |Δ| over every entry that both have, relative to the largest entry of the reference."""
    reference = reference[: len(gradients)]
    pairs = [
        (np.asarray(a, float), np.asarray(b, float))
        for a, b in zip(*map(jax.tree.leaves, (gradients, reference)), strict=True)
    ]
    return float(max(np.abs(a - b).max() for a, b in pairs) / max(np.abs(b).max() for _, b in pairs))
