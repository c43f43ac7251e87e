"""Retention: linear attention with a decay for each head that is fixed, and keys that turn with their position.

    q, k, v = W x⁽ᵗ⁾,       (q_{2i}, q_{2i+1}), (k_{2i}, k_{2i+1}) rotated by the angle n θᵢ at position n
    S⁽ᵗ⁾ = γ S⁽ᵗ⁻¹⁾ + k⁽ᵗ⁾ v⁽ᵗ⁾ᵀ,        y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q⁽ᵗ⁾/√K          for each head
    γ_h = 1 − 2^{−5−h},  h = 0, 1, …;       θᵢ = 10000^{−2i/K}

qᵀ k then depends on the distance of two steps alone.  The position counts the steps that happen since the last reset
and is carried beside S (`Staged`).

W → `params.qkv`.

References: Sun et al. 2023, "Retentive network", §2.1 and §2.2.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, in_rank, matmul
from jaxrnn.core.types import Key
from jaxrnn.linear.matrix.heads import merge_heads, split_qkv, zero_state
from jaxrnn.linear.matrix_state import Erase, Outer
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.stages import Staged, Steps


class RetentionParams(NamedTuple):
    """The projections; the decays are fixed.

    >>> Retention(input_size=3, heads=2, key_size=4, value_size=5).init(jax.random.key(0))._fields
    ('qkv',)
    """

    qkv: Float[Array, "input three"]
    """Wᵀ: `[input, heads · (2 K + V)]`."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Retention:
    """S⁽ᵗ⁾ = γ S⁽ᵗ⁻¹⁾ + k vᵀ, y⁽ᵗ⁾ = S⁽ᵗ⁾ᵀ q/√K, with γ fixed for each head.

    Args:
      input_size: the size of x.
      heads: the number of states; y has the size heads · value_size.
      key_size: K, the size of the keys of a head.
      value_size: V, the size of the values of a head.
      rotate: whether q and k are rotated with their position; K is then even.

    Raises:
      ValueError: a size below 1, or an odd `key_size` to be rotated.

    >>> cell = Retention(input_size=3, heads=2, key_size=4, value_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> int(carry.first), carry.state.shape, y.shape
    (1, (2, 4, 5), (10,))

    References: Sun et al. 2023.
    """

    input_size: int
    heads: int
    key_size: int
    value_size: int
    rotate: bool = True

    def __post_init__(self):
        check_positive(input_size=self.input_size, heads=self.heads)
        check_positive(key_size=self.key_size, value_size=self.value_size)
        if self.rotate and self.key_size % 2:
            raise ValueError(f"`key_size` must be even, to rotate pairs, got {self.key_size}. Or use `rotate=False`.")

    def init(self, key: Key) -> RetentionParams:
        """Draw W by Glorot's rule."""
        return RetentionParams(
            input_weights(key, (self.input_size, self.heads * (2 * self.key_size + self.value_size)))
        )

    def initial_carry(self, params: RetentionParams, batch_shape: tuple[int, ...] = ()) -> Any:
        """Return S⁽⁰⁾ = 0, `[*batch, heads, K, V]`, and the position 0."""
        state = zero_state(params.qkv, *batch_shape, self.heads, self.key_size, self.value_size)
        return Staged(jnp.zeros(batch_shape, jnp.int32), state) if self.rotate else state

    def project(self, params: RetentionParams, xs: Array) -> tuple[Array, Array, Array]:
        """Return q, k and v of each head."""
        check_features("xs", xs, input_size=self.input_size)
        return split_qkv(matmul(xs, params.qkv), self.heads, self.key_size)

    def lead(self, params: RetentionParams, first: Int[Array, "*batch"], z, steps: Steps):
        """Rotate q and k."""
        q, k, v = z
        first, position = steps.count(first, v)
        return first, (rotated(q, position), rotated(k, position), v)

    def coefficients(self, params: RetentionParams, z) -> tuple[Erase, Outer]:
        """Return log d = log γ; the addend is k vᵀ."""
        _, k, v = z
        decay = np.log1p(-(2.0 ** (-5 - np.arange(self.heads))))
        return Erase(jnp.asarray(decay, accumulator(params.qkv.dtype))[:, None]), Outer(k, v)

    def query(self, params: RetentionParams, z) -> Float[Array, "*batch heads key"]:
        """Return q/√K."""
        return z[0] / math.sqrt(self.key_size)

    def answer(self, params: RetentionParams, r: Float[Array, "*batch heads value"], z) -> Array:
        """Return the heads side by side."""
        return merge_heads(r)

    step = linear_step


def rotated(x: Float[Array, "*batch heads key"], position: Int[Array, "*batch"]) -> Float[Array, "*batch heads key"]:
    """Rotate each pair (x_{2i}, x_{2i+1}) by the angle position · θᵢ.

    References: Su et al. 2021, "RoFormer", §3.4.
    """
    pairs = x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2)
    theta = 10000.0 ** (-np.arange(pairs.shape[-2]) / pairs.shape[-2])
    position = position[..., None, None].astype(x.dtype)
    angle = position * in_rank(jnp.asarray(theta.astype(x.dtype)), position)
    cos, sin, even, odd = jnp.cos(angle), jnp.sin(angle), pairs[..., 0], pairs[..., 1]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)
