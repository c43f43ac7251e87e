"""Which member of the unroll family suits a cell: the largest Lyapunov exponent decides.

    λ = lim 1/τ Σₜ log ‖J⁽ᵗ⁾ v⁽ᵗ⁻¹⁾‖,        v⁽ᵗ⁾ = J⁽ᵗ⁾ v⁽ᵗ⁻¹⁾ / ‖J⁽ᵗ⁾ v⁽ᵗ⁻¹⁾‖

is the rate at which a small push to h grows, per step.  One wrong h⁽ᵗ⁾ in a guess is e^{λ s} times as wrong s steps on.
Where λ < 0 a guess forgets its errors and Newton's method over the whole sequence takes few updates; where λ > 0 they
grow, and it takes about as many as there are steps.  A cell that is linear in its carry needs no updates at all.

References: Gonzalez et al. 2025, "Predictability enables parallelization of nonlinear state space models";
Engelken, Wolf & Abbott 2023, "Lyapunov spectra of chaotic recurrent neural networks", §II; chapter, section 3.1.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.associative import unroll_associative
from jaxrnn.bptt import unroll_bptt
from jaxrnn.cells.linear import LinearCell
from jaxrnn.checks import check_unroll, leading_axes
from jaxrnn.newton import unroll_newton
from jaxrnn.types import Carry, Cell, Params
from jaxrnn.unroll import gated, prepare

HORIZONS = 3
"""Newton's method is advised where so many horizons 1/|λ| fit into τ: notebook 12 has the numbers of updates."""


class Advice(NamedTuple):
    """What to run, and why."""

    method: Callable
    """`unroll_associative`, `unroll_newton` or `unroll_bptt`."""
    exponent: float
    """λ, per step; −inf where a push is forgotten altogether."""
    horizon: float
    """1/|λ|: in so many steps a push shrinks, or grows, e-fold."""


def choose_method(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
) -> Advice:
    """Which of the unroll family suits this cell, with these parameters, on inputs like these.

    `unroll_associative` where the cell is linear in its carry; else `unroll_newton` where λ < 0 and
    HORIZONS/|λ| < τ; else `unroll_bptt`.  It is advice about the number of updates, and holds where processors are
    plenty.  A machine whose processors one step keeps busy is faster with the loop, whatever λ is.

    Args:
      cell, params, xs, carry, mask: as for `unroll`, with values (not under `jit`); time is at least 1.

    Returns:
      `Advice(method, exponent, horizon)`; λ is the mean over the rows.

    Raises:
      TypeError, ValueError: as `unroll`; and if there is no step.

    >>> from jaxrnn import GRU
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (200, 2, 3))
    >>> choose_method(cell, params, xs).method.__name__
    'unroll_newton'

    References: Gonzalez et al. 2025.
    """
    xs, carry, mask, _ = check_unroll(cell, params, xs, carry, mask, None)
    time = leading_axes(xs)[0]
    if time == 0 or (mask is not None and not bool(mask.any())):
        raise ValueError("`xs` must have at least one valid step, got none.")
    exponent = float(largest_exponent(cell, params, xs, carry, mask))
    horizon = float("inf") if exponent == 0 else 1 / abs(exponent)
    nonlinear = unroll_newton if exponent < 0 and HORIZONS * horizon < time else unroll_bptt
    return Advice(unroll_associative if isinstance(cell, LinearCell) else nonlinear, exponent, horizon)


@partial(jax.jit, static_argnums=0)
def largest_exponent(cell: Cell, params: Params, xs, carry: Carry | None, mask) -> Float[Array, ""]:
    """λ by one push that is carried along and shortened to 1 at every step; the mean over rows and valid steps."""
    xs, carry, _, _ = prepare(cell, params, xs, carry, mask, None, False)
    zs = cell.project(params, xs)
    batch = leading_axes(xs)[1:]

    def rows(tree):  # one axis for all rows
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[len(batch) :]), tree)

    def steps(tree):
        return jax.tree.map(lambda a: a.reshape(a.shape[0], -1, *a.shape[1 + len(batch) :]), tree)

    over_t = steps(zs), None if mask is None else steps(mask)
    growth = jax.vmap(partial(_growth, cell, params), in_axes=(0, 1))(rows(carry), over_t)
    count = jnp.asarray(growth.size) if mask is None else mask.sum()
    return growth.sum() / count


def _growth(cell: Cell, params: Params, carry: Carry, over_t) -> Float[Array, " time"]:
    """log ‖J⁽ᵗ⁾ v⁽ᵗ⁻¹⁾‖ of every step of one row; 0 where the mask is False."""
    leaves, structure = jax.tree.flatten(carry)
    moves = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]
    size = ravel_pytree([leaf for leaf, m in zip(leaves, moves, strict=True) if m])[0].size

    def body(state, at_t):
        carry, v = state
        z, mask = at_t
        leaves = jax.tree.leaves(carry)
        flat, unravel = ravel_pytree([leaf for leaf, m in zip(leaves, moves, strict=True) if m])

        def step(flat):
            floats = iter(unravel(flat))
            h = structure.unflatten([next(floats) if m else leaf for leaf, m in zip(leaves, moves, strict=True)])
            after, _ = gated(lambda h, z: (cell.step(params, h, z), None), None, h, z, mask, None)[0]
            return ravel_pytree([a for a, m in zip(jax.tree.leaves(after), moves, strict=True) if m])[0], after

        _, v, after = jax.jvp(step, (flat,), (v,), has_aux=True)
        norm = jnp.linalg.norm(v)
        return (after, v / jnp.where(norm > 0, norm, 1)), jnp.log(norm)

    v = jax.random.normal(jax.random.key(0), (size,))
    return lax.scan(body, (carry, v / jnp.linalg.norm(v)), over_t)[1]
