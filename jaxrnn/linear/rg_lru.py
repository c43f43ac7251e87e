"""The real-gated linear recurrent unit of Griffin: a diagonal recurrence whose decay the input may slow down.

    r⁽ᵗ⁾ = σ(W_a x⁽ᵗ⁾ + b_a)                       recurrence gate
    i⁽ᵗ⁾ = σ(W_x x⁽ᵗ⁾ + b_x)                       input gate
    log a⁽ᵗ⁾ = −8 r⁽ᵗ⁾ ⊙ softplus(Λ)               at r = 1 the fastest decay, at r = 0 none
    h⁽ᵗ⁾ = a⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + √(1 − a⁽ᵗ⁾²) ⊙ i⁽ᵗ⁾ ⊙ x⁽ᵗ⁾,        y⁽ᵗ⁾ = h⁽ᵗ⁾

√(1 − a²) keeps the variance of h at that of x.  At the first step of a sequence, which has no previous h, the factor is
1; the carry counts the steps (`Staged`).

W_a, W_x → `params.gates` (block-diagonal, a and x side by side in each block), b → `params.b`, Λ → `params.lam`.

References: De et al. 2024, "Griffin", §2.4 and appendix A.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.checks import check_divides, check_features, check_positive
from jaxrnn.core.precision import accumulator, add_bias, in_rank
from jaxrnn.core.types import Carry, Key
from jaxrnn.linear.protocol import linear_step
from jaxrnn.linear.stages import Staged, Steps

RATE = 8.0
"""c of the paper."""


class RGLRUParams(NamedTuple):
    """The gates and the decays.

    >>> RGLRU(size=6, blocks=2).init(jax.random.key(0))._fields
    ('gates', 'b', 'lam')
    """

    gates: Float[Array, "blocks block two_block"]
    """(W_a, W_x)ᵀ of each block: `[blocks, size/blocks, 2 · size/blocks]`."""
    b: Float[Array, "blocks two_block"]
    """b_a and b_x of each block."""
    lam: Float[Array, " size"]
    """Λ."""


class RGLRUInput(NamedTuple):
    """The result of `project`."""

    log_a: Array
    """log a."""
    x: Array
    """i ⊙ x, after `lead` times √(1 − a²)."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class RGLRU:
    """h⁽ᵗ⁾ = a ⊙ h⁽ᵗ⁻¹⁾ + √(1 − a²) ⊙ i ⊙ x, with a and i gates of x.

    Args:
      size: the size of x, h and y.
      blocks: the number of diagonal blocks of W_a and W_x, a divisor of `size`.
      least_decay: the lower bound of a at r = 1, which is uniform in a new cell; above 0.
      largest_decay: the upper bound of a at r = 1; below 1.

    Raises:
      ValueError: a size below 1, blocks that do not divide it, or an empty interval.

    >>> cell = RGLRU(size=6, blocks=2)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(6)))
    >>> int(carry.first), y.shape
    (1, (6,))

    References: De et al. 2024.
    """

    size: int
    blocks: int = 1
    least_decay: float = 0.9
    largest_decay: float = 0.999

    def __post_init__(self):
        check_positive(size=self.size, blocks=self.blocks)
        check_divides("blocks", self.blocks, size=self.size)
        if not 0 < self.least_decay < self.largest_decay < 1:
            interval = self.least_decay, self.largest_decay
            raise ValueError(f"`least_decay` and `largest_decay` must be 0 < least < largest < 1, got {interval}.")

    def init(self, key: Key) -> RGLRUParams:
        """Draw W with variance 1/fan-in, and Λ such that a at r = 1 is uniform in the interval; set b = 0."""
        gates, decay = jax.random.split(key)
        n = self.size // self.blocks
        a = jax.random.uniform(decay, (self.size,), minval=self.least_decay, maxval=self.largest_decay)
        return RGLRUParams(
            gates=jax.random.normal(gates, (self.blocks, n, 2 * n)) / jnp.sqrt(n),
            b=jnp.zeros((self.blocks, 2 * n)),
            lam=jnp.log(jnp.expm1(-jnp.log(a) / RATE)),
        )

    def initial_carry(self, params: RGLRUParams, batch_shape: tuple[int, ...] = ()) -> Staged:
        """Return h⁽⁰⁾ = 0, `[*batch, size]`, after 0 steps."""
        h = jnp.zeros((*batch_shape, self.size), accumulator(params.gates.dtype))
        return Staged(jnp.zeros(batch_shape, jnp.int32), h)

    def carry_parts(self, carry: Carry) -> CarryParts:
        """State that y⁽ᵗ⁾ is h⁽ᵗ⁾."""
        return CarryParts(output=carry.state)

    def project(self, params: RGLRUParams, xs: Array) -> RGLRUInput:
        """Return log a⁽ᵗ⁾, and i⁽ᵗ⁾ ⊙ x⁽ᵗ⁾."""
        check_features("xs", xs, size=self.size)
        dtype = accumulator(params.gates.dtype)
        parts = xs.astype(params.gates.dtype).reshape(*xs.shape[:-1], self.blocks, self.size // self.blocks)
        products = jnp.einsum("...bi,bio->...bo", parts, params.gates, preferred_element_type=dtype)
        gates = add_bias(products, params.b)
        r, i = (jax.nn.sigmoid(a).reshape(xs.shape) for a in jnp.split(gates, 2, axis=-1))
        rate = in_rank(jax.nn.softplus(params.lam.astype(dtype)), r)
        return RGLRUInput(-RATE * r * rate, i * xs.astype(dtype))

    def lead(self, params: RGLRUParams, first: Array, z: RGLRUInput, steps: Steps) -> tuple[Array, RGLRUInput]:
        """Scale x by √(1 − a²), or by 1 in the first step."""
        first, count = steps.count(first, z.x)
        begins = (count == 0)[..., None]
        # 1 − a² without cancellation; ½ keeps the root's derivative finite where the factor is not taken
        variance = jnp.where(begins, 0.5, -jnp.expm1(2 * z.log_a))
        return first, z._replace(x=z.x * jnp.where(begins, 1, jnp.sqrt(variance)))

    def coefficients(self, params: RGLRUParams, z: RGLRUInput) -> tuple[Array, Array]:
        """Return a, and b = √(1 − a²) i ⊙ x."""
        return jnp.exp(z.log_a), z.x

    def read(self, params: RGLRUParams, carry: Array, z: RGLRUInput) -> Array:
        """Return y⁽ᵗ⁾ = h⁽ᵗ⁾."""
        return carry

    step = linear_step
