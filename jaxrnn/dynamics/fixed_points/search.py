"""Fixed points and slow points of a network, from many starts at once.

    q(h) = ½‖f(h, x) − h‖²

A fixed point has q = 0.  At a local minimum of q above 0 the state moves slowly, as near the ghost of a fixed point or
along a continuous attractor.  `find` descends q from every start in one compiled program
(`jaxrnn.dynamics.fixed_points.descent`).  It then marks the results that are not fixed points, that lie far from all
starts, or that another start has found already (`jaxrnn.dynamics.fixed_points.merging`).  No shape depends on the
number of points, so all of this runs under `jax.vmap`, for example over networks.

References: Sussillo & Barak 2013; Golub & Sussillo 2018 (FixedPointFinder).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PyTree, Shaped

from jaxrnn.core.arguments import as_array
from jaxrnn.core.checks import check_choice, check_is_cell, check_params, check_positive, check_tree
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.dynamics.fixed_points.descent import by_gradient, by_newton
from jaxrnn.dynamics.fixed_points.merging import mean_and_spread, merged
from jaxrnn.dynamics.jacobians import check_differentiable, next_state
from jaxrnn.dynamics.states import as_vectors

METHODS = {"newton": (by_newton, 100), "gradient": (by_gradient, 2000)}
"""name → the descent, and its largest number of updates."""
TOGETHER = 64
"""The number of starts that descend together; a group runs until its last start has converged."""


class Found(NamedTuple):
    """The points that the starts have reached.

    >>> Found._fields
    ('points', 'q', 'outcome', 'merged_into', 'updates', 'x')
    """

    points: Float[Array, "starts n"]
    """h, all floating numbers of the carry as one vector (`jaxrnn.core.pytrees.ravel_floating`)."""
    q: Float[Array, " starts"]
    """½‖f(h, x) − h‖²."""
    outcome: Int[Array, " starts"]
    """An `Outcome`."""
    merged_into: Int[Array, " starts"]
    """The start that keeps this point: its own index, unless the outcome is DUPLICATE; −1 if it was dropped."""
    updates: Int[Array, " starts"]
    """The number of updates."""
    x: PyTree
    """The constant input of each start, `[starts, features]`."""


def find(
    cell: Cell,
    params: Params,
    x: PyTree[Shaped[Array, "..."]],
    starts: Carry,
    *,
    method: str = "newton",
    tolerance: float | None = None,
    slow: float | None = None,
    merge: float = 1e-3,
    reach: float = 10.0,
    iterations: int | None = None,
) -> Found:
    """Search for fixed points h = f(h, x), and for slow points, from many starts at once.

    Args:
      cell: any cell whose step has a derivative.
      params: its parameters.
      x: the constant input: of one step, `[features]`, or one for each start, `[starts, features]`.
      starts: carries with a leading axis `[starts]`, such as `sample_starts(...).carry`.
      method: "newton", damped Newton steps with whole Jacobians, or "gradient", L-BFGS on q, for states of many
        thousand units.
      tolerance: the largest q of a fixed point; None for ½ n (10 ε)², ε the dtype's rounding and n the size of h: each
        unit moves by 10 units of rounding.
      slow: the largest q of a slow point; None to drop everything that is not a fixed point.
      merge: points of the same input are merged if every unit differs by less than this; the one with the least q is
        kept.
      reach: a point is an outlier if its distance from the mean of the starts is more than `reach` times the root mean
        square distance of the starts; `math.inf` keeps all points.
      iterations: the largest number of updates; None for 100 Newton steps, or 2000 of L-BFGS.

    Returns:
      `Found(points, q, outcome, merged_into, updates, x)`.  `distinct` returns the points that are kept, and `reasons`
      counts the reasons why others are not.

    Raises:
      TypeError: `cell` is not a cell, or has no derivative.
      ValueError: starts or parameters of another cell; a tolerance below the resolution of the dtype, ½ n (ε/2)²; other
        options outside their ranges.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.zeros((1, 1)), jnp.array([[2.0]]), jnp.zeros(1))  # h ← tanh 2h
    >>> found = find(Elman(1, 1), params, jnp.zeros(1), jnp.array([[-0.5], [0.01], [0.5], [0.5]]))
    >>> [round(h, 3) for h in found.points[:, 0].tolist()], found.merged_into.tolist()
    ([-0.958, 0.0, 0.958, 0.958], [0, 1, 2, 2])

    References: Sussillo & Barak 2013; Golub & Sussillo 2018.
    """
    starts, x = checked_starts(cell, params, x, starts)
    check_choice("method", method, tuple(METHODS))
    iterations = METHODS[method][1] if iterations is None else iterations
    check_positive(iterations=iterations)
    for name, value in {"merge": merge, "reach": reach}.items():
        if not value >= 0:
            raise ValueError(f"`{name}` must be at least 0, got {value}.")
    like = jax.eval_shape(lambda carry: as_vectors(carry, 1), starts)
    tolerance = _checked_tolerance(tolerance, like)
    slow = tolerance if slow is None else slow
    if slow < tolerance:
        raise ValueError(f"`slow` must be at least the tolerance of a fixed point, {tolerance:.3g}, got {slow}.")
    return _find(cell, params, x, starts, (tolerance, slow, merge, reach), method, iterations)


def checked_starts(cell: Cell, params: Params, x: PyTree, starts: Carry, *, least: int = 1) -> tuple[Carry, PyTree]:
    """Return starts and inputs as arrays, one input for each start, or raise an error that names the argument."""
    check_is_cell(cell=cell)
    check_params(params, cell)
    starts = jax.tree.map(jnp.asarray, starts)
    leaves = jax.tree.leaves(starts)
    if not leaves or not jnp.ndim(leaves[0]) or leaves[0].shape[0] < least:
        raise ValueError(
            f"`starts` must be carries with a leading axis [starts], got {jax.tree.map(jnp.shape, starts)}."
        )
    count = leaves[0].shape[0]
    expected = jax.eval_shape(lambda params: cell.initial_carry(params, (count,)), params)
    check_tree("starts", starts, expected, f"{cell}.initial_carry(params, ({count},))")
    starts = jax.tree.map(lambda h, like: h.astype(like.dtype), starts, expected)
    x = jax.tree.map(lambda a: _one_each(as_array("x", a, "numbers"), count), x)
    if count:
        check_differentiable(cell, params, x)
    return starts, x


def _one_each(x: Array, count: int) -> Array:
    """Return `x` as `[starts, features]`."""
    if x.ndim == 1:
        return jnp.broadcast_to(x, (count, *x.shape))
    if x.ndim != 2 or x.shape[0] != count:
        raise ValueError(f"`x` must have shape [features] or [starts, features] with {count} starts, got {x.shape}.")
    return x


def _checked_tolerance(tolerance: float | None, like) -> float:
    """Return the largest q of a fixed point, or raise if rounding errors alone can exceed it."""
    count, rounding = like.shape[-1], float(jnp.finfo(like.dtype).eps)
    least = 0.5 * count * (rounding / 2) ** 2
    tolerance = 0.5 * count * (10 * rounding) ** 2 if tolerance is None else tolerance
    if not least <= tolerance < math.inf:
        raise ValueError(
            f"`tolerance` must be finite and at least {least:.2g}, the resolution of q with {count} numbers of "
            f"{like.dtype}, got {tolerance}. With jax_enable_x64 it can be lower."
        )
    return tolerance


@partial(jax.jit, static_argnums=(0, 5, 6))
def _find(cell, params, x, starts, limits, method, iterations) -> Found:
    tolerance, slow, merge, reach = limits
    hs = as_vectors(starts, 1)
    _, spread = mean_and_spread(hs)
    spread = jnp.where(spread > 0, spread, jnp.inf)

    def descend(each):
        h, start, z = each
        return METHODS[method][0](partial(next_state, cell, params, start, z), h, tolerance, iterations, spread)

    ends = lax.map(descend, (hs, starts, cell.project(params, x)), batch_size=min(TOGETHER, len(hs)))
    outcome, into = merged(ends.h, ends.q, x, hs, tolerance, slow, merge, reach)
    return Found(ends.h, ends.q, outcome, into, ends.updates, x)
