"""Recursive least squares: the optimal read-out after every step.

With h⁽ᵗ⁾ extended by a 1 for the bias, P⁽⁰⁾ = I/β, and a forgetting factor λ ≤ 1,

    k⁽ᵗ⁾ = P⁽ᵗ⁻¹⁾ h⁽ᵗ⁾ / (λ + h⁽ᵗ⁾ᵀ P⁽ᵗ⁻¹⁾ h⁽ᵗ⁾)
    V⁽ᵗ⁾ = V⁽ᵗ⁻¹⁾ + k⁽ᵗ⁾ (y⁽ᵗ⁾ − V⁽ᵗ⁻¹⁾ᵀ h⁽ᵗ⁾)
    P⁽ᵗ⁾ = (P⁽ᵗ⁻¹⁾ − k⁽ᵗ⁾ h⁽ᵗ⁾ᵀ P⁽ᵗ⁻¹⁾) / λ

After t steps V minimizes Σₛ λᵗ⁻ˢ ‖y⁽ˢ⁾ − V⁽ᵗ⁾ᵀ h⁽ˢ⁾‖² + λᵗ β ‖V‖²; with λ = 1 that is `ridge` of all steps.  Means
cannot be subtracted before the data are known, so the bias is penalized as well, by β · 10⁻⁶.  The steps shrink P from
1/β to (Σ h hᵀ)⁻¹ and lose digits if β is tiny: choose β between 10⁻³ and 1.

P is computed in float64 for any setting of `jax_enable_x64`; in float32 it soon stops being positive definite.

References: Haykin 2002, ch. 9; Jaeger 2003, "Adaptive nonlinear system identification with echo state networks";
chapter 6.1, item 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_positive, check_shape
from jaxrnn.objectives.readout import ReadoutParams
from jaxrnn.reservoirs.float64 import Double, in_float64, product
from jaxrnn.reservoirs.ridge_regression import check_regression

BIAS_PENALTY = 1e-6
"""The penalty of the bias as a fraction of β."""


class Tracker(NamedTuple):
    """The state of recursive least squares.

    >>> tracker(2, 1, penalty=0.5).readout.v.shape
    (2, 1)
    """

    v: Double
    """The bias and V: `[1 + hidden, output]`."""
    p: Double
    """P: `[1 + hidden, 1 + hidden]`."""

    @property
    def readout(self) -> ReadoutParams:
        """The current V and c."""
        return ReadoutParams(self.v.high[1:], self.v.high[0])


def tracker(hidden_size: int, output_size: int, penalty: float, *, bias: bool = True) -> Tracker:
    """Return the state before the first step: V = 0, P = I/β.

    Args:
      hidden_size: the size of h.
      output_size: the size of y.
      penalty: β > 0; the penalty of the bias is 10⁻⁶ β.
      bias: False leaves the bias at 0, by a P that is 0 there.

    Returns:
      The state for `track`.

    Raises:
      ValueError: a size below 1, or a penalty that is not above 0 and finite.

    >>> state = tracker(3, 2, penalty=0.5)
    >>> state.readout.v.shape, jnp.diag(state.p.high)[1:].tolist()
    ((3, 2), [2.0, 2.0, 2.0])

    References: Haykin 2002, table 9.1.
    """
    check_positive(hidden_size=hidden_size, output_size=output_size)
    if not 0 < penalty < np.inf:
        raise ValueError(f"`penalty` must be above 0, because P starts as its inverse, got {penalty!r}.")
    p = jnp.diag(jnp.full(1 + hidden_size, 1 / penalty).at[0].multiply(1 / BIAS_PENALTY if bias else 0))
    v = jnp.zeros((1 + hidden_size, output_size))
    return Tracker(Double(v, jnp.zeros_like(v)), Double(p, jnp.zeros_like(p)))


def track(
    state: Tracker,
    hs: Float[Array, "..."],
    targets: Float[Array, "..."],
    *,
    forgetting: float | Float[Array, ""] = 1.0,
    mask: Bool[Array, "..."] | None = None,
) -> tuple[Tracker, Float[Array, "..."]]:
    """Learn from one step after another, and return the predictions made *before* each step was learned.

    Args:
      state: the state from `tracker` or from the previous block.
      hs: h, `[time, *batch, hidden]`; the rows of a step are learned one by one.
      targets: y, `[time, *batch, output]`.
      forgetting: λ, 0 < λ ≤ 1; the memory is about 1/(1 − λ) steps.
      mask: `[time, *batch]`; False where nothing is learned and the output is 0.

    Returns:
      The state after the last step, and V⁽ᵗ⁻¹⁾ᵀ h⁽ᵗ⁾ for every t: `[time, *batch, output]`.

    Raises:
      TypeError, ValueError: as `ridge`; a forgetting factor outside (0, 1]; sizes that differ from those of the state.

    >>> hs = jax.random.normal(jax.random.key(0), (50, 3))
    >>> state, os = track(tracker(3, 1, penalty=1e-6), hs, 2.0 * hs[:, :1] + 1.0)
    >>> v, c = state.readout
    >>> bool(jnp.allclose(v[:, 0], jnp.array([2.0, 0.0, 0.0]), atol=1e-5)), round(c.item(), 4)
    (True, 1.0)

    References: Haykin 2002, table 9.1.
    """
    hs, targets, mask = check_regression(hs, targets, mask)
    sizes = (1 + hs.shape[-1], targets.shape[-1])
    check_shape("state.v.high", state.v.high, sizes, "[1 + hidden, output] of `hs` and `targets`")
    known = known_values(forgetting)
    if known is not None and not 0 < known <= 1:
        raise ValueError(f"`forgetting` must lie in (0, 1], got {forgetting}.")
    state, os = _track(state, hs, targets, jnp.asarray(forgetting, jnp.result_type(float)), mask)
    return state, os.reshape(targets.shape)


def learn_step(v: Array, p: Array, h: Array, y: Array, valid, forgetting) -> tuple:
    """Learn from one step, `[hidden]` and `[output]`, in float64; return the new V and P, and the output before."""
    h = jnp.where(valid, jnp.concatenate([jnp.ones(1), h]), 0)  # a step with h = 0 changes neither V nor P
    ph = product(p, h)
    k, o = ph / (forgetting + product(h, ph)), product(h, v)
    v = v + jnp.outer(k, jnp.where(valid, y, 0) - o)
    p = jnp.where(valid, (p - jnp.outer(k, ph)) / forgetting, p)
    return (v, (p + p.T) / 2), o


@jax.jit
@in_float64
def _track(state, hs, targets, forgetting, mask):
    def step(state, at_t):
        (v, p), (h, y, valid) = state, at_t
        return learn_step(v, p, h, y, valid, forgetting)

    rows = mask.size
    flat = (hs.reshape(rows, -1), targets.reshape(rows, -1), mask.reshape(rows))
    (v, p), os = lax.scan(step, (state.v, state.p), flat)
    return Tracker(*(Double(a, jnp.zeros_like(a)) for a in (v, p))), os
