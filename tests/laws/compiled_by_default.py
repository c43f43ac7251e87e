"""Print which programs give other numbers when XLA compiles them by default than without its optimizations.

Processes of their own, because the tests' process compiles everything without optimizations:

    python -m tests.laws.compiled_by_default                a few programs of every kind
    python -m tests.laws.compiled_by_default float64        every member of the unroll family over many shapes
    python -m tests.laws.compiled_by_default float32 GRU    the same of another cell
"""

import sys
from functools import cache, partial

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn import (
    GRU,
    LSTM,
    LayerNorm,
    MinGRU,
    Readout,
    Stack,
    unroll,
    unroll_associative,
    unroll_bptt,
    unroll_checkpointed,
    unroll_newton,
    unroll_python,
    unroll_truncated,
)
from jaxrnn.cells.wrappers import DeepTransition
from jaxrnn.linear.matrix import Retention
from jaxrnn.patterns import Feedback
from jaxrnn.testing import random_problem
from jaxrnn.testing.problem import QUICK, results
from jaxrnn.unrolling.parallel import unroll_chunkwise

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
MEMBERS = {
    # the member, the cell that it needs where it does not run every cell
    "unroll": (unroll, None),
    "unroll_python": (unroll_python, None),
    "unroll_bptt": (unroll_bptt, None),
    "unroll_checkpointed": (unroll_checkpointed, None),
    "unroll_truncated": (partial(unroll_truncated, k1=2, k2=2), None),
    "unroll_newton": (unroll_newton, None),
    "unroll_associative": (unroll_associative, lambda n: MinGRU(2, n)),
    "unroll_chunkwise": (partial(unroll_chunkwise, chunk=2), lambda n: Retention(2, 1, n, n, rotate=False)),
}
STRIDES = 2, 7
"""Coprime to 9: with each of them the units run through all of 1 … 9 as the rows do."""


def shapes(member: int) -> list[tuple[int, int]]:
    """Return (rows, units) for a member: each of 1 … 9 once, and a larger pair; members side by side pair otherwise."""
    other = member % len(STRIDES)
    pairs = [(rows, 1 + (STRIDES[other] * rows + other) % 9) for rows in range(1, 10)]
    return [*pairs, (17, 33) if other else (33, 18)]


def problem_of(cell, rows: int, dtype: str, time: int = 6):
    return random_problem(cell, batch=(rows,), time=time, dtype=dtype)._replace(mask=None, reset=None)


def difference(plainly, by_default) -> float:
    """Return the largest difference, relative to 1 + |value|."""
    pairs = zip(*map(jax.tree.leaves, (plainly, by_default)), strict=True)
    return max(float(jnp.max(jnp.abs(a - b) / (1 + jnp.abs(a)))) for a, b in pairs if a.size)


def largest_difference(cell, member, rows: int, dtype: str) -> float:
    """Return the largest difference between the two compilations of one program."""
    problem = problem_of(cell, rows, dtype)
    lowered = jax.jit(lambda p: results(cell, p, member, False)).lower(problem)
    plainly, by_default = lowered.compile(compiler_options=QUICK)(problem), lowered.compile()(problem)
    return difference(plainly, by_default)


@cache
def _plainly(cell, rows: int, dtype: str):
    """Return a problem of two steps, and the results of `unroll` without optimizations, which all members have."""
    problem = problem_of(cell, rows, dtype, time=2)
    return problem, jax.jit(lambda p: results(cell, p, unroll, False), compiler_options=QUICK)(problem)


def report(what: str, rows: int, dtype: str, error: float) -> None:
    if not error <= (1e-8 if dtype == "float64" else 2e-3):
        print(f"{what}, {rows} rows, {dtype}: {error:.1e}")


def grid(dtype: str, kind: str = "Elman") -> None:
    """Run every member over its shapes, compiled by default, against `unroll` without optimizations."""
    for number, (name, (member, own_cell)) in enumerate(MEMBERS.items()):
        for rows, units in shapes(number):
            cell = own_cell(units) if own_cell else getattr(jaxrnn, kind)(2, units)
            problem, plainly = _plainly(cell, rows, dtype)
            by_default = jax.jit(lambda p, cell=cell, member=member: results(cell, p, member, False))(problem)
            report(f"{cell} by {name}", rows, dtype, difference(plainly, by_default))


def cases() -> None:
    for make, member, rows, units, dtype in CASES:
        cell = make(units)
        report(f"{cell} by {member.__name__}", rows, dtype, largest_difference(cell, member, rows, dtype))


def main(*arguments: str) -> None:
    """Print a line for each program that differs."""
    jax.config.update("jax_enable_x64", True)
    if arguments:
        grid(*arguments)
    else:
        cases()


if __name__ == "__main__":
    main(*sys.argv[1:])
