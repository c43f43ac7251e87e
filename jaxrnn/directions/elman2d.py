"""The simple recurrent network on a grid.

    h_ij = tanh(b + U x_ij + W₁ h_{i−1,j} + W₂ h_{i,j−1}),        y_ij = h_ij

with h = 0 outside the image.  With W₁ = 0 the rows are independent, and each is an `Elman` network.

U, W₁, W₂, b → `params.u`, `params.w_above`, `params.w_left`, `params.b`.

References: Graves, Fernández & Schmidhuber 2007, "Multi-dimensional recurrent neural networks", §2; chapter 2.7.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import accumulator, matmul
from jaxrnn.core.types import Key


class Elman2DParams(NamedTuple):
    """The matrices, transposed, because inputs are row vectors.

    >>> Elman2D(3, 5).init(jax.random.key(0)).w_above.shape
    (5, 5)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w_above: Float[Array, "hidden hidden"]
    """W₁ᵀ: from the pixel above."""
    w_left: Float[Array, "hidden hidden"]
    """W₂ᵀ: from the pixel to the left."""
    b: Float[Array, " hidden"]
    """b."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Elman2D:
    """The cell h_ij = tanh(b + U x_ij + W₁ h_{i−1,j} + W₂ h_{i,j−1}).

    Args:
      input_size: the size of x.
      hidden_size: the size of h.

    Raises:
      ValueError: a size below 1.

    >>> from jaxrnn.directions import unroll_2d
    >>> cell = Elman2D(input_size=1, hidden_size=5)
    >>> unroll_2d(cell, cell.init(jax.random.key(0)), jnp.ones((8, 6, 2, 1))).shape
    (8, 6, 2, 5)

    References: Graves, Fernández & Schmidhuber 2007, §2.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    def init(self, key: Key) -> Elman2DParams:
        """Draw U by Glorot's uniform rule, W₁ and W₂ orthogonal and halved because h reads their sum; b = 0."""
        u_key, above_key, left_key = jax.random.split(key, 3)
        square = (self.hidden_size, self.hidden_size)
        return Elman2DParams(
            u=input_weights(u_key, (self.input_size, self.hidden_size)),
            w_above=recurrent_weights(above_key, square) / 2,
            w_left=recurrent_weights(left_key, square) / 2,
            b=jnp.zeros(self.hidden_size),
        )

    def initial_carry(self, params: Elman2DParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h = 0, the state outside the image, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.u.dtype))

    def project(self, params: Elman2DParams, xs: Array) -> Array:
        """Return b + U x for every pixel: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return matmul(xs, params.u) + params.b

    def step_2d(self, params: Elman2DParams, above: Array, left: Array, z: Array) -> tuple[Array, Array]:
        """Map (h_{i−1,j}, h_{i,j−1}, z_ij) to h_ij, the carry and the output."""
        h = jnp.tanh(z + matmul(above, params.w_above) + matmul(left, params.w_left))
        return h, h
