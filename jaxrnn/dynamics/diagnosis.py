"""Diagnosing the gradients of a network on its data, in one call: chapter 3.1.

    diagnosis = diagnose(cell, params, xs, loss)
    print(diagnosis.verdict, diagnosis.advice)
    diagnosis.figure()

The verdict describes a gradient on its way from the last step to the first, through J⁽τ⁾ᵀ, J⁽τ⁻¹⁾ᵀ, …:

    exploding   its norm grows more than 100-fold, or is not finite
    vanishing   its norm falls below 1/100
    saturated   the same, because more than half of the units' inputs have no effect: diag(1 − h²) is near 0
    healthy     none of these

A unit's input is an entry of z⁽ᵗ⁾.  It has no effect where ‖∂h⁽ᵗ⁾/∂z⁽ᵗ⁾ⱼ‖ is below 1/20 of the largest value that this
norm takes on the run, or on the run with all states and inputs multiplied by ¼.  For tanh this means about |a| > 2.2,
|h| > 0.976.  The input of a relu that is off has no effect; that of a linear unit always has one.

References: Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013, §2; Glorot & Bengio 2010, §3 (saturation).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxrnn.core.checks import check_unroll, leading_axes
from jaxrnn.core.types import Carry, Cell, Params
from jaxrnn.dynamics.information_flow import Loss
from jaxrnn.dynamics.jacobians import check_differentiable, memory_length
from jaxrnn.dynamics.run_measurements import measure

FACTOR = 100.0
"""A gradient explodes or vanishes if it changes its length by more than this on the whole way."""

ADVICE = {
    "exploding": (
        "The gradient grows by a factor of {rate:.3g} a step. Clip it by its norm (clip_by_norm); make the recurrent "
        "weights smaller: spectral radius below 1, or an orthogonal start; a lower learning rate."
    ),
    "not finite": (
        "The gradient is not finite. Look for NaN and infinities in `xs`, or mask them; if there are none, a number "
        "has overflowed on the way: make the recurrent weights smaller (spectral radius below 1, or an orthogonal "
        "start). Clipping cannot mend it: steps with such a gradient have to be skipped."
    ),
    "vanishing": (
        "The gradient shrinks by a factor of {rate:.3g} a step; after {memory:.0f} step(s) 1/e of it is left. Take "
        "a gated cell with its memory gate open at the start (a larger forget bias), Leaky units with α near 1, or "
        "Delays; start from an orthogonal or identity W; or hold it up with pascanu_omega and clipping."
    ),
    "saturated": (
        "The gradient shrinks by a factor of {rate:.3g} a step, because {saturation:.0%} of what the units read does "
        "not move them: they are saturated. Scale the inputs to mean 0 and variance 1, make U, W and b smaller, or "
        "normalize what the units sum up (LayerNorm)."
    ),
    "healthy": (
        "The gradient reaches the first step within a factor of 100 ({rate:.3g} a step). Nothing needs to be done "
        "about its flow at {steps} steps."
    ),
}
"""The advice for each verdict; a gradient that is not finite counts as exploding."""


class Diagnosis(NamedTuple):
    """The findings of `diagnose`.

    >>> Diagnosis._fields[:2]
    ('verdict', 'advice')
    """

    verdict: str
    """exploding, vanishing, saturated or healthy."""
    advice: str
    """The advice, in words."""
    rate: float
    """The factor by which the gradient grows or shrinks per step back."""
    memory: float
    """The number of steps back after which 1/e of it is left, the median over rows."""
    saturation: float
    """The fraction of the entries of z⁽ᵗ⁾ that do not move the state."""
    clipping: float
    """The fraction of the rows whose own gradient is longer than `clip`."""
    profile: np.ndarray
    """‖∇_{h⁽ᵗ⁾}L‖ of the whole loss, over rows: `[time]`."""
    flow: np.ndarray
    """‖(∂h⁽τ⁾/∂h⁽τ⁻ⁿ⁾)ᵀ g‖/‖g‖ after n = 0, 1, … steps back, g = ∇_{h⁽τ⁾}L; from the last valid step of each row;
    the geometric mean over rows: `[distances]`."""
    lyapunov: np.ndarray
    """The largest Lyapunov exponents, the mean over rows: `[count]`."""
    eigenvalues: np.ndarray
    """|λ| of J⁽ᵗ⁾ of the first row, the largest first: `[time, n]`."""
    flat: np.ndarray
    """`saturation` of each entry of z: `[entries]`."""
    row_norms: np.ndarray
    """The norm of the gradient of each row's own loss: `[rows]`."""
    clip: float
    """The limit that `row_norms` are compared with."""

    def figure(self) -> Any:
        """Return the report as one `matplotlib.figure.Figure`, to show in a notebook or to save by `.savefig(file)`."""
        from jaxrnn.dynamics.diagnosis_figure import draw

        return draw(self)


