"""The regularizer that guides the flow of information, Ω: chapter 3.4.

    Ω = Σₜ ( ‖(∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ δ⁽ᵗ⁾‖ / ‖δ⁽ᵗ⁾‖ − 1 )²,            δ⁽ᵗ⁾ = ∇_{h⁽ᵗ⁾}L

It asks that a gradient keep its size from one step to the one before, in the direction in which it really goes.
For W = cI in the linear network a term is (c − 1)²; for an orthogonal W it is 0.  Two gradients of it are here:

* `omega`: exact.  δ⁽ᵗ⁾, h⁽ᵗ⁾ and everything else are functions of θ, and `jax.grad` goes through all of it,
  back-propagation through back-propagation.
* `pascanu_omega`: the same value, and Pascanu's approximation to its gradient.  The back-propagated δ⁽ᵗ⁾ and the
  states are constants; only the direct dependence of ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ on θ is left, which for the plain network is

      ∂⁺Ω/∂W   of   Σₜ (‖Wᵀ diag(1 − (h⁽ᵗ⁾)²) δ⁽ᵗ⁾‖ / ‖δ⁽ᵗ⁾‖ − 1)²,   all but W held.

  What is held is the residual of the cell's own local rule; for a cell without one, h⁽ᵗ⁻¹⁾ and z⁽ᵗ⁾ are.

Correction to the chapter: a term whose ‖δ⁽ᵗ⁾‖ is 0 (a masked step, a loss that ended before) counts as 0, not 0/0.
So does a step that is masked, and the way across a reset, where ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ = 0 is meant.

The paper's program differs from its formula, which is the chapter's: it takes the ratio of the squared norms, and
the mean over the terms in place of the sum.  h is the whole carry: (h, C) in an LSTM.

References: Pascanu, Mikolov & Bengio 2013, §3.3, eqs. 9 and 10.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.local_rules import AutodiffRules, as_cotangent, rules_of
from jaxrnn.core.types import Carry, Cell, LocalRules, Params
from jaxrnn.dynamics.gradient_pass import Pass, one_pass
from jaxrnn.dynamics.jacobians import check_differentiable
from jaxrnn.dynamics.states import as_vectors
from jaxrnn.unrolling.scan import zeros

Loss = Callable[[Carry, PyTree], Float[Array, ""]]
"""L(h⁽τ⁾, ys), a scalar of what `unroll` gives; it may close over a read-out's parameters and targets."""


