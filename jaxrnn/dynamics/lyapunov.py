"""Lyapunov exponents: chapter 3.1 and 6.2.

The exponents λ₁ ≥ λ₂ ≥ … are the mean rates at which small differences grow along a run,

    λᵢ = lim (1/t) log σᵢ(J⁽ᵗ⁾ ⋯ J⁽¹⁾),

and gradients, which pass through the same product, grow at the same rates.  λ₁ > 0: differences and gradients explode
(chaos, where the state is bounded); λ₁ < 0: both fade.  The product itself overflows or underflows within a
few hundred steps, so it is factored as it is computed: J⁽ᵗ⁾ Q⁽ᵗ⁻¹⁾ = Q⁽ᵗ⁾ R⁽ᵗ⁾, and λᵢ is the mean of log |Rᵢᵢ⁽ᵗ⁾|.

References: Benettin, Galgani, Giorgilli & Strelcyn 1980; Eckmann & Ruelle 1985, §V (QR); Engelken, Wolf & Abbott 2023.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.dynamics.jacobians import check_differentiable, next_state
from jaxrnn.dynamics.states import as_vectors, trajectory


def lyapunov_spectrum(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    count: int | None = None,
    skip: int = 0,
) -> Float[Array, "*batch count"]:
    """Return the Lyapunov exponents of a run, largest first.

    A network that runs on its own output is a cell too: `Feedback(cell, readout, "logits")`, over inputs without
    features, has the exponents of the closed loop.  With the parameters that `ESN.fit` returns they estimate those of
    the system that the reservoir continues.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen, and does not count.
      count: the number of exponents; all by default.
      skip: the number of steps at the start to ignore, while Q converges.

    Returns:
      λ per step, `[*batch, count]`; −∞ for directions that a step erases.

    Raises:
      TypeError, ValueError: as `unroll`; a cell without a derivative; a count above the size of the state, or no
        step left to count.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.zeros((1, 2)), jnp.diag(jnp.array([0.5, 2.0])), jnp.zeros(2))
    >>> exponents = lyapunov_spectrum(Elman(1, 2, "identity"), params, jnp.zeros((50, 1)), skip=10)
    >>> [round(rate, 3) for rate in jnp.exp(exponents).tolist()]
    [2.0, 0.5]

    References: Benettin et al. 1980; Engelken et al. 2023; Pathak et al. 2017 (the closed loop of a reservoir).
    """
    xs, carry, mask, _ = check_unroll(cell, params, xs, carry, mask, None)
    check_differentiable(cell, params, xs)
    time, *_ = leading_axes(xs)
    size = jax.eval_shape(lambda p: as_vectors(cell.initial_carry(p), 0), params).size
    count = size if count is None else count
    if not 1 <= count <= size or not 0 <= skip < time:
        raise ValueError(f"`count` must lie in 1 … {size} and `skip` in 0 … {time - 1}, got {count} and {skip}.")
    return _lyapunov_spectrum(cell, params, xs, carry, mask, count, skip)


@partial(jax.jit, static_argnums=(0, 5, 6))
def _lyapunov_spectrum(cell, params, xs, carry, mask, count, skip):
    run = trajectory(cell, params, xs, carry, mask=mask)
    valid = jnp.ones(leading_axes(xs), bool) if mask is None else mask
    return growth_rates(cell, params, run.before, run.zs, valid, count, skip)


def growth_rates(
    cell: Cell, params: Params, before: Carry, zs: Inputs, valid: Bool[Array, "time *batch"], count: int, skip: int = 0
) -> Float[Array, "*batch count"]:
    """Return the mean growth rates of J⁽ᵗ⁾ ⋯ J⁽¹⁾ for Jacobians at h⁽ᵗ⁻¹⁾ = `before`, largest first."""

    def turn(q, at_t):
        before, z, valid = at_t
        _, push = jax.linearize(partial(next_state, cell, params, before, z), as_vectors(before, 0))
        turned, r = jnp.linalg.qr(jax.vmap(push, in_axes=1, out_axes=1)(q))
        return jnp.where(valid, turned, q), jnp.where(valid, jnp.log(jnp.abs(jnp.diagonal(r))), 0)

    def row(before, zs, valid):
        h = as_vectors(before, 1)
        # not the axes of h: where units do not meet, those would stay what they are
        start = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (h.shape[-1], count), h.dtype))[0]
        _, logs = jax.lax.scan(turn, start, (before, zs, valid))
        return jnp.sort(jnp.sum(logs[skip:], axis=0) / jnp.maximum(jnp.sum(valid[skip:]), 1), descending=True)

    for _ in valid.shape[1:]:
        row = jax.vmap(row, in_axes=1)
    return row(before, zs, valid)
