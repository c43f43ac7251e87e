"""Gated linear attention: a matrix memory in which each unit of the key decays at a rate of its own.

    q, k, v = W x⁽ᵗ⁾,      α⁽ᵗ⁾ = σ(Wᵅ x⁽ᵗ⁾ + b)^{1/τ},  Wᵅ of a low rank,  τ = 16
    S⁽ᵗ⁾ = diag(α⁽ᵗ⁾) S⁽ᵗ⁻¹⁾ + k⁽ᵗ⁾ v⁽ᵗ⁾ᵀ,         y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾/√K           for each head

W → `params.qkv` (q, k, v side by side, each by heads), (Wᵅ)ᵀ = down · up → `params.down`, `params.up`, b → `params.b`.

References: Yang et al. 2024, "Gated linear attention transformers with hardware-efficient training", §4.1 and §4.4.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import add_bias, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, split_heads, split_qkv, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step


class GLAParams(NamedTuple):
    """The projections and the gate.

    >>> GLA(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('qkv', 'down', 'up', 'b')
    """

    qkv: Float[Array, "input three"]
    """Wᵀ: `[input, heads · (2 K + V)]`."""
    down: Float[Array, "input rank"]
    """The first factor of (Wᵅ)ᵀ."""
    up: Float[Array, "rank keys"]
    """The second: `[rank, heads · K]`."""
    b: Float[Array, " keys"]
    """b."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class GLA:
    """S⁽ᵗ⁾ = diag(α) S⁽ᵗ⁻¹⁾ + k vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q/√K, for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      rank: the rank of Wᵅ.
      temperature: τ; the larger, the slower the decay.

    Raises:
      ValueError: a size below 1, or a temperature that is not above 0.

    >>> cell = GLA(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> state, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> state.shape, y.shape
    ((2, 4, 5), (10,))

    References: Yang et al. 2024.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    rank: int = 16
    temperature: float = 16.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads, rank=self.rank)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be above 0, got {self.temperature}.")

    def init(self, key: Key) -> GLAParams:
        """Draw all matrices by Glorot's rule; set b = 0."""
        keys, n = jax.random.split(key, 3), self.heads * self.key_size
        return GLAParams(
            qkv=input_weights(keys[0], (self.input_size, 2 * n + self.heads * self.value_size)),
            down=input_weights(keys[1], (self.input_size, self.rank)),
            up=input_weights(keys[2], (self.rank, n)),
            b=jnp.zeros(n),
        )

    def initial_carry(self, params: GLAParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`."""
        return zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size)

    def project(self, params: GLAParams, xs: Array) -> tuple[Array, Array]:
        """Return W x⁽ᵗ⁾ and Wᵅ x⁽ᵗ⁾ + b."""
        check_features("xs", xs, input_size=self.input_size)
        return matmul(xs, params.qkv), add_bias(matmul(matmul(xs, params.down), params.up), params.b)

    def coefficients(self, params: GLAParams, z: tuple[Array, Array]) -> tuple[Erase, Outer]:
        """Return log d = log σ(zᵅ)/τ; the addend is k vᵀ."""
        _, k, v = split_qkv(z[0], self.heads, self.key_size)
        return Erase(split_heads(jax.nn.log_sigmoid(z[1]) / self.temperature, self.heads)), Outer(k, v)

    def query(self, params: GLAParams, z: tuple[Array, Array]) -> Float[Array, "*batch heads key"]:
        """Return q/√K."""
        return split_qkv(z[0], self.heads, self.key_size)[0] / math.sqrt(self.key_size)

    def answer(self, params: GLAParams, r: Float[Array, "*batch heads value"], z: tuple[Array, Array]) -> Array:
        """Return the heads side by side."""
        return merge_heads(r)

    step = linear_step
