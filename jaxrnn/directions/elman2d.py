"""The simple recurrent network on a grid.

    h_ij = tanh(b + U x_ij + W₁ h_{i−1,j} + W₂ h_{i,j−1}),        y_ij = h_ij

with h = 0 outside the image.  With W₁ = 0 the rows are independent, and each is an `Elman` network.

U, W₁, W₂, b → `params.u`, `params.w_above`, `params.w_left`, `params.b`.

References: Graves, Fernández & Schmidhuber 2007, "Multi-dimensional recurrent neural networks", §2; chapter 2.7.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_positive
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key
from jaxrnn.directions.grid_weights import GridParams, project_pixels, summed_inputs


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

    def init(self, key: Key) -> GridParams:
        """Draw U by Glorot's uniform rule, W₁ and W₂ orthogonal and halved because h reads their sum; b = 0."""
        check_key(key=key)
        u_key, above_key, left_key = jax.random.split(key, 3)
        square = (self.hidden_size, self.hidden_size)
        return GridParams(
            u=input_weights(u_key, (self.input_size, self.hidden_size)),
            w_above=recurrent_weights(above_key, square) / 2,
            w_left=recurrent_weights(left_key, square) / 2,
            b=jnp.zeros(self.hidden_size),
        )

    def initial_carry(self, params: GridParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h = 0, the state outside the image, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.u.dtype))

    def project(self, params: GridParams, xs: Array) -> Array:
        """Return b + U x for every pixel: `[..., input]` → `[..., hidden]`."""
        return project_pixels(params, xs, self.input_size)

    def step_2d(self, params: GridParams, above: Array, left: Array, z: Array) -> tuple[Array, Array]:
        """Map (h_{i−1,j}, h_{i,j−1}, z_ij) to h_ij, the carry and the output."""
        h = jnp.tanh(summed_inputs(params, above, left, z))
        return h, h
