"""Choosing a member of the unroll family, by two Lyapunov exponents.

    λ  = lim 1/τ log σ₁(J⁽ᵗ⁾ ⋯ J⁽¹⁾),   J⁽ᵗ⁾ at the h⁽ᵗ⁻¹⁾ of the run             (`jaxrnn.dynamics.lyapunov`)
    λ₀ = the same of Jacobians at Newton's first guess, h⁽ᵗ⁻¹⁾ = h⁽⁰⁾ for all t

λ is the rate at which a small push to h grows, per step.  An error in h⁽ᵗ⁾ of a guess is multiplied by e^{λ s} after s
steps: if λ < 0 a guess near the run forgets its errors, and if λ > 0 they grow and Newton's method takes about as many
updates as there are steps.  λ₀ governs the first update, a linear recurrence with those Jacobians: if it is positive
that update explodes even for a stable run (such as an LSTM whose gates close later).

If both are negative, `benchmarks/parallel.py` never needed more than `UPDATES` updates, for any τ; otherwise the number
grows with τ.  With Λ = max(λ, λ₀) the number of updates is predicted as

    3 + log₂(1 + 0.35 / |Λ|)        Λ < 0: convergence is quadratic, from a basin as large as the system is contracting
    τ / (1 + 0.6 / Λ)               Λ > 0: each update makes a few more steps exact, one where Λ is large

at most τ.  The forms follow from the conditioning, bounded by Σₛ e^{λ s}; the constants are fitted to Elman and GRU
networks of 12 to 20 units and τ from 100 to 400, where the prediction is within a factor of four.  A cell that is
linear in its carry needs no updates at all.

References: Gonzalez et al. 2025, "Predictability enables parallelization of nonlinear state space models";
Engelken, Wolf & Abbott 2023, "Lyapunov spectra of chaotic recurrent neural networks", §II; chapter 3.1.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.dynamics.jacobians import check_differentiable
from jaxrnn.dynamics.lyapunov import growth_rates
from jaxrnn.dynamics.states import trajectory
from jaxrnn.unrolling.backpropagation import unroll_bptt
from jaxrnn.unrolling.parallel.newtons_method import unroll_newton
from jaxrnn.unrolling.parallel.structure import structural_member

UPDATES = 6
"""So many updates Newton's method has taken at most, where both exponents are negative: docs/performance.md."""


class Advice(NamedTuple):
    """The method to use, and the exponents behind the choice.

    >>> Advice._fields[0]
    'method'
    """

    method: Callable
    """`unroll_chunkwise`, `unroll_associative`, `unroll_by_structure`, `unroll_newton` or `unroll_bptt`."""
    exponent: float
    """λ per step; −inf if a perturbation vanishes."""
    horizon: float
    """1/|λ|: the number of steps in which a perturbation changes e-fold."""
    first_exponent: float
    """λ₀."""
    updates: int
    """The predicted number of updates of Newton's method; 0 where the kind of the cell decides the method."""


def choose_method(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
) -> Advice:
    """Choose the member of the unroll family for a cell, its parameters and inputs like these.

    `unroll_chunkwise` where the state is a matrix, from 32 steps on, `unroll_associative` where the cell is linear in
    its carry otherwise, and `unroll_by_structure` where a part of it is; else `unroll_newton` where λ < 0, λ₀ < 0 and
    UPDATES updates, each an evaluation of all steps and 2⌈log₂ τ⌉ rounds, are fewer than τ steps; else `unroll_bptt`.
    The advice counts sequential steps, so it holds for a device with many idle processors.  If one step keeps all
    processors busy, the loop is faster, whatever λ is.

    Args:
      cell: any cell.
      params: its parameters, with values: not under `jit`.
      xs: inputs `[time, *batch, input]` with values; time is at least 1.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.

    Returns:
      `Advice(method, exponent, horizon, first_exponent, updates)`; exponents are means over the rows.

    Raises:
      TypeError, ValueError: as `unroll`; if there is no step; and for a cell without a derivative.

    >>> from jaxrnn import GRU
    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (200, 2, 3))
    >>> advice = choose_method(cell, params, xs)
    >>> advice.method.__name__, advice.updates <= 6
    ('unroll_newton', True)

    References: Gonzalez et al. 2025.
    """
    xs, carry, mask, _ = check_unroll(cell, params, xs, carry, mask, None)
    time = leading_axes(xs)[0]
    if time == 0 or (mask is not None and not bool(mask.any())):
        raise ValueError("`xs` must have at least one valid step, got none.")
    check_differentiable(cell, params, xs)
    exponent, first = map(float, _exponents(cell, params, xs, carry, mask))
    depth = UPDATES * (1 + 2 * math.ceil(math.log2(time)))
    nonlinear = unroll_newton if max(exponent, first) < 0 and depth < time else unroll_bptt
    member = structural_member(cell, time)
    return Advice(
        method=member or nonlinear,
        exponent=exponent,
        horizon=math.inf if exponent == 0 else 1 / abs(exponent),
        first_exponent=first,
        updates=0 if member else predicted_updates(exponent, first, time),
    )


def predicted_updates(exponent: float, first_exponent: float, time: int) -> int:
    """Predict the number of updates of Newton's method from λ, λ₀ and τ.

    >>> predicted_updates(-0.5, -0.5, 400), predicted_updates(0.1, 0.5, 400)
    (4, 182)
    """
    larger = max(exponent, first_exponent)
    if math.isnan(larger) or larger == math.inf:
        return time
    if larger > 0:
        return min(time, math.ceil(time / (1 + 0.6 / larger)))
    if larger == 0:
        return time
    return min(time, math.ceil(3 + math.log2(1 - 0.35 / larger)))


@partial(jax.jit, static_argnums=0)
def _exponents(cell: Cell, params: Params, xs, carry: Carry | None, mask) -> tuple[Float[Array, ""], ...]:
    """Return λ and λ₀, the means over all valid steps of all rows."""
    run = trajectory(cell, params, xs, carry, mask=mask)
    guess = jax.tree.map(lambda h: jnp.broadcast_to(h[:1], h.shape), run.before)
    valid = jnp.ones(leading_axes(xs), bool) if mask is None else mask
    steps = jnp.sum(valid, axis=0)
    rates = (growth_rates(cell, params, before, run.zs, valid, 1)[..., 0] for before in (run.before, guess))
    return tuple(jnp.sum(rate * steps) / jnp.sum(steps) for rate in rates)
