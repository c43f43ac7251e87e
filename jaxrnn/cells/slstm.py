"""The sLSTM: an LSTM with exponential gates, a normalizer, and memory that mixes within heads.

    z, i, f, o = U x⁽ᵗ⁾ + R h⁽ᵗ⁻¹⁾ + b                      R block-diagonal over the heads
    m⁽ᵗ⁾ = max(log σ(f) + m⁽ᵗ⁻¹⁾, i)                       stabilizer; i where n⁽ᵗ⁻¹⁾ = 0
    i′ = exp(i − m⁽ᵗ⁾),   f′ = exp(log σ(f) + m⁽ᵗ⁻¹⁾ − m⁽ᵗ⁾)
    c⁽ᵗ⁾ = f′ ⊙ c⁽ᵗ⁻¹⁾ + i′ ⊙ tanh(z)
    n⁽ᵗ⁾ = f′ ⊙ n⁽ᵗ⁻¹⁾ + i′
    h⁽ᵗ⁾ = σ(o) ⊙ c⁽ᵗ⁾/n⁽ᵗ⁾,                y⁽ᵗ⁾ = h⁽ᵗ⁾

c/n is a weighted mean of all tanh(z⁽ˢ⁾), with weights that an exponential gate may revise later.  m cancels in it.
Whether n is 0 is asked of every element, so that each row and each unit starts by itself.  i′ and f′ are at most 1.

Uᵀ → `params.u`, Rᵀ → `params.r`, one block a head, b → `params.b`; the gates in the order i, f, g, o, where g is z.

References: Beck et al. 2024, "xLSTM: extended long short-term memory", §2.2 and appendix A.2.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_divides, check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate
from jaxrnn.core.precision import accumulator, add_bias, matmul
from jaxrnn.core.types import Key


class SLSTMParams(NamedTuple):
    """The gates i, f, g, o side by side.

    >>> SLSTM(input_size=3, hidden_size=6, heads=2).init(jax.random.key(0))._fields
    ('u', 'r', 'b')
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ: `[input, 4·hidden]`."""
    r: Float[Array, "heads head gates_head"]
    """Rᵀ of each head: `[heads, hidden/heads, 4·hidden/heads]`."""
    b: Float[Array, " gates_hidden"]
    """b: `[4·hidden]`."""


class SLSTMCarry(NamedTuple):
    """The four states.

    >>> cell = SLSTM(input_size=3, hidden_size=6, heads=2)
    >>> cell.initial_carry(cell.init(jax.random.key(0)))._fields
    ('h', 'c', 'n', 'm')
    """

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾, the output."""
    c: Float[Array, "*batch hidden"]
    """c⁽ᵗ⁾ e^{−m}."""
    n: Float[Array, "*batch hidden"]
    """n⁽ᵗ⁾ e^{−m}."""
    m: Float[Array, "*batch hidden"]
    """m⁽ᵗ⁾."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class SLSTM:
    """h⁽ᵗ⁾ = σ(o) ⊙ c⁽ᵗ⁾/n⁽ᵗ⁾, with exponential input gates.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      heads: the number of diagonal blocks of R, a divisor of `hidden_size`.

    Raises:
      ValueError: a size below 1, or heads that do not divide `hidden_size`.

    >>> cell = SLSTM(input_size=3, hidden_size=6, heads=2)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.c.shape
    (6,)

    References: Beck et al. 2024.
    """

    input_size: int
    hidden_size: int
    heads: int = 1

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, heads=self.heads)
        check_divides("heads", self.heads, hidden_size=self.hidden_size)

    def init(self, key: Key) -> SLSTMParams:
        """Draw U by Glorot's rule; R = 0; b = 0 except that of f, which grows from −5 to 7 over the units of each head.

        Channel j of d in head k of B has 12 (j/(d − 1))^{0.3 + 1.3 k/(B − 1)} − 5.
        """
        n, head = self.hidden_size, self.hidden_size // self.heads
        channel = np.arange(head) / max(head - 1, 1)
        power = 0.3 + 1.3 * np.arange(self.heads) / max(self.heads - 1, 1)
        forget = 12 * channel ** power[:, None] - 5
        return SLSTMParams(
            u=per_gate(input_weights, key, 4, (self.input_size, n)),
            r=jnp.zeros((self.heads, head, 4 * head)),
            b=jnp.zeros(4 * n).at[n : 2 * n].set(forget.ravel()),
        )

    def initial_carry(self, params: SLSTMParams, batch_shape: tuple[int, ...] = ()) -> SLSTMCarry:
        """Return all states as 0, each `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.u.dtype)
        return SLSTMCarry(*(jnp.zeros(shape, dtype) for _ in SLSTMCarry._fields))

    carry_parts = h_is_output

    def project(self, params: SLSTMParams, xs: Array) -> Array:
        """Return U x⁽ᵗ⁾ + b of the four gates: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: SLSTMParams, carry: SLSTMCarry, z: Array) -> tuple[SLSTMCarry, Array]:
        """Return the new states, and h⁽ᵗ⁾ as the output."""
        i, f, g, o = (a + r for a, r in zip(jnp.split(z, 4, axis=-1), self._recurrent(params, carry.h), strict=True))
        kept = jax.nn.log_sigmoid(f) + carry.m
        m = jnp.where(carry.n == 0, i, jnp.maximum(kept, i))
        i = jnp.exp(i - m)
        f = jnp.exp(jnp.where(carry.n == 0, 0, kept - m))  # c and n are 0 there, whatever f is
        c, n = f * carry.c + i * jnp.tanh(g), f * carry.n + i
        h = jax.nn.sigmoid(o) * c / n
        return SLSTMCarry(h, c, n, m), h

    def _recurrent(self, params, h):
        """Return R h of each gate."""
        heads = h.reshape(*h.shape[:-1], self.heads, self.hidden_size // self.heads).astype(params.r.dtype)
        products = jnp.einsum("...hi,hio->...ho", heads, params.r, preferred_element_type=h.dtype)
        return (gate.reshape(h.shape) for gate in jnp.split(products, 4, axis=-1))
