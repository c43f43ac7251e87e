"""A GRU for series with missing values: while nothing is observed, inputs decay to their mean and the state fades.

    m⁽ᵗ⁾ = 1 where x⁽ᵗ⁾ is observed, 0 where it is NaN
    δ⁽ᵗ⁾ = Δt + (1 − m⁽ᵗ⁻¹⁾) ⊙ δ⁽ᵗ⁻¹⁾                           time since each feature was last observed
    γˣ = exp(−max(0, wˣ ⊙ δ⁽ᵗ⁾ + bˣ)),     γʰ = exp(−max(0, bʰ + Wʰ δ⁽ᵗ⁾))
    x̂⁽ᵗ⁾ = m⁽ᵗ⁾ ⊙ x⁽ᵗ⁾ + (1 − m⁽ᵗ⁾) ⊙ (γˣ ⊙ x′ + (1 − γˣ) ⊙ x̄)      x′ the last observation, x̄ the mean
    ĥ = γʰ ⊙ h⁽ᵗ⁻¹⁾
    r, z = σ(b + U x̂⁽ᵗ⁾ + W ĥ + V m⁽ᵗ⁾),     n = tanh(b + U x̂⁽ᵗ⁾ + W (r ⊙ ĥ) + V m⁽ᵗ⁾)
    h⁽ᵗ⁾ = (1 − z) ⊙ ĥ + z ⊙ n,              y⁽ᵗ⁾ = h⁽ᵗ⁾

NaN marks missing values, feature by feature, as in the raw series: no gradient reaches them, and no gradient becomes
NaN.  As in the paper, z is the share of the *new* value; in `jaxrnn.cells.GRU` it is the share of the old one.  At the
first step, δ is 0 in the paper and Δt here.  From the initial carry, where h = 0 and x′ = x̄, both give the same
result.

r, z, n side by side → `params.u`, `.w`, `.v`, `.b`; wˣ, bˣ → `.w_x`, `.b_x`; Wʰ, bʰ → `.w_h`, `.b_h`; x̄ → `.mean`.

References: Che, Purushotham, Cho, Sontag & Liu 2018, "Recurrent neural networks for multivariate time series with
missing values", equations 3 to 15.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.timed_inputs import as_timed, check_step_length
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import (
    accumulator,
    add_bias,
    in_rank,
    matmul,
    matmul_in_loop,
    matmul_transposed,
    outer_sum,
    row_sum,
)
from jaxrnn.core.types import Inputs, Key, Timed


class GRUDParams(NamedTuple):
    """The parameters of the gates r, z and n side by side, and the decay rates.

    >>> GRUD(input_size=3, hidden_size=5).init(jax.random.key(0)).w_h.shape
    (3, 5)
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ: `[input, 3·hidden]`."""
    w: Float[Array, "hidden gates_hidden"]
    """Wᵀ: `[hidden, 3·hidden]`."""
    v: Float[Array, "input gates_hidden"]
    """Vᵀ, which reads m: `[input, 3·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """b: `[3·hidden]`."""
    w_x: Float[Array, " input"]
    """wˣ, the decay rate of each feature."""
    b_x: Float[Array, " input"]
    """bˣ."""
    w_h: Float[Array, "input hidden"]
    """Wʰᵀ, the decay rates of the state."""
    b_h: Float[Array, " hidden"]
    """bʰ."""
    mean: Float[Array, " input"]
    """x̄: 0 for a standardized series, else `params._replace(mean=...)`."""


class GRUDCarry(NamedTuple):
    """The state, and what was last observed.

    >>> GRUDCarry(h="h", last="x", elapsed="δ").last
    'x'
    """

    h: Array
    """h⁽ᵗ⁾, the output."""
    last: Array
    """x′: the last observation of each feature, x̄ before the first."""
    elapsed: Array
    """The time between it and step t, 0 where step t is observed."""


class GRUDResidual(NamedTuple):
    """The record of a step for its backward."""

    before: GRUDCarry
    """The state before the step."""
    x: Float[Array, "*batch input"]
    """x⁽ᵗ⁾, 0 where it is missing."""
    m: Float[Array, "*batch input"]
    """m⁽ᵗ⁾."""
    dt: Float[Array, "*batch 1"]
    """Δt."""
    of_x: Float[Array, "*batch input"]
    """γˣ."""
    of_h: Float[Array, "*batch hidden"]
    """γʰ."""
    r: Float[Array, "*batch hidden"]
    """The reset gate."""
    z: Float[Array, "*batch hidden"]
    """The update gate."""
    n: Float[Array, "*batch hidden"]
    """The candidate."""


class GRUDLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch gates_hidden"]
    """∇ of the pre-activations of r, z and n: `[*batch, 3·hidden]`."""
    dof_x: Float[Array, "*batch input"]
    """∇ of wˣ ⊙ δ + bˣ."""
    dof_h: Float[Array, "*batch hidden"]
    """∇ of bʰ + Wʰ δ."""
    dfilled: Float[Array, "*batch input"]
    """∇ of x̂⁽ᵗ⁾."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class GRUD:
    """A GRU whose missing inputs (NaN) decay from the last observation to the mean, and whose state fades with them.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      dt: Δt of every step where the input is an array and not `Timed`.

    Raises:
      ValueError: a size below 1, a Δt that is not above 0.

    >>> from jaxrnn import unroll
    >>> cell = GRUD(input_size=2, hidden_size=5)
    >>> xs = jnp.array([[1.0, jnp.nan], [jnp.nan, jnp.nan], [jnp.nan, 2.0]])
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), xs)
    >>> bool(jnp.isfinite(ys).all()), carry.last.tolist(), carry.elapsed.tolist()
    (True, [1.0, 2.0], [2.0, 0.0])

    References: Che et al. 2018.
    """

    input_size: int
    hidden_size: int
    dt: float = 1.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_step_length(self.dt)

    def init(self, key: Key) -> GRUDParams:
        """Draw U and V by Glorot's uniform rule, W orthogonal, and positive rates, where max(0, ·) has a gradient."""
        check_key(key=key)
        size, n = self.input_size, self.hidden_size
        u_key, w_key, v_key, x_key, h_key = jax.random.split(key, 5)
        return GRUDParams(
            u=per_gate(input_weights, u_key, 3, (size, n)),
            w=per_gate(recurrent_weights, w_key, 3, (n, n)),
            v=per_gate(input_weights, v_key, 3, (size, n)),
            b=jnp.zeros(3 * n),
            w_x=jax.random.uniform(x_key, (size,)),
            b_x=jnp.zeros(size),
            w_h=jax.random.uniform(h_key, (size, n)) / size,
            b_h=jnp.zeros(n),
            mean=jnp.zeros(size),
        )

    def initial_carry(self, params: GRUDParams, batch_shape: tuple[int, ...] = ()) -> GRUDCarry:
        """Return h⁽⁰⁾ = 0 and x′ = x̄, with no time elapsed."""
        dtype = accumulator(params.w.dtype)
        last = jnp.broadcast_to(params.mean.astype(dtype), (*batch_shape, self.input_size))
        return GRUDCarry(jnp.zeros((*batch_shape, self.hidden_size), dtype), last, jnp.zeros_like(last))

    carry_parts = h_is_output

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` as it is, an array with equal steps `dt`."""
        return as_timed(xs, self.dt, input_size=self.input_size)

    def project(self, params: GRUDParams, xs: Inputs) -> tuple[Array, Array, Array, Array]:
        """Return b + V m⁽ᵗ⁾, `[..., 3·hidden]`; x⁽ᵗ⁾ with 0 for missing values, and m⁽ᵗ⁾; Δt, `[..., 1]`."""
        timed, dtype = self.timed(xs), accumulator(params.w.dtype)
        observed = ~jnp.isnan(timed.x)
        x, m = jnp.where(observed, timed.x, 0).astype(dtype), observed.astype(dtype)
        return add_bias(matmul(m, params.v), params.b), x, m, timed.dt.astype(dtype)

    def step(self, params: GRUDParams, carry: GRUDCarry, z: tuple) -> tuple[GRUDCarry, Array]:
        """Decay the input and the state over δ⁽ᵗ⁾, then run one step of the GRU."""
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: GRUDParams, carry: GRUDCarry, z: tuple):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: GRUDParams, carry: GRUDCarry, z: tuple):
        (a, x, m, dt), n = z, self.hidden_size
        delta = carry.elapsed + dt
        of_x = jnp.exp(-jax.nn.relu(in_rank(params.w_x, delta) * delta + in_rank(params.b_x, delta)))
        of_h = jnp.exp(-jax.nn.relu(add_bias(matmul(delta, params.w_h), params.b_h)))
        h = of_h * carry.h
        a = a + matmul(_filled(params, carry.last, x, m, of_x), params.u)
        r, update = jnp.split(jax.nn.sigmoid(a[..., : 2 * n] + matmul(h, params.w[:, : 2 * n])), 2, axis=-1)
        new = jnp.tanh(a[..., 2 * n :] + matmul(r * h, params.w[:, 2 * n :]))
        h = (1 - update) * h + update * new
        after = GRUDCarry(h, m * x + (1 - m) * carry.last, (1 - m) * delta)
        return (after, h), GRUDResidual(carry, x, m, dt, of_x, of_h, r, update, new)

    def step_bwd(self, params: GRUDParams, residual: GRUDResidual, dcarry: GRUDCarry, dy: Array):
        """Apply the recursion of 2.2.2: through the GRU, then through the decays of the state and of the input."""
        (h, last, elapsed), x, m, dt, of_x, of_h, r, update, new = residual
        n, delta, mean = self.hidden_size, elapsed + dt, in_rank(params.mean, x)
        faded, dh = of_h * h, dcarry.h + dy
        dan = dh * update * (1 - new**2)
        dseen = matmul_transposed(dan, params.w[:, 2 * n :])
        dgates = jnp.concatenate([dseen * faded * r * (1 - r), dh * (new - faded) * update * (1 - update)], axis=-1)
        da = jnp.concatenate([dgates, dan], axis=-1)
        dfaded = dh * (1 - update) + dseen * r + matmul_transposed(dgates, params.w[:, : 2 * n])
        dfilled = matmul_transposed(da, params.u)
        dof_h = -dfaded * faded * (of_h < 1)  # relu has the slope 0 at 0
        dof_x = -dfilled * (1 - m) * (last - mean) * of_x * (of_x < 1)
        ddelta = dcarry.elapsed * (1 - m) + dof_x * in_rank(params.w_x, x) + matmul_transposed(dof_h, params.w_h)
        before = GRUDCarry(h=dfaded * of_h, last=(dcarry.last + dfilled * of_x) * (1 - m), elapsed=ddelta)
        estimate = of_x * last + (1 - of_x) * mean
        dm = dfilled * (x - estimate) + dcarry.last * (x - last) - dcarry.elapsed * delta
        dz = da, (dfilled + dcarry.last) * m, dm, jnp.sum(ddelta, axis=-1, keepdims=True)
        return before, dz, GRUDLocals(da, dof_x, dof_h, dfilled)

    def weight_bwd(self, params: GRUDParams, residuals: GRUDResidual, locals: GRUDLocals) -> GRUDParams:
        """Apply the sums of 2.2.3 for everything but V and b, which come from `project`."""
        (h, last, elapsed), x, m, dt, of_x, of_h, r, *_ = residuals
        (da, dof_x, dof_h, dfilled), n = locals, self.hidden_size
        delta, faded = elapsed + dt, of_h * h
        w = jnp.split(params.w, [2 * n], axis=-1)
        dw = outer_sum(faded, da[..., : 2 * n], w[0]), outer_sum(r * faded, da[..., 2 * n :], w[1])
        return GRUDParams(
            u=outer_sum(_filled(params, last, x, m, of_x), da, params.u),
            w=jnp.concatenate(dw, axis=-1),
            v=jnp.zeros_like(params.v),
            b=jnp.zeros_like(params.b),
            w_x=row_sum(dof_x * delta, params.w_x),
            b_x=row_sum(dof_x, params.b_x),
            w_h=outer_sum(delta, dof_h, params.w_h),
            b_h=row_sum(dof_h, params.b_h),
            mean=row_sum(dfilled * (1 - m) * (1 - of_x), params.mean),
        )


def _filled(params: GRUDParams, last: Array, x: Array, m: Array, of_x: Array) -> Array:
    """Return x̂⁽ᵗ⁾."""
    return m * x + (1 - m) * (of_x * last + (1 - of_x) * in_rank(params.mean, x))
