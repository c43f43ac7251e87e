"""Compile times, against the number of steps, the cell and the number of layers.

Times tracing, lowering and compiling the gradient of a loss over `unroll_bptt`, batch 4, hidden 32, float32, with an
empty compilation cache.  The number of steps should hardly matter; from 64 steps on, one iteration of the loop may run
four small steps.  The last column of the first table shows how much it matters.

    python -m benchmarks.compile
    python -m benchmarks.compile --lengths 10 1000 --repeats 1
"""

import time
from statistics import median

import jax
import jax.numpy as jnp
import tyro

import jaxrnn
from benchmarks import report

CELLS = {
    "elman": jaxrnn.Elman,
    "lstm": jaxrnn.LSTM,
    "gru": jaxrnn.GRU,
    "min_gru": jaxrnn.MinGRU,
}
SIZE = 32


def main(
    lengths: tuple[int, ...] = (10, 100, 1000, 10_000), layers: tuple[int, ...] = (1, 2, 4, 8), repeats: int = 3
) -> None:
    """Print both tables.

    Args:
        lengths: numbers of steps.
        layers: numbers of LSTM layers, at 100 steps.
        repeats: how many times each program is compiled; the median counts.
    """
    print(f"{report.machine()}\n\nseconds to compile the gradient, one layer")
    print(f"{'cell':<10}" + "".join(f"{f'τ={n}':>10}" for n in lengths) + f"{'last/first':>12}")
    for name, cell in CELLS.items():
        seconds = [compile_seconds(cell(SIZE, SIZE), n, repeats) for n in lengths]
        print(f"{name:<10}" + "".join(f"{s:>10.2f}" for s in seconds) + f"{seconds[-1] / seconds[0]:>12.2f}")
    print(f"\nseconds to compile the gradient, LSTM layers, τ=100\n{'layers':<10}{'as one cell':>14}{'by layers':>14}")
    for n in layers:
        stack = jaxrnn.Stack((jaxrnn.LSTM(SIZE, SIZE),) * n)
        one, by = (compile_seconds(stack, 100, repeats, run=run) for run in (jaxrnn.unroll_bptt, by_layers))
        print(f"{n:<10}{one:>14.2f}{by:>14.2f}")


def by_layers(cell, params, xs):
    """Run a stack, one layer over all steps and then the next."""
    return jaxrnn.unroll_layers(cell, params, xs, run=jaxrnn.unroll_bptt)


def compile_seconds(cell, steps: int, repeats: int, run=jaxrnn.unroll_bptt) -> float:
    """Return the median time, each from an empty cache."""
    params, xs = cell.init(jax.random.key(0)), jnp.ones((steps, 4, SIZE))
    taken = []
    for _ in range(repeats):
        jax.clear_caches()
        start = time.perf_counter()
        jax.jit(jax.grad(lambda params, xs: jnp.sum(run(cell, params, xs)[1] ** 2))).lower(params, xs).compile()
        taken.append(time.perf_counter() - start)
    return median(taken)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    tyro.cli(main, description=__doc__)
