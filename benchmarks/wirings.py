"""The speedup where steps do not wait: teacher forcing against its scan, the wavefront against nested scans.

Times training programs: the mean of outputs² with its gradient for the parameters, float32.  The speedup comes from
steps that do not wait for one another, so it grows with the length of the sequence and the side of the image.  It is
largest where a step is small, and on two cores it disappears where the products of a single step keep both busy
(--batch 8 --hidden 128).  Prints two tables to standard output.

    python -m benchmarks.wirings
    python -m benchmarks.wirings --times 64 512 --sides 16 32 --hidden 64
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import tyro
from jax import lax

import jaxrnn
from benchmarks import report
from benchmarks.timing import Program, compiled, interleaved


def main(
    times: tuple[int, ...] = (16, 64, 256, 1024, 4096),
    sides: tuple[int, ...] = (8, 16, 32, 64, 128),
    batch: int = 1,
    hidden: int = 32,
    hidden_2d: int = 8,
    seconds: float = 1.0,
) -> None:
    """Print both tables.

    Args:
        times: lengths of the sequences.
        sides: heights, and widths, of the images.
        batch: rows of sequences; images come one at a time.
        hidden: units of `Jordan`, and half its outputs.
        hidden_2d: units of `LSTM2D`.
        seconds: time for each program.
    """
    print(report.machine())
    print(f"\nJordan({hidden}), batch {batch}: milliseconds an update")
    table("T", {time: jordan(time, batch, hidden) for time in times}, seconds)
    print(f"\nLSTM2D({hidden_2d}), one image: milliseconds an update")
    table("side", {side: images(side, hidden_2d) for side in sides}, seconds)


def table(what: str, rows: dict[int, dict[str, Program]], seconds: float) -> None:
    """Print a line for each size; the other programs are compared with the first."""
    first, *others = next(iter(rows.values()))
    print(f"{what:>6}{first:>18}" + "".join(f"{name:>18}{'ratio':>8}" for name in others))
    for size, programs in rows.items():
        timings = {name: timing.minimum for name, timing in interleaved(programs, seconds=seconds).items()}
        rest = "".join(f"{timings[name]:>18.2f}{timings[name] / timings[first]:>8.1f}" for name in others)
        print(f"{size:>6}{timings[first]:>18.2f}{rest}", flush=True)


def jordan(time: int, batch: int, hidden: int) -> dict[str, Program]:
    """Return teacher forcing at once, the same numbers by a scan, and free running."""
    cell = jaxrnn.cells.Jordan(hidden, hidden, hidden // 2)
    keys = jax.random.split(jax.random.key(0), 3)
    params, xs = cell.init(keys[0]), jax.random.normal(keys[1], (time, batch, hidden))
    symbols = jax.random.randint(keys[2], (time, batch), 0, cell.output_size)

    def forced(params, xs):
        return jaxrnn.patterns.teacher_forced(cell, params, xs, symbols)[1]

    def scanned(params, xs):
        def step(before, at_t):
            z, symbol = at_t
            return jax.nn.one_hot(symbol, cell.output_size), cell.step(params, before, z)[1]

        return lax.scan(step, cell.initial_carry(params, (batch,)), (cell.project(params, xs), symbols))[1]

    def free(params, xs):
        return jaxrnn.unroll_bptt(cell, params, xs)[1]

    return {
        name: training(run, params, xs)
        for name, run in {"teacher_forced": forced, "its scan": scanned, "free running": free}.items()
    }


def images(side: int, hidden: int) -> dict[str, Program]:
    """Return the wavefront, and the obvious scan over rows of scans over pixels."""
    cell = jaxrnn.directions.LSTM2D(1, hidden)
    params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (side, side, 1, 1))

    def nested(params, xs):
        start = cell.initial_carry(params, xs.shape[1:-1])

        def row(above, zs):
            def pixel(left, at):
                state, y = cell.step_2d(params, at[0], left, at[1])
                return state, (state, y)

            return lax.scan(pixel, jax.tree.map(lambda leaf: leaf[0], start), (above, zs))[1]

        return lax.scan(row, start, cell.project(params, xs))[1]

    def wavefront(params, xs):
        return jaxrnn.directions.unroll_2d(cell, params, xs)

    return {"unroll_2d": training(wavefront, params, xs), "nested scans": training(nested, params, xs)}


def training(run: Callable, params, xs) -> Program:
    """Return the mean of outputs², and its gradient."""
    return compiled(jax.value_and_grad(lambda params, xs: jnp.mean(run(params, xs) ** 2)), params, xs)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
