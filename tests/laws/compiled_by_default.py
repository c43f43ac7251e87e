"""Print which programs give other numbers when XLA compiles them by default than without its optimizations.

A process of its own, `python -m tests.laws.compiled_by_default`: the tests' process compiles everything without them.
"""

import jax
import jax.numpy as jnp

from jaxrnn import GRU, LSTM, LayerNorm, Readout, Stack, unroll, unroll_bptt, unroll_checkpointed, unroll_newton
from jaxrnn.cells.wrappers import DeepTransition
from jaxrnn.patterns import Feedback
from jaxrnn.testing import random_problem
from jaxrnn.testing.problem import QUICK, results

CASES = [
    # cell, of so many units; the member; rows; dtype.  4 rows of 5 units in float64 are what jaxlib 0.10 gets wrong
    (lambda n: GRU(2, n), unroll_newton, 4, 5, "float64"),
    (lambda n: LayerNorm(GRU(2, n, "after")), unroll_newton, 4, 5, "float64"),
    (lambda n: Feedback(GRU(6, n), Readout(n, 4)), unroll_bptt, 4, 5, "float64"),
    (lambda n: Feedback(GRU(6, n, "after"), Readout(n, 4)), unroll_checkpointed, 4, 5, "float64"),
    (lambda n: DeepTransition(GRU(2, n), (6,)), unroll_bptt, 4, 5, "float64"),
    (lambda n: DeepTransition(GRU(2, n), (n,), True), unroll, 4, 6, "float64"),
    (lambda n: Stack((GRU(2, n), LSTM(n, 4))), unroll_bptt, 4, 7, "float64"),
    (lambda n: LSTM(2, n), unroll_newton, 8, 5, "float64"),
    (lambda n: Feedback(LSTM(6, n), Readout(n, 4)), unroll_bptt, 1, 9, "float64"),
    (lambda n: GRU(2, n), unroll_bptt, 9, 33, "float64"),
    (lambda n: Feedback(GRU(6, n), Readout(n, 4)), unroll_bptt, 8, 5, "float32"),
]


def largest_difference(cell, member, rows: int, dtype: str) -> float:
    """Return the largest difference between the two compilations, relative to 1 + |value|."""
    problem = random_problem(cell, batch=(rows,), dtype=dtype)._replace(mask=None, reset=None)
    lowered = jax.jit(lambda p: results(cell, p, member, False)).lower(problem)
    plainly, by_default = lowered.compile(compiler_options=QUICK)(problem), lowered.compile()(problem)
    pairs = zip(*map(jax.tree.leaves, (plainly, by_default)), strict=True)
    return max(float(jnp.max(jnp.abs(a - b) / (1 + jnp.abs(a)))) for a, b in pairs if a.size)


def main() -> None:
    """Print a line for each program that differs."""
    jax.config.update("jax_enable_x64", True)
    for make, member, rows, units, dtype in CASES:
        error = largest_difference(make(units), member, rows, dtype)
        if not error <= (1e-8 if dtype == "float64" else 2e-3):
            print(f"{make(units)} by {member.__name__}, {rows} rows, {dtype}: {error:.1e}")


if __name__ == "__main__":
    main()
