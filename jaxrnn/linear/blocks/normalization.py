"""Normalization by the root mean square, as a function and as a layer of a stack.

    RMSNorm(x; γ) = γ ⊙ x / √(mean(x²) + ε)

Unlike layer normalization it subtracts no mean.  ε = 1e-6.

γ → `params.gain`.

References: Zhang & Sennrich 2019, "Root mean square layer normalization", §4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.precision import accumulator, in_rank
from jaxrnn.core.types import Key
from jaxrnn.linear.protocol import linear_step

LEAST_SQUARE = 1e-6
"""ε."""


def rms_norm(gain: Float[Array, " size"], x: Float[Array, "*batch size"], groups: int = 1) -> Array:
    """Return γ ⊙ x/√(mean(x²) + ε) in at least float32, with one mean for each of `groups` equal parts of x.

    >>> rms_norm(jnp.ones(2), jnp.array([-3.0, 3.0])).round(3).tolist()
    [-1.0, 1.0]
    """
    x = x.astype(accumulator(x.dtype))
    parts = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    parts = parts * lax.rsqrt(jnp.mean(parts * parts, axis=-1, keepdims=True) + LEAST_SQUARE)
    return in_rank(gain, x) * parts.reshape(x.shape)


class NormalizeParams(NamedTuple):
    """The gains.

    >>> Normalize(size=3).init(jax.random.key(0)).gain.tolist()
    [1.0, 1.0, 1.0]
    """

    gain: Float[Array, " size"]
    """γ."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Normalize:
    """y⁽ᵗ⁾ = RMSNorm(x⁽ᵗ⁾; γ), a layer without a state.

    Args:
      size: the size of x and of y.

    Raises:
      ValueError: a size below 1.

    >>> cell = Normalize(size=2)
    >>> params = cell.init(jax.random.key(0))
    >>> cell.step(params, (), cell.project(params, jnp.array([1.0, -1.0])))[1].round(3).tolist()
    [1.0, -1.0]

    References: Zhang & Sennrich 2019.
    """

    size: int

    def __post_init__(self):
        check_positive(size=self.size)

    def init(self, key: Key) -> NormalizeParams:
        """Return γ = 1."""
        check_key(key=key)
        return NormalizeParams(jnp.ones(self.size))

    def initial_carry(self, params: NormalizeParams, batch_shape: tuple[int, ...] = ()) -> tuple[()]:
        """Return an empty carry."""
        return ()

    def project(self, params: NormalizeParams, xs: Array) -> Array:
        """Return RMSNorm(x⁽ᵗ⁾)."""
        check_features("xs", xs, size=self.size)
        return rms_norm(params.gain, xs).astype(accumulator(params.gain.dtype))

    def coefficients(self, params: NormalizeParams, z: Array) -> tuple[tuple, tuple]:
        """Return None, because there is no state."""
        return (), ()

    def read(self, params: NormalizeParams, carry: tuple, z: Array) -> Array:
        """Return z⁽ᵗ⁾ unchanged."""
        return z

    def step(self, params: NormalizeParams, carry: tuple, z: Array) -> tuple[tuple, Array]:
        """Return z⁽ᵗ⁾ unchanged."""
        return linear_step(self, params, carry, z)
