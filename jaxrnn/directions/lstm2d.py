"""Long short-term memory on a grid.

    a_ij = b + U x_ij + W₁ h_{i−1,j} + W₂ h_{i,j−1}               for each of the gates i, f₁, f₂, g, o
    C_ij = σ(f₁) ⊙ C_{i−1,j} + σ(f₂) ⊙ C_{i,j−1} + σ(i) ⊙ tanh(g)
    h_ij = σ(o) ⊙ tanh(C_ij),             y_ij = h_ij

with h = C = 0 outside the image.  There is one forget gate per dimension, as in the paper, without its peepholes.

C_ij sums over all paths to (i, j), and there are exponentially many: with f₁ = f₂ = f it grows like (2f)^{i+j}.  The
forget biases therefore start at 0, not at 1 as in one dimension: then f = 1/2, and the weights of the paths to one
diagonal sum to 1.  Training does not keep f₁ + f₂ ≤ 1, so C can still grow on large images, while h is bounded by 1.
Leifert et al. propose other cells for that reason.

U, W₁, W₂, b → `params.u`, `params.w_above`, `params.w_left`, `params.b`, with the gates packed as i, f₁, f₂, g, o.

References: Graves, Fernández & Schmidhuber 2007, §3; Leifert, Strauß, Grüning, Wustlich & Labahn 2016 (the growth);
chapter 2.7.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.cells.lstm import LSTMCarry
from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key
from jaxrnn.directions.grid_weights import GridParams, project_pixels, summed_inputs


@jax.tree_util.register_static
@dataclass(frozen=True)
class LSTM2D:
    """The cell C_ij = f₁ ⊙ C_{i−1,j} + f₂ ⊙ C_{i,j−1} + i ⊙ g, h_ij = o ⊙ tanh(C_ij).

    Args:
      input_size: the size of x.
      hidden_size: the size of h and of C.

    Raises:
      ValueError: a size below 1.

    >>> from jaxrnn.directions import unroll_2d
    >>> cell = LSTM2D(input_size=1, hidden_size=5)
    >>> unroll_2d(cell, cell.init(jax.random.key(0)), jnp.ones((8, 6, 2, 1))).shape
    (8, 6, 2, 5)

    References: Graves, Fernández & Schmidhuber 2007, §3.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    def init(self, key: Key) -> GridParams:
        """Draw U by Glorot's uniform rule, W₁ and W₂ orthogonal and halved, gate by gate; b = 0."""
        check_key(key=key)
        n = self.hidden_size
        u_key, above_key, left_key = jax.random.split(key, 3)
        return GridParams(
            u=per_gate(input_weights, u_key, 5, (self.input_size, n)),
            w_above=per_gate(recurrent_weights, above_key, 5, (n, n)) / 2,
            w_left=per_gate(recurrent_weights, left_key, 5, (n, n)) / 2,
            b=jnp.zeros(5 * n),
        )

    def initial_carry(self, params: GridParams, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """Return h = C = 0, the state outside the image, each `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.u.dtype)
        return LSTMCarry(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def project(self, params: GridParams, xs: Array) -> Array:
        """Return b + U x of the five gates for every pixel: `[..., input]` → `[..., 5·hidden]`."""
        return project_pixels(params, xs, self.input_size)

    def step_2d(self, params: GridParams, above: LSTMCarry, left: LSTMCarry, z: Array) -> tuple[LSTMCarry, Array]:
        """Map the states above and to the left, and z_ij, to (h, C)_ij, with h_ij as the output."""
        a = summed_inputs(params, above.h, left.h, z)
        i, f1, f2, g, o = jnp.split(a, 5, axis=-1)
        c = jax.nn.sigmoid(f1) * above.c + jax.nn.sigmoid(f2) * left.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return LSTMCarry(h, c), h
