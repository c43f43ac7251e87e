"""A short causal convolution over time, separately for each unit.

    y⁽ᵗ⁾ = g(Σ_{j < W} ω_j ⊙ x⁽ᵗ⁻ʲ⁾ + b)

As a cell, its carry is a shift register of the last W − 1 inputs, so streams continue, padding is skipped, and packed
episodes are independent.  Over a whole sequence it is a sum of W shifted arrays (`jaxrnn.linear.stages`).
Inputs before the first step count as 0.

ω_{W−1}, …, ω₀ → the rows of `params.w`, the oldest input first; b → `params.b`.

References: Fu et al. 2023, "Hungry hungry hippos", §3.1 (shift SSM); Gu & Dao 2023, "Mamba", §3.4.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.precision import accumulator, add_bias
from jaxrnn.core.types import Key
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.stages import Staged, Steps

ACTIVATIONS = {"silu": jax.nn.silu, "identity": lambda a: a}
"""The choices of g, by name."""


class ShortConvParams(NamedTuple):
    """The filters, and the biases if there are any.

    >>> ShortConv(size=3, width=4).init(jax.random.key(0))._fields
    ('w', 'b')
    """

    w: Float[Array, "width size"]
    """ω, the oldest input first."""
    b: Float[Array, " size"] | None = None
    """b."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ShortConv:
    """y⁽ᵗ⁾ = g(Σ_{j < W} ω_j ⊙ x⁽ᵗ⁻ʲ⁾ + b), a causal convolution for each unit.

    Args:
      size: the size of x and of y.
      width: W, the number of inputs that the filter covers.
      activation: g: "silu" or "identity".
      bias: whether there is a b.

    Raises:
      ValueError: a size or a width below 1, or an unknown activation.

    >>> cell = ShortConv(size=3, width=4)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.first.shape, y.shape
    ((3, 3), (3,))

    References: Gu & Dao 2023, §3.4.
    """

    size: int
    width: int = 4
    activation: str = "silu"
    bias: bool = False

    def __post_init__(self):
        check_positive(size=self.size, width=self.width)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    def init(self, key: Key) -> ShortConvParams:
        """Draw ω and b uniformly in ±1/√W."""
        check_key(key=key)
        w_key, b_key = jax.random.split(key)
        b = init_filters(b_key, 1, self.size, self.width)[0] if self.bias else None
        return ShortConvParams(init_filters(w_key, self.width, self.size), b)

    def initial_carry(self, params: ShortConvParams, batch_shape: tuple[int, ...] = ()) -> Staged:
        """Return an empty register, zeros of shape `[*batch, W − 1, size]`."""
        return Staged(empty_register(params.w, batch_shape), ())

    def project(self, params: ShortConvParams, xs: Array) -> Array:
        """Return x⁽ᵗ⁾ unchanged."""
        check_features("xs", xs, size=self.size)
        return xs.astype(accumulator(params.w.dtype))

    def lead(self, params: ShortConvParams, first: Array, z: Array, steps: Steps) -> tuple[Array, Array]:
        """Return the convolution."""
        first, taps = steps.window(first, z)
        return first, convolve(params.w, taps)

    def coefficients(self, params: ShortConvParams, z: Array) -> tuple[tuple, tuple]:
        """Return no coefficients, since the whole carry is the register."""
        return (), ()

    def read(self, params: ShortConvParams, carry: tuple, z: Array) -> Array:
        """Return g of the convolution with its bias."""
        return ACTIVATIONS[self.activation](z if params.b is None else add_bias(z, params.b))

    step = linear_step


def init_filters(key: Key, width: int, size: int, fan_in: int | None = None) -> Float[Array, "width size"]:
    """Draw filters uniformly in ±1/√W."""
    bound = 1 / math.sqrt(width if fan_in is None else fan_in)
    return jax.random.uniform(key, (width, size), minval=-bound, maxval=bound)


def empty_register(w: Float[Array, "width size"], batch_shape: tuple[int, ...]) -> Array:
    """Return the initial register of a convolution with filters `w`."""
    return jnp.zeros((*batch_shape, w.shape[0] - 1, w.shape[1]), accumulator(w.dtype))


def convolve(w: Float[Array, "width size"], taps: tuple[Array, ...]) -> Array:
    """Return Σ_j ω_j ⊙ x⁽ᵗ⁻ʲ⁾ over the last W inputs, the oldest first."""
    # broadcast from rank 1 in one step: the gradient is then one sum over all leading axes, which XLA computes faster
    return functools.reduce(jnp.add, [tap * jnp.broadcast_to(row, tap.shape) for tap, row in zip(taps, w, strict=True)])
