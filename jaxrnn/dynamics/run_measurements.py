"""Measurements of one run and of its gradient, for `diagnose`.  Chapter 3.1.

The cell runs forwards once, with a record of h⁽ᵗ⁻¹⁾ and z⁽ᵗ⁾ (the residual of `AutodiffRules`).  Everything else reads
that record: the way back from the whole loss and from the last step alone, Jacobians, exponents, saturation.

References: Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013, §2; Glorot & Bengio 2010, §3 (saturation).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.checks import leading_axes
from jaxrnn.core.local_rules import AutodiffRules, storable
from jaxrnn.core.pytrees import is_floating, ravel_floating, unravel_floating
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.dynamics.jacobians import jacobians_along
from jaxrnn.dynamics.lyapunov import growth_rates
from jaxrnn.dynamics.states import as_vectors
from jaxrnn.unrolling.backpropagation import backward
from jaxrnn.unrolling.forward_record import Saved, forward
from jaxrnn.unrolling.scan import masked

EXPONENTS = 16
"""The largest number of Lyapunov exponents that are measured."""

FLAT = 0.05
"""An entry of z does not move the state where its influence is below this part of the largest that it has."""

SHRUNK = 0.25
"""The largest influence is looked for on the run, and on the run with states and inputs multiplied by this."""


class Measurements(NamedTuple):
    """Measurements of a run, as NumPy's arrays; rows are the sequences of the batch."""

    profile: np.ndarray
    """‖∇_{h⁽ᵗ⁾}L‖ of the whole loss: `[rows, time]`."""
    flow: np.ndarray
    """‖(∂h⁽τ⁾/∂h⁽τ⁻ⁿ⁾)ᵀ g‖/‖g‖ after n = 0, 1, … steps back from each row's last valid step, g = ∇_{h⁽τ⁾}L:
    `[distances, rows]`; ∞ if not finite, NaN beyond t = 0 or if g = 0."""
    row_norms: np.ndarray
    """The norm of each row's own gradient, were the loss its alone: `[rows]`."""
    exponents: np.ndarray
    """The largest Lyapunov exponents, the mean over rows: `[count]`."""
    eigenvalues: np.ndarray
    """|λ| of J⁽ᵗ⁾ of the first row, the largest first: `[time, n]`."""
    flat: np.ndarray
    """The part of steps and rows at which each entry of z does not move the state: `[entries]`."""


def measure(cell: Cell, params: Params, xs: Inputs, loss: Callable, carry: Carry | None, mask) -> Measurements:
    """Run the cell once, and measure the run; the arguments are checked before."""
    rules, (time, *batch) = AutodiffRules(cell), leading_axes(xs)
    start = cell.initial_carry(params, tuple(batch)) if carry is None else carry
    results, saved = forward(rules, params, xs, start, mask, None, False)
    cotangents = storable(results, jax.grad(loss, argnums=(0, 1), allow_int=True)(*results))
    rows = math.prod(batch)
    saved = saved._replace(
        xs=_as_rows(saved.xs, 1, rows, batch),
        carry=_as_rows(start, 0, rows, batch),
        mask=_as_rows(mask, 1, rows, batch),
        residuals=_as_rows(saved.residuals, 1, rows, batch),
    )
    dcarry, dys = (_as_rows(d, axis, rows, batch) for axis, d in enumerate(cotangents))
    profile, back, norms = map(np.asarray, _gradients_of_rows(rules, saved, dcarry, dys, carry is None))
    before, zs = saved.whole(rules)
    valid = jnp.ones((time, rows), bool) if saved.mask is None else saved.mask
    size = as_vectors(saved.carry, 1).shape[-1]
    rates = _growth_rates(cell, params, before, zs, valid, min(EXPONENTS, size))
    return Measurements(
        profile=profile,
        flow=_by_distance(back, np.asarray(valid)),
        row_norms=rows * norms,
        exponents=np.asarray(rates).mean(axis=0),
        eigenvalues=_eigenvalues(cell, params, *jax.tree.map(lambda a: a[:, 0], (before, zs, valid))),
        flat=np.asarray(_flat(cell, params, before, zs, valid)),
    )


