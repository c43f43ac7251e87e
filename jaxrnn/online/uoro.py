"""UORO: an unbiased estimate of the influence, of rank one.

    J ≈ s θ̃ᵀ,      E[s θ̃ᵀ] = J            for each row: as large as the carry plus the parameters

    s⁽ᵗ⁾ = ρ₀ D s⁽ᵗ⁻¹⁾ + ρ₁ ν,      θ̃⁽ᵗ⁾ = θ̃⁽ᵗ⁻¹⁾/ρ₀ + νᵀI/ρ₁,      ν of random signs
    ρ₀ = √(‖θ̃⁽ᵗ⁻¹⁾‖ / ‖D s⁽ᵗ⁻¹⁾‖),   ρ₁ = √(‖νᵀI‖ / ‖ν‖)      (they reduce the variance and cancel in the mean)

The mean over ν is exact: E[ν νᵀ] = 1 turns the last product into I, and the two mixed products are odd in ν.  The price
is variance, which grows with the size of the carry.

References: Tallec & Ollivier 2018, "Unbiased online recurrent optimization", §3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.pytrees import ravel_floating
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.online.influence import OnlineState, OnlineStep, Row, begin, learn, row_step
from jaxrnn.unrolling.scan import select

TINY = 1e-7
"""A constant added to norms that can be 0."""


class RankOne(NamedTuple):
    """s θ̃ᵀ of one row, and the key of the signs still to be drawn."""

    s: Array
    theta: Array
    key: Key


@jax.tree_util.register_static
@dataclass(frozen=True)
class UORO:
    """Random gradients whose mean over the signs is the exact gradient.

    Args:
      cell: any cell.

    Raises:
      TypeError: `cell` is not a cell.

    >>> from jaxrnn import GRU
    >>> algorithm = UORO(GRU(input_size=2, hidden_size=3))
    >>> params, x = algorithm.cell.init(jax.random.key(0)), jnp.ones(2)
    >>> state = algorithm.init(jax.random.key(1), params, x)
    >>> state, done = algorithm.step(params, state, x, jnp.sum)

    References: Tallec & Ollivier 2018.
    """

    cell: Cell

    def __post_init__(self):
        check_is_cell(cell=self.cell)

    def init(self, key: Key, params: Params, x: Inputs, carry: Carry | None = None) -> OnlineState:
        """Return the state before the first step, as `RTRL.init`; the key determines all signs."""
        start, rows, size = begin(self.cell, params, x, carry)
        key, first = jax.random.split(key)
        keys = jax.random.split(key, rows)
        nothing = RankOne(jnp.zeros(size, _dtype(self.cell, params)), jnp.zeros_like(ravel_pytree(params)[0]), first)
        if carry is not None:
            return OnlineState(start, _rows(nothing, keys))
        signs = jax.vmap(partial(_signs, like=nothing.s))(jax.random.split(first, rows))
        _, vjp = jax.vjp(lambda p: ravel_floating(self.cell.initial_carry(p)), params)
        thetas = jax.vmap(lambda nu: ravel_pytree(vjp(nu)[0])[0])(signs)
        return OnlineState(start, RankOne(signs, thetas, keys))

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """Run one step; arguments and result as for `RTRL.step`."""
        flat, unravel = ravel_pytree(params)

        def pull(influence, back):
            weights = jnp.sum(influence.s * back, axis=1)
            return unravel((weights @ influence.theta).astype(flat.dtype))

        return learn(self.cell, self._advance, pull, params, state, x, loss, mask, reset)

    def _advance(self, params: Params, influence: RankOne, row: Row) -> RankOne:
        step, vector = row_step(self.cell, row)
        key, now = jax.random.split(influence.key)
        nu = _signs(now, like=vector)
        _, ds = jax.jvp(lambda v: step(params, v)[0], (vector,), (influence.s,))
        _, vjp = jax.vjp(lambda p: step(p, vector)[0], params)
        direct = ravel_pytree(vjp(nu)[0])[0]
        rho0 = jnp.sqrt((_norm(influence.theta) + TINY) / (_norm(ds) + TINY))
        rho1 = jnp.sqrt((_norm(direct) + TINY) / _norm(nu))
        after = RankOne(rho0 * ds + rho1 * nu, (influence.theta / rho0 + direct / rho1).astype(direct.dtype), key)
        if row.mask is None:
            return after
        moved = row.mask if row.reset is None else row.mask | row.reset  # a boundary on a padded step counts
        return select(moved, after, influence)._replace(key=key)


def _signs(key: Key, like: Array) -> Array:
    return jax.random.rademacher(key, like.shape, like.dtype)


def _norm(a: Array) -> Array:
    return jnp.sqrt(jnp.sum(a**2))


def _dtype(cell: Cell, params: Params):
    return ravel_floating(cell.initial_carry(params)).dtype


def _rows(nothing: RankOne, keys: Array) -> RankOne:
    """Return the same state for every row, except for the key."""
    s, theta = (jnp.broadcast_to(a, (keys.shape[0], *a.shape)) for a in nothing[:2])
    return RankOne(s, theta, keys)
