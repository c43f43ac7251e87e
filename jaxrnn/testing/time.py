"""Laws of time: a sequence can be split anywhere, nothing looks ahead, reverse runs are forward runs on the flip."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.types import Cell
from jaxrnn.testing.gradients import DIRECTIONS
from jaxrnn.testing.host_trees import add, host, select, zeros
from jaxrnn.testing.problem import Problem, Results, initial_carry, initial_carry_gradient, run
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.unrolling.scan import unroll as reference


@law
def law_split_anywhere(cell: Cell, problem: Problem, *, unroll: Callable = reference, at: int | None = None) -> None:
    """Check that a run over [0, k) and then [k, T) = a run over [0, T), with gradients chained by hand.

    Args:
      at: the step at which to split.

    >>> from jaxrnn import Elman
    >>> law_split_anywhere(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    at = problem.mask.shape[0] // 2 if at is None else at
    for reverse in DIRECTIONS:
        whole = run(cell, problem, unroll=unroll, reverse=reverse)
        parts = _in_two(cell, problem, unroll, at, reverse)
        must_agree(cell, f"a run cut at t={at} = the whole run, reverse={reverse}", parts, whole)


def _in_two(cell: Cell, problem: Problem, unroll: Callable, at: int, reverse: bool) -> Results:
    early, late = (slice(0, at), slice(at, None))[:: -1 if reverse else 1]  # in the order of the run

    def part(steps: slice, carry, dcarry) -> Results:
        xs, mask, reset, dys = (
            jax.tree.map(lambda a: a[steps], tree) for tree in (problem.xs, problem.mask, problem.reset, problem.dys)
        )
        return run(cell, Problem(problem.params, xs, carry, mask, reset, dcarry, dys), unroll=unroll, reverse=reverse)

    first = part(early, problem.carry, zeros(problem.dcarry))
    between = first.carry
    # forwards the second part crosses the boundary at the cut by itself: it lies before its first step
    rows = problem.mask.shape[1:]
    initial = initial_carry(cell, problem.params, rows)
    crossed = problem.reset[at] if reverse else np.zeros_like(problem.reset[at])
    second = part(late, select(crossed, initial, between), problem.dcarry)
    handed = select(crossed, zeros(second.dcarry), second.dcarry)
    to_initial = select(crossed, second.dcarry, zeros(second.dcarry))
    back = part(early, problem.carry, handed)
    through_start = host(initial_carry_gradient(cell, problem.params, rows, to_initial))
    dparams = add(back.dparams, second.dparams, through_start)
    ys, dxs = (
        jax.tree.map(lambda a, b: np.concatenate([b, a] if reverse else [a, b]), *pair)
        for pair in ((first.ys, second.ys), (back.dxs, second.dxs))
    )
    return Results(second.carry, ys, dparams, dxs, back.dcarry)


@law
def law_causality(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that ∂y⁽ᵗ⁾/∂x⁽ˢ⁾ = 0 for s after t in the run, and that a NaN in x⁽ˢ⁾ does not reach y⁽ᵗ⁾.

    >>> from jaxrnn import Elman
    >>> law_causality(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    problem = problem._replace(mask=np.ones_like(problem.mask), dcarry=zeros(problem.dcarry))
    time = problem.mask.shape[0]
    for reverse in DIRECTIONS:
        clean = run(cell, problem, unroll=unroll, reverse=reverse).ys
        for t in range(time):
            later = np.arange(time) < t if reverse else np.arange(time) > t
            dirty_xs = replace_floating(later, problem.xs, np.nan)
            ys = run(cell, problem._replace(xs=dirty_xs), unroll=unroll, reverse=reverse).ys
            must_agree(
                cell, f"y[{t}] does not see later inputs, reverse={reverse}", _at(ys, ~later), _at(clean, ~later), 0
            )
            one = problem._replace(dys=select(np.arange(time) == t, problem.dys, zeros(problem.dys)))
            dxs = _at(run(cell, one, unroll=unroll, reverse=reverse).dxs, later)
            must_agree(cell, f"∂y[{t}]/∂x is 0 at later inputs, reverse={reverse}", dxs, zeros(dxs), 0)


@law
def law_reverse_is_forward_on_the_flip(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that `reverse=True` = flipping time, running forward and flipping back; boundaries keep their place.

    >>> from jaxrnn import Elman
    >>> law_reverse_is_forward_on_the_flip(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    boundaries = np.concatenate([np.zeros_like(problem.reset[:1]), np.flip(problem.reset[1:], 0)])
    flipped = problem._replace(xs=_flip(problem.xs), mask=_flip(problem.mask), reset=boundaries, dys=_flip(problem.dys))
    want = run(cell, flipped, unroll=unroll, reverse=False)
    want = want._replace(ys=_flip(want.ys), dxs=_flip(want.dxs))
    got = run(cell, problem, unroll=unroll, reverse=True)
    must_agree(cell, "reverse=True = forwards on the flipped sequence", got, want)


def replace_floating(where, tree: PyTree, value: float) -> PyTree:
    """Set every floating leaf to `value` at the steps `where`."""

    def leaf(x):
        return select(where, np.full_like(x, value), x) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(leaf, tree)


def _flip(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: np.flip(a, 0), tree)


def _at(tree: PyTree, steps) -> PyTree:
    return jax.tree.map(lambda a: a[np.flatnonzero(steps)], tree)
