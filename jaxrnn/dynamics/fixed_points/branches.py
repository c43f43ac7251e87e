"""Branches of fixed points while an input is swept, and the bifurcations on them.

    x(s) = x₀ + s (x₁ − x₀),  0 ≤ s ≤ 1,        G(h, s) = f(h, x(s)) − h = 0

A branch is a curve of solutions u = (h, s).  It is parametrized by its length and not by s, so it can turn back at a
fold:

    predict     u ← u + ℓ t           t the tangent: [G_h, G_s] t = 0, ⟨t, t⟩ = 1
    correct     Newton's method on G = 0 and ⟨t, u − u_predicted⟩ = 0
    ℓ           halved where the correction fails, and increased by half up to its largest value elsewhere

with ⟨u, u′⟩ = h·h′/n + s s′, so that a length means the same in networks of any size.  Between two points of a branch:

    fold        ds along the branch changes sign: two fixed points meet
    crossing    a real eigenvalue passes +1 elsewhere: branches cross (pitchfork, transcritical)
    flip        a real eigenvalue passes −1: a cycle of two steps
    circle      a complex pair passes the unit circle (Neimark–Sacker): an oscillation

References: Keller 1977 (pseudo-arclength continuation); Allgower & Georg 1990, §2; Kuznetsov 2004, §4 (bifurcations of
maps).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Int, PyTree, Shaped

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Cell, Params
from jaxrnn.dynamics.fixed_points.codes import Code
from jaxrnn.dynamics.fixed_points.linearization import as_carries
from jaxrnn.dynamics.fixed_points.search import checked_starts
from jaxrnn.dynamics.jacobians import next_state

CORRECTIONS = 6
"""Newton steps after each prediction."""


class Bifurcation(Code):
    """The event on a branch between a point and the one before it.

    Args:
      value: 0 … 4.

    >>> Bifurcation(1).name
    'FOLD'

    References: Kuznetsov 2004, §4.
    """

    NONE = 0
    FOLD = 1
    CROSSING = 2
    FLIP = 3
    CIRCLE = 4


class Branches(NamedTuple):
    """Points along each branch, in the order in which they are met.

    >>> Branches._fields
    ('h', 's', 'valid', 'eigenvalues', 'unstable', 'bifurcation')
    """

    h: Float[Array, "branches steps n"]
    s: Float[Array, "branches steps"]
    valid: Bool[Array, "branches steps"]
    """False after the end of the branch: s has left 0 … 1, or the correction did not converge."""
    eigenvalues: Complex[Array, "branches steps n"]
    """The eigenvalues of ∂f/∂h, the largest |λ| first."""
    unstable: Int[Array, "branches steps"]
    """The number of eigenvalues outside the unit circle."""
    bifurcation: Int[Array, "branches steps"]
    """A `Bifurcation`."""


class _On(NamedTuple):
    """A point of a branch, and the state needed to continue from it."""

    u: Float[Array, " m"]
    tangent: Float[Array, " m"]
    length: Float[Array, ""]
    alive: Bool[Array, ""]


def follow(
    cell: Cell,
    params: Params,
    start: PyTree[Shaped[Array, "..."]],
    end: PyTree[Shaped[Array, "..."]],
    points: Float[Array, "branches n"],
    *,
    steps: int = 200,
    length: float = 0.02,
    tolerance: float | None = None,
) -> Branches:
    """Follow fixed points while the input changes from one value to another.

    Args:
      cell: any cell whose carry is all floating.
      params: its parameters.
      start: x₀, `[features]`.
      end: x₁, `[features]`.
      points: fixed points at x₀ as vectors, such as `distinct(find(cell, params, start, …)).h`.
      steps: the largest number of points on each branch; a longer branch is cut off.
      length: the largest distance between two points, in units of ⟨u, u⟩^½.
      tolerance: the largest |f(h, x) − h| of any unit; None for 1000 units of rounding.

    Returns:
      `Branches`; the first point of each branch is the given one, corrected.

    Raises:
      TypeError, ValueError: as `find`; a length that is not above 0, and a number of steps below 1.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.ones((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))  # h ← tanh(2h + x)
    >>> branches = follow(Elman(1, 1), params, jnp.array([-1.0]), jnp.array([1.0]), jnp.array([[-0.995]]))
    >>> turns = branches.bifurcation[0] == Bifurcation.FOLD
    >>> [round(2 * s - 1, 1) for s in branches.s[0][turns].tolist()]  # both folds, x = ±(√2 − atanh √½) = ±0.533
    [0.5, -0.5]

    References: Keller 1977.
    """
    check_positive(steps=steps)
    if not 0 < length < float("inf"):
        raise ValueError(f"`length` must be finite and above 0, got {length}.")
    carries = as_carries(cell, params, points)
    _, start = checked_starts(cell, params, start, carries)
    _, end = checked_starts(cell, params, end, carries)
    rounding = float(jnp.finfo(points.dtype).eps)
    tolerance = 1000 * rounding if tolerance is None else tolerance
    if not tolerance >= rounding:
        raise ValueError(
            f"`tolerance` must be at least {rounding:.2g}, the rounding of {points.dtype}, got {tolerance}."
        )
    return _follow(cell, params, start, end, points, carries, length, tolerance, steps)


@partial(jax.jit, static_argnums=(0, 8))
def _follow(cell, params, start, end, points, carries, length, tolerance, steps) -> Branches:
    def branch(h, carry, start, end):
        def f(u):
            x = jax.tree.map(lambda a, b: a + u[-1] * (b - a), start, end)
            return next_state(cell, params, carry, cell.project(params, x), u[:-1])

        return _branch(f, h, length, tolerance, steps)

    hs, s, tangents, valid, jacobians = jax.vmap(branch)(points, carries, start, end)
    values = jnp.linalg.eigvals(jacobians)
    values = jnp.take_along_axis(values, jnp.argsort(-jnp.abs(values), axis=-1), axis=-1)
    kinds = jax.vmap(_bifurcations)(values, tangents[..., -1], valid)
    return Branches(hs, s, valid, values, jnp.sum(jnp.abs(values) > 1, axis=-1), kinds)


def _weights(n: int, dtype) -> Array:
    """Return the weights of the norm of (h, s): h counts as the mean of its squares."""
    return jnp.concatenate([jnp.full(n, 1 / n, dtype), jnp.ones(1, dtype)])


def _curve(f, n: int, dtype) -> tuple[Callable, Callable, Callable]:
    """Return three functions of the curve f(h, s) = h: its residual, its unit tangent, and the corrector."""
    weights, upwards = _weights(n, dtype), jnp.zeros(n + 1, dtype).at[-1].set(1)

    def residual(u):
        return f(u) - u[:-1]

    def tangent(u, before):
        matrix = jnp.concatenate([jax.jacfwd(residual)(u), (weights * before)[None]])
        t = jnp.linalg.solve(matrix, upwards)
        return t / jnp.sqrt(jnp.sum(weights * t**2))

    def corrected(predicted, t):
        def correct(_, u):
            matrix = jnp.concatenate([jax.jacfwd(residual)(u), (weights * t)[None]])
            off = jnp.concatenate([residual(u), jnp.sum(weights * t * (u - predicted), keepdims=True)])
            return u - jnp.linalg.solve(matrix, off)

        return lax.fori_loop(0, CORRECTIONS, correct, predicted)

    return residual, tangent, corrected


def _branch(f, h, length, tolerance, steps: int):
    """Follow one branch: h, s, the tangent, whether it is valid, and ∂f/∂h, at every point."""
    n = h.size
    weights, upwards = _weights(n, h.dtype), jnp.zeros(n + 1, h.dtype).at[-1].set(1)
    residual, tangent, corrected = _curve(f, n, h.dtype)

    def advance(at: _On, _):
        u = corrected(at.u + at.length * at.tangent, at.tangent)
        t = tangent(u, at.tangent)
        turned = jnp.sum(weights * t * at.tangent)
        good = (jnp.max(jnp.abs(residual(u))) <= tolerance) & (turned > 0.9) & jnp.all(jnp.isfinite(t))
        inside = (u[-1] >= 0) & (u[-1] <= 1)
        moved = at.alive & good
        new = _On(
            u=jnp.where(moved & inside, u, at.u),
            tangent=jnp.where(moved, t, at.tangent),
            length=jnp.where(good, jnp.minimum(1.5 * at.length, length), at.length / 2),
            alive=at.alive & (inside | ~good) & (at.length > 1e-6 * length),
        )
        return new, (new.u, new.tangent, moved & inside)

    first = corrected(jnp.concatenate([h, jnp.zeros(1, h.dtype)]), upwards)
    along = tangent(first, upwards)
    began = _On(first, along, jnp.asarray(length, h.dtype), jnp.max(jnp.abs(residual(first))) <= tolerance)
    _, (us, tangents, valid) = lax.scan(advance, began, None, length=steps - 1)
    us, tangents = jnp.concatenate([first[None], us]), jnp.concatenate([along[None], tangents])
    valid = jnp.concatenate([began.alive[None], valid])
    order = jnp.argsort(~valid, stable=True)  # what was halved leaves gaps
    us, tangents = us[order], tangents[order]
    return us[:, :-1], us[:, -1], tangents, valid[order], jax.vmap(jax.jacfwd(f))(us)[..., :-1]


def _bifurcations(values, speed, valid) -> Int[Array, " steps"]:
    """Compare each point with the one before it."""
    real = jnp.abs(values.imag) <= 1e-9 * jnp.abs(values.real)

    def changes(inside):
        counts = jnp.sum(inside, axis=-1)
        return jnp.concatenate([jnp.zeros(1, bool), counts[1:] != counts[:-1]])

    turns = jnp.concatenate([jnp.zeros(1, bool), speed[1:] * speed[:-1] < 0])
    kinds = jnp.where(changes(~real & (jnp.abs(values) > 1)), Bifurcation.CIRCLE, Bifurcation.NONE)
    kinds = jnp.where(changes(real & (values.real < -1)), Bifurcation.FLIP, kinds)
    kinds = jnp.where(changes(real & (values.real > 1)), Bifurcation.CROSSING, kinds)
    return jnp.where(valid, jnp.where(turns, Bifurcation.FOLD, kinds), Bifurcation.NONE)