def _as_rows(tree: PyTree, axis: int, rows: int, batch: list[int]) -> PyTree:
    """Merge all batch axes, which begin at `axis`, into one."""
    return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], rows, *a.shape[axis + len(batch) :]), tree)


@partial(jax.jit, static_argnums=(0, 4))
def _gradients_of_rows(rules: AutodiffRules, saved: Saved, dcarry: Carry, dys: PyTree, from_initial: bool):
    """Return for each row ‖∇_{h⁽ᵗ⁾}L‖ of every t, the same for the last step's part of L alone, and ‖∇_θ L‖."""

    def one(xs, carry, mask, residuals, dcarry, dys):
        (time,) = leading_axes(xs)
        steps = jnp.arange(time)
        last = time - 1 if mask is None else jnp.max(jnp.where(mask, steps, -1))
        row = Saved(saved.params, xs, carry, mask, None, residuals)
        back = partial(backward, rules, row, dcarry, reverse=False, every_t=True, from_initial=from_initial)
        whole, share = back(dys=dys), back(dys=masked(steps == last, dys))
        norms = [jnp.linalg.norm(as_vectors(gradients.carries, 1), axis=-1) for gradients in (whole, share)]
        return *norms, jnp.linalg.norm(ravel_floating(whole.params))

    in_rows = jax.vmap(one, in_axes=(1, 0, 1, 1, 0, 1))
    return in_rows(saved.xs, saved.carry, saved.mask, saved.residuals, dcarry, dys)


def _by_distance(norms: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return `flow`, ‖δ⁽ᵗ⁾‖ by the distance from the last valid step, relative to the norm there.

    `norms`, ‖δ⁽ᵗ⁾‖, is `[rows, time]`; `valid` is `[time, rows]`.
    """
    time, rows = valid.shape
    n = np.arange(time)[:, None]
    last = np.max(np.where(valid, n, -1), axis=0)
    back = norms[np.arange(rows), np.maximum(last - n, 0)]
    start = np.where((back[0] > 0) & np.isfinite(back[0]), back[0], 1)
    ratio = np.where(np.isfinite(back), back, np.inf) / start
    return np.where((n <= last) & (back[0] != 0), ratio, np.nan)


_growth_rates = jax.jit(growth_rates, static_argnums=(0, 5))


@partial(jax.jit, static_argnums=0)
def _flat(cell, params, before, zs, valid):
    """Return for each entry of z the fraction of valid steps at which it does not move the state: `[entries]`."""

    def influence(carry, z):
        jacobian = jax.jacrev(lambda v: as_vectors(cell.step(params, carry, unravel_floating(v, z))[0], 0))
        return jnp.linalg.norm(jacobian(as_vectors(z, 0)), axis=0)

    def all_steps(scale):
        def scaled(a):
            return a * jnp.asarray(scale, a.dtype) if is_floating(a) else a

        found = jax.lax.map(lambda at_t: jax.vmap(influence)(*at_t), jax.tree.map(scaled, (before, zs)))
        return found.reshape(-1, found.shape[-1])

    here, shrunk, valid = all_steps(1.0), all_steps(SHRUNK), valid.reshape(-1, 1)
    largest = jnp.maximum(jnp.max(jnp.where(valid, here, 0), axis=0), jnp.max(shrunk, axis=0))
    return jnp.sum((here <= FLAT * largest) & valid, axis=0) / jnp.maximum(jnp.sum(valid), 1)


def _eigenvalues(cell: Cell, params: Params, before: Carry, zs: Inputs, valid) -> np.ndarray:
    """Return |λ| of the Jacobian of every step of one row; NaN where it is not finite."""
    js = np.array(jacobians_along(cell, params, before, zs, valid, None))
    finite = np.isfinite(js)
    found = -np.sort(-np.abs(np.linalg.eigvals(np.where(finite, js, 0))), axis=-1)
    found[~np.all(finite, axis=(1, 2))] = np.nan
    return found
