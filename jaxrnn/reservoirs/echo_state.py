"""Measures of a reservoir's memory, and intrinsic plasticity.

The echo-state property: under the same input, two different initial states converge,

    ‖h⁽ᵗ⁾ − h′⁽ᵗ⁾‖ → 0,        with the mean rate (1/τ) log(‖h⁽τ⁾ − h′⁽τ⁾‖ / ‖h⁽⁰⁾ − h′⁽⁰⁾‖) < 0
    `forgetting_rate`

The short-term memory capacity: how well a linear read-out recovers the input of k steps ago,

    MC = Σₖ r²(x⁽ᵗ⁻ᵏ⁾, oₖ⁽ᵗ⁾) ≤ N                                                          `memory_capacity`

Intrinsic plasticity, before any read-out: each unit adapts its gain and bias, tanh(γ a + b), until its output is
approximately Gaussian with mean μ and deviation σ.  The rule minimizes the Kullback-Leibler divergence online:

    Δb = −η (−μ/σ² + (y/σ²)(2σ² + 1 − y² + μy)),        Δγ = η/γ + Δb a               `intrinsic_plasticity`

References: Jaeger 2001, "The echo state approach"; Jaeger 2001, "Short term memory in echo state networks" (GMD
report 152); Schrauwen, Wardermann, Verstraeten, Steil & Stroobandt 2008, "Improving reservoirs using intrinsic
plasticity"; chapter 6.2; Goodfellow et al. 2016, §10.8.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_choice, check_positive
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.reservoirs.reservoir import Reservoir, ReservoirParams
from jaxrnn.reservoirs.ridge_regression import ridge
from jaxrnn.unrolling.scan import unroll


def forgetting_rate(
    cell: Cell, params: Params, xs: Float[Array, "time *batch input"], one: Carry, other: Carry
) -> Float[Array, "*batch"]:
    """Return the mean exponential rate at which two initial states converge under one input; negative if they do.

    For close initial states it is the largest Lyapunov exponent along this input, for distant ones a test of the
    echo-state property.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      one: an initial carry, leading axes `[*batch]`.
      other: another initial carry.

    Returns:
      `[*batch]`; −∞ where the two states became equal.

    >>> cell = Reservoir(1, 50, radius=0.5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.zeros((40, 1))
    >>> rate = forgetting_rate(cell, params, xs, jnp.zeros(50), jnp.full(50, 1e-3))
    >>> bool(jnp.log(0.4) < rate < jnp.log(0.6))
    True

    References: Jaeger 2001, §3.1.
    """
    first, _ = unroll(cell, params, xs, one)
    second, _ = unroll(cell, params, xs, other)
    axis = jnp.ndim(xs) - 2
    before, after = (_distance(a, b, axis) for a, b in ((one, other), (first, second)))
    return (jnp.log(after) - jnp.log(before)) / jnp.shape(xs)[0]


def _distance(one: Carry, other: Carry, axis: int) -> Array:
    """Return the norm over all leaves and all axes after the batch axes."""

    def leaf(a, b):
        return jnp.sum(jnp.abs(a - b).reshape(*a.shape[:axis], -1) ** 2, axis=-1)

    return jnp.sqrt(sum(map(leaf, jax.tree.leaves(one), jax.tree.leaves(other))))


def memory_capacity(
    key: Key, cell: Cell, params: Params, *, delays: int, steps: int = 2000, washout: int = 200, penalty: float = 1e-9
) -> Float[Array, " delays"]:
    """Return r² of a linear read-out of the input 1, 2, …, `delays` steps ago; their sum is MC.

    Args:
      key: the key of the input, which is uniform in [−1, 1].
      cell: any cell with one input.
      params: its parameters.
      delays: the longest delay.
      steps: the number of steps to fit, and the number to measure.
      washout: the number of steps before them, at least `delays`.
      penalty: the penalty of the read-outs.

    Returns:
      `[delays]`.

    Raises:
      ValueError: a number below 1.

    >>> cell = Reservoir(1, 20, connections=1, activation="identity", radius=0.9)
    >>> capacity = memory_capacity(jax.random.key(1), cell, cell.init(jax.random.key(0)), delays=40)
    >>> bool(capacity[0] > 0.99), bool(capacity.sum() < 20.1)
    (True, True)

    References: Jaeger 2001, "Short term memory in echo state networks", §2.
    """
    check_positive(delays=delays, steps=steps, washout=washout)
    start = max(washout, delays)
    xs = jax.random.uniform(key, (start + 2 * steps, 1), minval=-1, maxval=1)
    _, hs = unroll(cell, params, xs)
    past = jnp.stack([xs[start - k : len(xs) - k, 0] for k in range(1, delays + 1)], axis=-1)
    fitted, measured = slice(0, steps), slice(steps, None)
    readout = ridge(hs[start:][fitted], past[fitted], penalty)
    os, truth = hs[start:][measured] @ readout.v + readout.c, past[measured]
    os, truth = os - os.mean(axis=0), truth - truth.mean(axis=0)
    return jnp.sum(os * truth, axis=0) ** 2 / (jnp.sum(os**2, axis=0) * jnp.sum(truth**2, axis=0))


def intrinsic_plasticity(
    cell: Reservoir,
    params: ReservoirParams,
    xs: Float[Array, "time input"],
    *,
    mean: float = 0.0,
    deviation: float = 0.3,
    learning_rate: float = 5e-4,
) -> ReservoirParams:
    """Adapt the gains and biases until the outputs of the units are approximately Gaussian over this input.

    The gain γ of a unit is multiplied into its weights u and w, so the result is an ordinary reservoir.  `radius` is
    then no longer its spectral radius: compute `spectral_radius(recurrent_matrix(cell, params))`.

    Args:
      cell: a reservoir of tanh units.
      params: the initial parameters.
      xs: the input, read once; concatenate copies for more passes.
      mean: μ.
      deviation: σ.
      learning_rate: η.

    Returns:
      The adapted parameters.

    Raises:
      ValueError: units other than tanh, or a deviation or rate that is not above 0.

    >>> cell = Reservoir(1, 30, connections=5, input_scaling=3.0)
    >>> params, xs = cell.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (4000, 1))
    >>> after = intrinsic_plasticity(cell, params, xs, deviation=0.2)
    >>> stds = [unroll(cell, p, xs[:500])[1].std() for p in (params, after)]
    >>> bool(stds[0] > 0.5), bool(0.15 < stds[1] < 0.3)
    (True, True)

    References: Schrauwen et al. 2008, §3.
    """
    check_choice("cell.activation", cell.activation, ("tanh",))
    for name, value in (("deviation", deviation), ("learning_rate", learning_rate)):
        if not value > 0:
            raise ValueError(f"`{name}` must be above 0, got {value!r}.")
    gains, biases = _adapt(cell, params, xs, jnp.array([mean, deviation, learning_rate]))
    return params._replace(u=params.u * gains, w=params.w * gains, b=biases)


@jax.jit
def _adapt(cell: Reservoir, params: ReservoirParams, xs: Array, options: Array) -> tuple[Array, Array]:
    mean, deviation, rate = options

    def step(state, x):
        h, gains, biases = state
        own = params._replace(u=params.u * gains, w=params.w * gains, b=biases)
        (h, _), (_, y) = cell.step_fwd(own, h, cell.project(own, x))
        a = (jnp.arctanh(jnp.clip(y, -1 + 1e-6, 1 - 1e-6)) - biases) / gains
        variance = deviation**2
        move = -rate * (-mean / variance + y / variance * (2 * variance + 1 - y**2 + mean * y))
        gains = jnp.maximum(gains + rate / gains + move * a, 1e-3)  # a step too long must not turn a unit round
        return (h, gains, biases + move), None

    start = cell.initial_carry(params), jnp.ones_like(params.b), params.b
    return lax.scan(step, start, xs)[0][1:]
