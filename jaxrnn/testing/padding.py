"""Laws of masks and resets: padding has no effect, and joined episodes are independent."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.types import Cell
from jaxrnn.testing.gradients import DIRECTIONS
from jaxrnn.testing.host_trees import add, host, select, steps_like, zeros
from jaxrnn.testing.problem import Problem, Results, initial_carry, initial_carry_gradient, run
from jaxrnn.testing.statements import law, must_agree
from jaxrnn.testing.time import replace_floating
from jaxrnn.unrolling.scan import unroll as reference


@law
def law_padding_is_invisible(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that 0, 10⁶, NaN or ±inf in the padding of `xs` and ∇ys changes no bit of a result or gradient.

    The gradient with respect to padding is exactly 0, and so are the outputs there.

    >>> from jaxrnn import Elman
    >>> law_padding_is_invisible(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    padding = ~problem.mask
    for reverse in DIRECTIONS:
        want = run(cell, problem, unroll=unroll, reverse=reverse)
        for value in (0.0, 1e6, np.nan, np.inf, -np.inf):
            xs, dys = (replace_floating(padding, tree, value) for tree in (problem.xs, problem.dys))
            got = run(cell, problem._replace(xs=xs, dys=dys), unroll=unroll, reverse=reverse)
            must_agree(cell, f"{value} in the padding is not seen, reverse={reverse}", got, want, 0)
        at_padding = select(padding, (want.ys, want.dxs), zeros((want.ys, want.dxs)))
        statement = f"outputs and input gradients are 0 on padding, reverse={reverse}"
        must_agree(cell, statement, at_padding, zeros(at_padding), 0)


@law
def law_length_zero_is_the_identity(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that T = 0 and rows of length 0 return the carry and its gradient bit for bit, and 0 elsewhere.

    >>> from jaxrnn import Elman
    >>> law_length_zero_is_the_identity(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    never = np.zeros_like(problem.mask)
    masked = problem._replace(mask=never, reset=never)
    none = jax.tree.map(lambda a: a[:0], (masked.xs, masked.mask, masked.reset, masked.dys))
    empty = Problem(masked.params, none[0], masked.carry, none[1], none[2], masked.dcarry, none[3])
    for reverse in DIRECTIONS:
        for what, case in (("a sequence of length 0", masked), ("T = 0", empty)):
            got = run(cell, case, unroll=unroll, reverse=reverse)
            nothing = zeros((case.dys, case.params, case.xs))
            want = Results(case.carry, nothing[0], nothing[1], nothing[2], _only_floating(case.dcarry))
            must_agree(cell, f"{what} is the identity, reverse={reverse}", got, want, 0)


def _only_floating(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jnp.floating) else np.zeros_like(a), tree)


@law
def law_reverse_starts_at_each_row_s_end(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that with padding `reverse=True` = a forward run on each row's flipped prefix, flipped back.

    >>> from jaxrnn import Elman
    >>> law_reverse_starts_at_each_row_s_end(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    steps = steps_like(problem.mask)
    lengths = np.max(np.where(problem.mask, steps + 1, 0), 0)
    mask = steps < lengths
    source = np.where(mask, lengths - 1 - steps, steps)  # its own inverse

    padded = problem._replace(mask=mask, reset=np.zeros_like(mask))
    flipped = padded._replace(xs=_take(padded.xs, source), dys=_take(padded.dys, source))
    want = run(cell, flipped, unroll=unroll, reverse=False)
    want = want._replace(ys=_take(want.ys, source), dxs=_take(want.dxs, source))
    got = run(cell, padded, unroll=unroll, reverse=True)
    must_agree(cell, "reverse with padding = forwards on each row's flipped prefix", got, want)


def _take(tree: PyTree, index) -> PyTree:
    """Return the steps `index[t, row]` of each row."""

    def leaf(a):
        return np.take_along_axis(a, index.reshape(index.shape + (1,) * (a.ndim - index.ndim)), axis=0)

    return jax.tree.map(leaf, tree)


@law
def law_episodes_are_independent(cell: Cell, problem: Problem, *, unroll: Callable = reference) -> None:
    """Check that episodes joined by `reset` = separate runs from the initial carry, holes included.

    The first episode of the run starts from the given carry, unless (forwards) there is a reset at t = 0.

    >>> from jaxrnn import Elman
    >>> law_episodes_are_independent(Elman(input_size=2, hidden_size=3))
    """
    problem = host(problem)
    for reverse in DIRECTIONS:
        joined = run(cell, problem, unroll=unroll, reverse=reverse)
        apart = _apart(cell, problem, unroll, reverse)
        must_agree(cell, f"joined episodes = episodes run apart, reverse={reverse}", joined, apart)


def _apart(cell: Cell, problem: Problem, unroll: Callable, reverse: bool) -> Results:
    _, *batch = problem.mask.shape
    number = np.cumsum(problem.reset & (steps_like(problem.mask) > 0), axis=0)  # the episode of each step
    initial = initial_carry(cell, problem.params, tuple(batch))
    carry, ys, dxs = zeros(problem.carry), zeros(problem.dys), zeros(problem.xs)
    dparams, dcarry, dinitial = zeros(problem.params), zeros(problem.carry), zeros(host(initial))
    for episode in range(int(number.max()) + 1):
        inside = number == episode
        enters, leaves = (inside[-1], inside[0]) if reverse else (inside[0] & ~problem.reset[0], inside[-1])
        alone = _alone(problem, inside)
        alone = alone._replace(
            carry=select(enters, problem.carry, initial), dcarry=select(leaves, problem.dcarry, zeros(problem.dcarry))
        )
        got = run(cell, alone, unroll=unroll, reverse=reverse)
        back = np.maximum(steps_like(inside) - np.argmax(inside, axis=0), 0)
        carry = select(leaves, got.carry, carry)
        ys, dxs = (select(inside, _take(new, back), old) for new, old in ((got.ys, ys), (got.dxs, dxs)))
        dparams = add(dparams, got.dparams)
        dcarry = select(enters, got.dcarry, dcarry)
        dinitial = add(dinitial, select(enters, zeros(got.dcarry), got.dcarry))
    through_start = host(initial_carry_gradient(cell, problem.params, tuple(batch), dinitial))
    return Results(carry, ys, add(dparams, through_start), dxs, dcarry)


def _alone(problem: Problem, inside) -> Problem:
    """Move the episode of each row to the front, with padding after it and no resets; a row without one has 0 steps."""
    source = steps_like(inside) + np.argmax(inside, axis=0)
    within = source < len(inside)
    source = np.minimum(source, len(inside) - 1)
    within &= np.take_along_axis(inside, source, axis=0)
    xs, mask, dys = (_take(tree, source) for tree in (problem.xs, problem.mask, problem.dys))
    return problem._replace(xs=xs, mask=mask & within, reset=np.zeros_like(mask), dys=dys)
