"""Associative scans: all h⁽ᵗ⁾ of a cell that is linear in its carry, in about 2⌈log₂ τ⌉ rounds.

    h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾              (a₂, b₂) ∘ (a₁, b₁) = (a₂ a₁, a₂ b₁ + b₂)

`linear_recurrence` solves the recurrence for all t at once, and `unroll_associative` runs a cell with it.  The h⁽ᵗ⁾
solve a linear system, L(a) h = b with L(a) lower bidiagonal, and are differentiated as such
(`lax.custom_linear_solve`), in forward and reverse mode and to any order:

    dh = L(a)⁻¹ (db + da h),        λ = L(a)⁻ᵀ ∇h:   λ⁽ᵗ⁾ = a⁽ᵗ⁺¹⁾ᵀ λ⁽ᵗ⁺¹⁾ + ∇h⁽ᵗ⁾

λ is the hidden gradient of 2.2.2, another linear recurrence, from the end; no intermediate round is stored.  On a CPU
the recurrence runs as a loop, with the same results; everything else is computed for all t at once everywhere.

Masks and resets are coefficients: a masked step has a = 1 and b = 0; after a boundary a = 0, and b includes a h⁽⁰⁾.  So
episodes and rows of unequal length cost nothing extra.

References: Hillis & Steele 1986; Blelloch 1990, §1.4; Martin & Cundy 2018, §2.2.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_tree, check_unroll, leading_axes
from jaxrnn.core.types import Carry, Inputs, Params
from jaxrnn.linear.matrix_state import Dense, MatrixCell
from jaxrnn.linear.protocol import LinearCell, conjugate, dense, ones, read_state, times
from jaxrnn.linear.stages import AllSteps, Staged
from jaxrnn.machines.meshes import spread
from jaxrnn.unrolling.parallel.time_axis import Time, Whole
from jaxrnn.unrolling.result_layouts import results_layout
from jaxrnn.unrolling.scan import prepare, select, unroll, zeros


class Algebra(NamedTuple):
    """The products of the coefficients of a linear recurrence.

    >>> Algebra._fields
    ('apply', 'compose', 'adjoint')
    """

    apply: Callable[[PyTree, PyTree], PyTree]
    """(a, h) → a h."""
    compose: Callable[[PyTree, PyTree], PyTree]
    """(a₂, a₁) → a₂ a₁."""
    adjoint: Callable[[PyTree], PyTree]
    """a → aᵀ."""


DIAGONAL = Algebra(times, times, conjugate)
"""Element-wise products, complex for `ComplexPair`s."""


def unroll_associative(
    cell: LinearCell | MatrixCell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
    reverse: bool = False,
) -> tuple[Carry, PyTree[Shaped[Array, "..."]]]:
    """Run a cell that is linear in its carry in parallel over time, by an associative scan.

    All τ carries are in memory at once, and the work is about twice that of a loop, so it pays if one step does not
    keep all processors busy.

    Args:
      cell: a cell that is linear in its carry, such as `MinGRU` or `LRU`.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.
      reverse: run from the last step to the first.

    Returns:
      As `unroll`.

    Raises:
      TypeError, ValueError: as `unroll`.
      TypeError: `cell` has no `coefficients` and `read`.

    >>> from jaxrnn import MinGRU
    >>> cell = MinGRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (7, 2, 3))
    >>> bool(jnp.allclose(unroll_associative(cell, params, xs)[1], unroll(cell, params, xs)[1], atol=1e-6))
    True

    References: Martin & Cundy 2018; `jax.lax.associative_scan`.
    """
    arguments = check_unroll(cell, params, xs, carry, mask, reset, reverse=reverse)
    check_linear(cell)
    if leading_axes(arguments[0])[0] == 0:
        return unroll(cell, params, arguments[0], arguments[1])
    run = partial(_unroll, cell, reverse=reverse)
    return spread(run, partial(results_layout, params, arguments[0]), params, *arguments)


def check_linear(cell: LinearCell | MatrixCell) -> None:
    """Raise TypeError unless `cell` states its coefficients, and how its carry is read."""
    if not isinstance(cell, LinearCell | MatrixCell):
        raise TypeError(
            "`cell` must be linear in its carry (have `coefficients`, and `read` or `query` and `answer`), "
            f"got {cell!r}. `unroll_newton` takes any cell."
        )


@partial(jax.jit, static_argnames="reverse")
def _unroll(cell, params, xs, carry, mask, reset, *, reverse):
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, reverse)
    first, carry, zs = first_stage(cell, params, carry, cell.project(params, xs), mask, reset, reverse)
    a, b = gated_coefficients(cell, params, zs, mask, reset, initial)
    carries = linear_recurrence(a, b, carry, reverse=reverse) if jax.tree.leaves(b) else b
    ys = read_state(cell, params, carries, zs)
    ys = ys if mask is None else select(mask, ys, zeros(ys))
    return first(jax.tree.map(lambda h: h[0 if reverse else -1], carries)), ys


def first_stage(cell: Any, params: Params, carry: Carry, zs: Inputs, mask, reset, reverse: bool):
    """Run `lead` over all steps: (a function from the last state to the carry, the first state, zs)."""
    if not isinstance(carry, Staged):
        return lambda state: state, carry, zs
    first, zs = cell.lead(params, carry.first, zs, AllSteps(mask, reset, reverse))
    return lambda state: Staged(first, state), carry.state, zs


def gated_coefficients(
    cell: LinearCell | MatrixCell, params: Params, zs: Inputs, mask, reset, initial: Carry | None
) -> tuple[PyTree, PyTree]:
    """Return a and b of every step under its mask and reset, `[time, *batch, ...]` each."""
    return gate(*dense(*cell.coefficients(params, zs)), mask, reset, initial)


def gate(a: PyTree, b: PyTree, mask, reset, initial: Carry | None) -> tuple[PyTree, PyTree]:
    """Apply masks and resets to given coefficients without `Erase` or `Outer`."""
    initial = initial.state if isinstance(initial, Staged) else initial
    a = jax.tree.map(_broadcast, a, b, is_leaf=lambda leaf: isinstance(leaf, Dense))
    if mask is not None:
        a, b = select(mask, a, ones(a)), select(mask, b, zeros(b))
    if reset is not None:
        from_initial = jax.tree.map(jnp.add, times(a, initial), b)
        a, b = select(reset, zeros(a), a), select(reset, from_initial, b)
    return a, b


def _broadcast(a, b):
    return a if isinstance(a, Dense) else jnp.broadcast_to(a, b.shape).astype(b.dtype)


def linear_recurrence(
    a: PyTree, b: PyTree, start: PyTree, *, reverse: bool = False, algebra: Algebra = DIAGONAL
) -> PyTree:
    """Solve h⁽ᵗ⁾ = a⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ + b⁽ᵗ⁾ for all t in parallel.

    Args:
      a: an array `[time, ...]`, or a tree of them.
      b: an array `[time, ...]`, or a tree of them.
      start: h⁽⁰⁾, without the axis of time.
      reverse: True to run from the last step to the first; `start` is then the value after the last.
      algebra: the products of a.

    Returns:
      h⁽¹⁾ … h⁽τ⁾, with the structure of b.

    Raises:
      ValueError: different time axes, a `start` that differs in shape from a step of b, or an `a` that does not fit b.

    >>> linear_recurrence(jnp.full(4, 2.0), jnp.ones(4), jnp.array(0.0)).tolist()
    [1.0, 3.0, 7.0, 15.0]

    References: Blelloch 1990, §1.4.1.
    """
    a, b, start = (
        jax.tree.map(lambda leaf, name=name: as_array(name, leaf, "numbers"), tree)
        for name, tree in (("a", a), ("b", b), ("start", start))
    )
    check_recurrence(a, b, start, algebra)
    return solve_recurrence(Whole(reverse), algebra, a, b, start)


def solve_recurrence(time: Time, algebra: Algebra, a: PyTree, b: PyTree, start: PyTree) -> PyTree:
    """Solve `linear_recurrence` over steps that lie on one device or on several, in either order."""
    if jax.tree.leaves(b)[0].shape[0] == 0:
        return b
    from_start = jax.tree.map(jnp.add, algebra.apply(time.first(a), start), time.first(b))
    b = time.begin(b, from_start)

    def shift(time, tree):
        return time.shift(tree, jax.tree.map(lambda a: jnp.zeros_like(a[0]), tree))

    def solve(time, a, b):  # from h⁽⁰⁾ = 0
        return time.recur(algebra.apply, partial(join, algebra), a, b)

    back = time.backwards()
    return lax.custom_linear_solve(
        lambda hs: jax.tree.map(jnp.subtract, hs, algebra.apply(a, shift(time, hs))),  # L(a) h
        b,
        lambda _, b: solve(time, a, b),
        lambda _, dhs: solve(back, shift(back, algebra.adjoint(a)), dhs),
    )


def check_recurrence(a: PyTree, b: PyTree, start: PyTree, algebra: Algebra) -> None:
    """Raise ValueError unless `a` and `b` have equal times, and a b and `start` fit b and one step of b."""
    shapes, wanted = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (a, b))
    if not wanted or () in shapes + wanted or len({time for time, *_ in shapes + wanted}) > 1:
        raise ValueError(f"`a` and `b` must be arrays [time, ...] with equal times, got shapes {shapes} and {wanted}.")
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), b)
    check_tree("start", start, one, "one step of `b`")
    try:
        check_tree("a b", jax.eval_shape(algebra.apply, a, b), b, "`b`")
    except (TypeError, ValueError) as error:
        raise ValueError(f"`a` must multiply `b`, of shapes {wanted}, by `algebra`, got shapes {shapes}.") from error


def join(algebra: Algebra, first: tuple[PyTree, PyTree], second: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
    """Compose two stretches, (a₂, b₂) ∘ (a₁, b₁); `first` comes earlier in the run, in either direction."""
    (a1, b1), (a2, b2) = first, second
    return algebra.compose(a2, a1), jax.tree.map(jnp.add, algebra.apply(a2, b1), b2)
