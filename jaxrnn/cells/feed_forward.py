"""A layer without recurrence, as a cell: h⁽ᵗ⁾ = tanh(b + U x⁽ᵗ⁾).

What a Neural Turing machine calls a feed-forward controller: all that it knows of the past, it has to read from
the memory.  In a stack it is a layer that mixes features.  The carry is h⁽ᵗ⁾, which no step reads.

U, b → `params.u`, `.b`; h → the carry and the output.

References: Graves, Wayne & Danihelka 2014, §3.4.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul
from jaxrnn.core.types import Key


class FeedForwardParams(NamedTuple):
    """The matrix transposed: row vectors multiply from the left.

    >>> FeedForward(2, 3).init(jax.random.key(0)).u.shape
    (2, 3)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    b: Float[Array, " hidden"]
    """b."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class FeedForward:
    """h⁽ᵗ⁾ = tanh(b + U x⁽ᵗ⁾), independent of the past.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.

    Raises:
      ValueError: a size below 1.

    >>> from jaxrnn import unroll
    >>> cell = FeedForward(input_size=3, hidden_size=5)
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> ys.shape, bool((ys[0] == ys[-1]).all())
    ((7, 2, 5), True)

    References: Graves, Wayne & Danihelka 2014, §3.4.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    def init(self, key: Key) -> FeedForwardParams:
        """Draw U by Glorot's uniform rule, b = 0."""
        check_key(key=key)
        return FeedForwardParams(input_weights(key, (self.input_size, self.hidden_size)), jnp.zeros(self.hidden_size))

    def initial_carry(self, params: FeedForwardParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.u.dtype))

    carry_parts = carry_is_output

    def project(self, params: FeedForwardParams, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾ for every t: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: FeedForwardParams, carry: Array, z: Array) -> tuple[Array, Array]:
        """Return tanh(z⁽ᵗ⁾) as the carry and the output."""
        h = jnp.tanh(z)
        return h, h

    def step_fwd(self, params: FeedForwardParams, carry: Array, z: Array):
        """Run `step`; the residual is h⁽ᵗ⁾."""
        h = jnp.tanh(z)
        return (h, h), h

    def step_bwd(self, params: FeedForwardParams, residual: Array, dcarry: Array, dy: Array):
        """Return diag(1 − (h⁽ᵗ⁾)²) ∇h⁽ᵗ⁾ as ∇z⁽ᵗ⁾, and ∇h⁽ᵗ⁻¹⁾ = 0."""
        return jnp.zeros_like(dcarry), (1 - residual**2) * (dcarry + dy), None

    def weight_bwd(self, params: FeedForwardParams, residuals, locals) -> FeedForwardParams:
        """Return 0: the gradients of U and b come from `project`."""
        return jax.tree.map(jnp.zeros_like, params)
