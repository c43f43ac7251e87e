"""Mamba-2, the state space dual: a scalar decay for each head, keys and queries that the heads share.

    x, B, C = SiLU(conv(W u⁽ᵗ⁾) + b),       Δ = softplus(Wᐞ u⁽ᵗ⁾ + δ)
    S⁽ᵗ⁾ = exp(−Δ exp(A)) S⁽ᵗ⁻¹⁾ + B (Δ x)ᵀ,      y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ C + D x            for each head

u⁽ᵗ⁾ is the input, x one head of it after projection and convolution.  B takes the place of a key and C that of a query.

Wᵀ → `params.u` (x by heads, B, C side by side), the filters → `params.conv`, b → `params.conv_b`, (Wᐞ)ᵀ → `params.dt`,
δ → `params.dt_bias`, A → `params.a_log`, D → `params.d`.

References: Dao & Gu 2024, "Transformers are SSMs", §2 and §7.1 (one group of B and C).
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, step_size_bias
from jaxrnn.core.precision import add_bias, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, softplus_decay, split_heads, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.short_conv import convolve, empty_register, init_filters
from jaxrnn.linear.stages import Staged, Steps


class Mamba2Params(NamedTuple):
    """The projections, the convolution, and the constants of each head.

    >>> Mamba2(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('u', 'conv', 'conv_b', 'dt', 'dt_bias', 'a_log', 'd')
    """

    u: Float[Array, "input channels"]
    """Wᵀ: `[input, heads · V + 2 K]`."""
    conv: Float[Array, "width channels"]
    """The filters, the oldest input first."""
    conv_b: Float[Array, " channels"]
    """b."""
    dt: Float[Array, "input heads"]
    """(Wᐞ)ᵀ."""
    dt_bias: Float[Array, " heads"]
    """δ."""
    a_log: Float[Array, " heads"]
    """A."""
    d: Float[Array, " heads"]
    """D."""


class Mamba2Input(NamedTuple):
    """The result of `project`."""

    channels: Array
    """W u, after `lead` convolved."""
    dt: Array
    """Wᐞ u + δ."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Mamba2:
    """S⁽ᵗ⁾ = exp(−Δ exp(A)) S⁽ᵗ⁻¹⁾ + B (Δ x)ᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ C + D x, for each head.

    Args:
      input_size: the size of the input.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of B and C (the state size N of the paper).
      value_size: V, the size of a head (P of the paper).
      conv: the width of the convolution over time.

    Raises:
      ValueError: a size below 1.

    >>> cell = Mamba2(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Dao & Gu 2024.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    conv: int = 4

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads, conv=self.conv)
        check_positive(key_size=self.key_size, value_size=self.value_size)

    def init(self, key: Key) -> Mamba2Params:
        """Draw exp(A) uniform in [1, 16], softplus(δ) log-uniform in [1e-3, 0.1], matrices by Glorot; set D = 1."""
        keys, channels = jax.random.split(key, 6), self.heads * self.value_size + 2 * self.key_size
        return Mamba2Params(
            u=input_weights(keys[0], (self.input_size, channels)),
            conv=init_filters(keys[1], self.conv, channels),
            conv_b=init_filters(keys[2], 1, channels, self.conv)[0],
            dt=input_weights(keys[3], (self.input_size, self.heads)),
            dt_bias=step_size_bias(keys[4], (self.heads,)),
            a_log=jnp.log(jax.random.uniform(keys[5], (self.heads,), minval=1.0, maxval=16.0)),
            d=jnp.ones(self.heads),
        )

    def initial_carry(self, params: Mamba2Params, batch_shape: tuple[int, ...] = ()) -> Staged:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`, and an empty register for the convolution."""
        state = zero_state(params.u, *batch_shape, self.heads, self.key_size, self.value_size)
        return Staged(empty_register(params.conv, batch_shape), state)

    def project(self, params: Mamba2Params, xs: Array) -> Mamba2Input:
        """Return W u⁽ᵗ⁾, and Wᐞ u⁽ᵗ⁾ + δ."""
        check_features("xs", xs, input_size=self.input_size)
        return Mamba2Input(matmul(xs, params.u), add_bias(matmul(xs, params.dt), params.dt_bias))

    def lead(self, params: Mamba2Params, first: Array, z: Mamba2Input, steps: Steps) -> tuple[Array, Mamba2Input]:
        """Run the convolution over time of x, B and C."""
        first, taps = steps.window(first, z.channels)
        return first, z._replace(channels=add_bias(convolve(params.conv, taps), params.conv_b))

    def coefficients(self, params: Mamba2Params, z: Mamba2Input) -> tuple[Erase, Outer]:
        """Return log d = −Δ exp(A); the addend is B (Δ x)ᵀ."""
        x, b, _ = self._split(z)
        v = jax.nn.softplus(z.dt)[..., None] * x
        return Erase(softplus_decay(params.a_log, z.dt)[..., None]), Outer(self._for_heads(b), v)

    def query(self, params: Mamba2Params, z: Mamba2Input) -> Float[Array, "*batch heads key"]:
        """Return C, the same for all heads."""
        return self._for_heads(self._split(z)[2])

    def answer(self, params: Mamba2Params, r: Float[Array, "*batch heads value"], z: Mamba2Input) -> Array:
        """Return r + D x, the heads side by side."""
        return merge_heads(r + in_rank(params.d[:, None], r) * self._split(z)[0])

    step = linear_step

    def _split(self, z):
        """Return x of each head, B and C."""
        n = self.heads * self.value_size
        x, b, c = jnp.split(jax.nn.silu(z.channels), (n, n + self.key_size), axis=-1)
        return split_heads(x, self.heads), b, c

    def _for_heads(self, a):
        return jnp.broadcast_to(a[..., None, :], (*a.shape[:-1], self.heads, a.shape[-1]))
