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
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul
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
        (a, x, m, dt), n = z, self.hidden_size
        delta = carry.elapsed + dt
        of_x = jnp.exp(-jax.nn.relu(in_rank(params.w_x, delta) * delta + in_rank(params.b_x, delta)))
        of_h = jnp.exp(-jax.nn.relu(add_bias(matmul(delta, params.w_h), params.b_h)))
        last = m * x + (1 - m) * carry.last
        filled = m * x + (1 - m) * (of_x * carry.last + (1 - of_x) * in_rank(params.mean, x))
        h = of_h * carry.h
        a = a + matmul(filled, params.u)
        gates = jax.nn.sigmoid(a[..., : 2 * n] + matmul(h, params.w[:, : 2 * n]))
        r, update = gates[..., :n], gates[..., n:]
        new = jnp.tanh(a[..., 2 * n :] + matmul(r * h, params.w[:, 2 * n :]))
        h = (1 - update) * h + update * new
        return GRUDCarry(h, last, (1 - m) * delta), h