def omega(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss: Loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """Return Ω exactly, summed over t and averaged over rows.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      loss: L(carry, ys) of the results of `unroll`, whose gradient should keep its norm.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      Ω, differentiable with respect to `params`, `xs`, `carry` and whatever `loss` closes over.

    Raises:
      TypeError, ValueError: as `unroll`; and for a cell without a derivative from h⁽ᵗ⁻¹⁾ to h⁽ᵗ⁾.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> cell, xs = Elman(1, 3, "identity"), jnp.zeros((4, 2, 1))
    >>> params = ElmanParams(jnp.zeros((1, 3)), 0.5 * jnp.eye(3), jnp.zeros(3))
    >>> float(omega(cell, params, xs, lambda carry, ys: jnp.sum(carry)))  # four terms of (0.5 − 1)²
    1.0

    References: chapter 3.4; Pascanu et al. 2013, eq. 9.
    """
    return _over_rows(omega_terms(cell, params, xs, loss, carry, mask=mask, reset=reset))


def pascanu_omega(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss: Loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Float[Array, ""]:
    """Return Ω with Pascanu's gradient, which treats the back-propagated vectors and the states as constants.

    Its gradient costs one contraction over t more than that of the loss; that of `omega` costs a second
    back-propagation through time.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      loss: L(carry, ys) of the results of `unroll`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      As `omega`.

    Raises:
      TypeError, ValueError: as `omega`.

    >>> from jaxrnn import GRU
    >>> cell = GRU(3, 5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 3))
    >>> gradient = jax.grad(lambda p: pascanu_omega(cell, p, xs, lambda carry, ys: jnp.sum(carry)))(params)
    >>> bool((gradient.w != 0).any()), bool((gradient.u != 0).any())  # only W stands in ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ itself
    (True, False)

    References: chapter 3.4; Pascanu et al. 2013, eq. 10.
    """
    flow = loss_and_flow(cell, params, xs, loss, carry, mask=mask, reset=reset)
    return _over_rows((flow.ratios - 1) ** 2)


def omega_terms(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss: Loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """Return the terms of `omega`, (‖(∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ δ⁽ᵗ⁾‖ / ‖δ⁽ᵗ⁾‖ − 1)²; Ω is their sum over t.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      loss: L(carry, ys) of the results of `unroll`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      `[time, *batch]`; 0 where no term counts.

    Raises:
      TypeError, ValueError: as `omega`.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> cell, xs = Elman(1, 3, "identity"), jnp.zeros((4, 1))
    >>> params = ElmanParams(jnp.zeros((1, 3)), 0.5 * jnp.eye(3), jnp.zeros(3))
    >>> omega_terms(cell, params, xs, lambda carry, ys: jnp.sum(ys[1])).tolist()  # a loss that ends at t = 1
    [0.25, 0.25, 0.0, 0.0]

    References: chapter 3.4; Pascanu et al. 2013, eq. 9.
    """
    rules = AutodiffRules(cell)
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset)
    check_differentiable(cell, params, xs)
    back = one_pass(rules, params, xs, loss, carry, mask, reset)
    return (_ratios(rules, params, xs, back, mask, reset)[0] - 1) ** 2


class Flow(NamedTuple):
    """A loss, and the growth of its gradient from each step to the one before.

    >>> Flow._fields
    ('loss', 'ratios', 'norms')
    """

    loss: Float[Array, ""]
    """L."""
    ratios: Float[Array, "..."]
    """‖(∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ δ⁽ᵗ⁾‖ / ‖δ⁽ᵗ⁾‖, `[time, *batch]`; 1 where no term of Ω counts."""
    norms: Float[Array, "..."]
    """‖δ⁽ᵗ⁾‖, `[time, *batch]`, a constant; 0 where no term of Ω counts."""


def loss_and_flow(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss: Loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Flow:
    """Return L and the terms of Ω together, from one forward and one backward pass.

    (ratios − 1)² are the terms of `pascanu_omega`, (ratios² − 1)² those of the paper's program.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      loss: L(carry, ys) of the results of `unroll`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      `Flow(loss, ratios, norms)`.  The gradient of `loss` is that of back-propagation, for `params`, `xs`, `carry` and
      whatever the function `loss` closes over; that of `ratios` is Pascanu's.  Each can be differentiated once.

    Raises:
      TypeError, ValueError: as `omega`.

    >>> from jaxrnn import LSTM
    >>> cell = LSTM(3, 5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((4, 3))
    >>> def objective(params):
    ...     flow = loss_and_flow(cell, params, xs, lambda carry, ys: jnp.sum(ys[-1] ** 2))
    ...     return flow.loss + 2 * jnp.sum((flow.ratios - 1) ** 2)
    >>> jax.grad(objective)(params).w.shape
    (5, 20)

    References: chapter 3.4; Pascanu et al. 2013, eqs. 9 and 10.
    """
    xs, carry, mask, reset = check_unroll(cell, params, xs, carry, mask, reset)
    check_differentiable(cell, params, xs)
    rules, held = rules_of(cell), jax.lax.stop_gradient((params, xs, carry))
    back = one_pass(rules, *held[:2], loss, held[2], mask, reset)
    dparams, dxs, dcarry, _ = back.gradients
    gradients = dparams, dxs, None if carry is None else dcarry
    value = _with_gradient(back.loss, (params, xs, carry), jax.lax.stop_gradient(gradients))
    ratios, norms = _ratios(rules, params, xs, jax.lax.stop_gradient(back), mask, reset)
    return Flow(value, ratios, norms)


@jax.custom_vjp
def _with_gradient(value, primals, gradients):
    """Return `value`, with the gradient `gradients` with respect to `primals`."""
    return value


def _with_gradient_bwd(saved, d):
    primals, gradients = saved
    return d, as_cotangent(primals, jax.tree.map(lambda g: (d * g).astype(g.dtype), gradients)), None


_with_gradient.defvjp(lambda value, *rest: (value, rest), _with_gradient_bwd)


def _ratios(rules: LocalRules, params: Params, xs, back: Pass, mask, reset):
    """Return ‖(∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾)ᵀ u⁽ᵗ⁾‖, u = δ / ‖δ‖, and ‖δ‖ for all t at once; 1 and 0 for steps that do not count."""
    counts = jnp.ones(leading_axes(xs), bool) if mask is None else mask
    counts = counts if reset is None else counts & ~reset
    units, norms, exist = _units(back.gradients.carries, counts.ndim)
    previous, _, _ = jax.vmap(partial(rules.step_bwd, params))(back.residuals, units, zeros(back.ys))
    counts = counts & exist
    return jnp.where(counts, _norm(as_vectors(previous, counts.ndim)), 1), jnp.where(counts, norms, 0)


def _units(deltas: Carry, axes: int) -> tuple[Carry, Float[Array, "..."], Bool[Array, "..."]]:
    """Return δ / ‖δ‖ over all arrays of the carry, ‖δ‖, and whether ‖δ‖ > 0; δ is first divided by its largest entry.

    The squares of a gradient that has faded to 1e-30 are 0 in float32; its direction is not.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(as_vectors(deltas, axes)), axis=-1))
    exist = (largest > 0) & jnp.isfinite(largest)
    scaled = _divided(deltas, jnp.where(exist, largest, 1))
    norms = jnp.where(exist, _norm(as_vectors(scaled, axes)), 1)
    return _divided(scaled, norms), largest * norms, exist


def _divided(tree: Carry, by: Float[Array, "..."]) -> Carry:
    """Divide the floating arrays by one number per step and row."""

    def leaf(a):
        return a / by.reshape(by.shape + (1,) * (a.ndim - by.ndim)) if jnp.issubdtype(a.dtype, jnp.inexact) else a

    return jax.tree.map(leaf, tree)


def _norm(v: Float[Array, "*leading n"]) -> Float[Array, "*leading"]:
    """Return ‖v‖, whose gradient at v = 0 is 0."""
    square = jnp.sum(v**2, axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _over_rows(terms: Float[Array, "..."]) -> Float[Array, ""]:
    """Return the mean over rows of the sums over t."""
    return jnp.mean(jnp.sum(terms, axis=0))
