"""Mamba: a diagonal state space whose step size, input and output matrices depend on the input.

    x = SiLU(conv(W u⁽ᵗ⁾) + b),      Δ = softplus(W_Δ x + δ),   W_Δ of a low rank,      (B, C) = W_s x
    h⁽ᵗ⁾ = exp(−Δ exp(A)) ⊙ h⁽ᵗ⁻¹⁾ + (Δ ⊙ x) Bᵀ,       h ∈ R^{hidden × N}
    y⁽ᵗ⁾ = h⁽ᵗ⁾ C + D ⊙ x

u⁽ᵗ⁾ is the input.  Each of the `hidden` units has N states of its own, which its own x drives; all units share B and C.
Unlike in Mamba-2, the decays differ from state to state, so the state is computed element by element.

Wᵀ → `params.u`, the filters → `params.conv`, b → `params.conv_b`, (W_Δ)ᵀ = down · up → part of `params.select` ·
`params.dt`, (W_s)ᵀ → the rest of `params.select`, δ → `params.dt_bias`, A → `params.a_log`, D → `params.d`.  The gate
that multiplies y belongs to the block around the cell.

References: Gu & Dao 2023, "Mamba: linear-time sequence modeling with selective state spaces", §3.2 to §3.6.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, step_size_bias
from jaxrnn.core.precision import accumulator, add_bias, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.short_conv import convolve, empty_register, init_filters
from jaxrnn.linear.stages import Staged, Steps


class MambaParams(NamedTuple):
    """The projections, the convolution, and the constants of each unit.

    >>> Mamba(input_size=3, hidden_size=5, state_size=4, rank=2).init(jax.random.key(0))._fields
    ('u', 'conv', 'conv_b', 'select', 'dt', 'dt_bias', 'a_log', 'd')
    """

    u: Float[Array, "input hidden"]
    """Wᵀ."""
    conv: Float[Array, "width hidden"]
    """The filters, the oldest input first."""
    conv_b: Float[Array, " hidden"]
    """b."""
    select: Float[Array, "hidden selected"]
    """The first factor of W_Δ, and W_s: `[hidden, rank + 2 N]`."""
    dt: Float[Array, "rank hidden"]
    """The second factor of W_Δ."""
    dt_bias: Float[Array, " hidden"]
    """δ."""
    a_log: Float[Array, "hidden states"]
    """A."""
    d: Float[Array, " hidden"]
    """D."""


class MambaInput(NamedTuple):
    """The result of `lead`."""

    x: Array
    """x: `[..., hidden]`."""
    dt: Array
    """Δ: `[..., hidden]`."""
    b: Array
    """B: `[..., N]`."""
    c: Array
    """C: `[..., N]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Mamba:
    """h⁽ᵗ⁾ = exp(−Δ exp(A)) ⊙ h⁽ᵗ⁻¹⁾ + (Δ ⊙ x) Bᵀ, y⁽ᵗ⁾ = h⁽ᵗ⁾ C + D ⊙ x.

    Args:
      input_size: the size of the input.
      hidden_size: the number of units, the size of y.
      state_size: N, the number of states of each unit.
      rank: the rank of W_Δ.
      conv: the width of the convolution over time.

    Raises:
      ValueError: a size below 1.

    >>> cell = Mamba(input_size=3, hidden_size=5, state_size=4, rank=2)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.state.shape, y.shape
    ((5, 4), (5,))

    References: Gu & Dao 2023.
    """

    input_size: int
    hidden_size: int
    state_size: int = 16
    rank: int = 8
    conv: int = 4

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, state_size=self.state_size)
        check_positive(rank=self.rank, conv=self.conv)

    def init(self, key: Key) -> MambaParams:
        """Set exp(A) = 1, …, N per unit and D = 1; draw softplus(δ) log-uniform in [1e-3, 0.1], matrices by Glorot."""
        keys, n = jax.random.split(key, 6), self.hidden_size
        bound = self.rank**-0.5
        return MambaParams(
            u=input_weights(keys[0], (self.input_size, n)),
            conv=init_filters(keys[1], self.conv, n),
            conv_b=init_filters(keys[2], 1, n, self.conv)[0],
            select=input_weights(keys[3], (n, self.rank + 2 * self.state_size)),
            dt=jax.random.uniform(keys[4], (self.rank, n), minval=-bound, maxval=bound),
            dt_bias=step_size_bias(keys[5], (n,)),
            a_log=jnp.broadcast_to(jnp.log(jnp.arange(1.0, self.state_size + 1)), (n, self.state_size)),
            d=jnp.ones(n),
        )

    def initial_carry(self, params: MambaParams, batch_shape: tuple[int, ...] = ()) -> Staged:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden, N]`, and an empty register for the convolution."""
        h = jnp.zeros((*batch_shape, self.hidden_size, self.state_size), accumulator(params.u.dtype))
        return Staged(empty_register(params.conv, batch_shape), h)

    def project(self, params: MambaParams, xs: Array) -> Array:
        """Return W u⁽ᵗ⁾ for every t."""
        check_features("xs", xs, input_size=self.input_size)
        return matmul(xs, params.u)

    def lead(self, params: MambaParams, first: Array, z: Array, steps: Steps) -> tuple[Array, MambaInput]:
        """Run the convolution, and return what it selects."""
        first, taps = steps.window(first, z)
        x = jax.nn.silu(add_bias(convolve(params.conv, taps), params.conv_b))
        low, b, c = jnp.split(matmul(x, params.select), (self.rank, self.rank + self.state_size), axis=-1)
        return first, MambaInput(x, jax.nn.softplus(add_bias(matmul(low, params.dt), params.dt_bias)), b, c)

    def coefficients(self, params: MambaParams, z: MambaInput) -> tuple[Array, Array]:
        """Return a = exp(−Δ exp(A)), b = (Δ ⊙ x) Bᵀ."""
        dt = z.dt[..., None]
        rates = in_rank(jnp.exp(params.a_log.astype(accumulator(params.a_log.dtype))), dt)
        return jnp.exp(-dt * rates), (z.dt * z.x)[..., None] * z.b[..., None, :]

    def read(self, params: MambaParams, carry: Array, z: MambaInput) -> Array:
        """Return h C + D ⊙ x."""
        return jnp.sum(carry * z.c[..., None, :], axis=-1) + in_rank(params.d, z.x) * z.x

    step = linear_step