def diagnose(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    loss: Loss,
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    clip: float = 1.0,
) -> Diagnosis:
    """Diagnose how gradients flow, where units saturate and what is clipped, and advise what to change.

    Args:
      cell: any cell.
      params: its parameters.
      xs: a batch like those in training, `[time, *batch, input]`, of at least 2 steps.
      loss: L(carry, ys) of the results of `unroll`, a mean over rows; it may close over a read-out and targets.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      clip: v of 3.3, the norm at which gradients are or would be clipped.

    Returns:
      A `Diagnosis`: verdict, advice and the numbers behind them; `.figure()` draws it.

    Raises:
      TypeError, ValueError: as `unroll`; a cell without a derivative; fewer than 2 steps; a `clip` that is not above 0;
        a loss that does not depend on the last valid step of any row.

    >>> import jax
    >>> from jaxrnn import Elman
    >>> from jaxrnn.cells import ElmanParams
    >>> params = ElmanParams(jnp.ones((1, 2)), 0.5 * jnp.eye(2), jnp.zeros(2))
    >>> xs = jax.random.normal(jax.random.key(0), (30, 4, 1))
    >>> diagnosis = diagnose(Elman(1, 2), params, xs, lambda carry, ys: jnp.mean(carry))
    >>> diagnosis.verdict, diagnosis.rate < 0.5
    ('vanishing', True)

    References: chapter 3.1.
    """
    xs, carry, mask, _ = check_unroll(cell, params, xs, carry, mask, None)
    if leading_axes(xs)[0] < 2:
        raise ValueError(f"`xs` must have at least 2 steps to show how a gradient flows, got {leading_axes(xs)[0]}.")
    if not clip > 0:
        raise ValueError(f"`clip` must be above 0, the largest size that a gradient may have, got {clip!r}.")
    check_differentiable(cell, params, xs)
    run = measure(cell, params, xs, loss, carry, mask)
    rows, steps = _rows_that_tell(run.flow), run.profile.shape[1]
    rate = _rate(rows)
    memory = float(np.median(memory_length(jnp.nan_to_num(jnp.asarray(rows[::-1]), nan=1.0, posinf=jnp.inf))))
    saturation = float(run.flat.mean())
    finite = bool(np.isfinite(rate) and np.isfinite(run.profile).all() and np.isfinite(run.row_norms).all())
    verdict = _verdict(rate, len(rows), saturation, finite)
    advice = ADVICE[verdict if finite else "not finite"]
    return Diagnosis(
        verdict=verdict,
        advice=advice.format(rate=rate, memory=memory, saturation=saturation, steps=steps),
        rate=rate,
        memory=memory,
        saturation=saturation,
        clipping=float(np.mean(~np.less_equal(run.row_norms, clip))),
        profile=np.sqrt(np.mean(np.square(run.profile), axis=0)),
        flow=_geometric_mean(rows),
        lyapunov=run.exponents,
        eigenvalues=run.eigenvalues,
        flat=run.flat,
        row_norms=run.row_norms,
        clip=clip,
    )


def _rows_that_tell(flow: np.ndarray) -> np.ndarray:
    """Return the rows whose loss has a gradient at their last step: `[distance, rows]`, up to the longest row."""
    flow = flow[:, ~np.isnan(flow[0])]
    if not flow.shape[1]:
        raise ValueError(
            "`loss` must depend on the last valid step of a row, through `ys` or `carry`: no gradient flows from there."
        )
    return flow[~np.isnan(flow).all(axis=1)]


def _geometric_mean(flow: np.ndarray) -> np.ndarray:
    """Return the geometric mean over the rows that are long enough, for each distance."""
    with np.errstate(divide="ignore"):
        return np.exp(np.nanmean(np.log(flow), axis=1))


def _rate(rows: np.ndarray) -> float:
    """Return the mean factor per step up to the largest distance with a flow above 0; ∞ if any is not finite."""
    flow = _geometric_mean(rows)
    if not np.isfinite(flow).all():
        return float("inf")
    reached = max(int(np.flatnonzero(flow > 0)[-1]), 1)
    return float(flow[min(reached, len(flow) - 1)] ** (1 / reached))


def _verdict(rate: float, steps: int, saturation: float, finite: bool) -> str:
    with np.errstate(over="ignore"):
        whole_way = np.float64(rate) ** (steps - 1)
    if not finite or whole_way > FACTOR:
        return "exploding"
    if whole_way < 1 / FACTOR:
        return "saturated" if saturation > 0.5 else "vanishing"
    return "healthy"
