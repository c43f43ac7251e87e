"""The LSTM of 1997 as a cell: no forget gate, gates that a block of cells shares and that feed back, too.

    s⁽ᵗ⁾ = s⁽ᵗ⁻¹⁾ + i⁽ᵗ⁾ g(a⁽ᵗ⁾),   h⁽ᵗ⁾ = o⁽ᵗ⁾ h(s⁽ᵗ⁾),   g(a) = 4σ(a) − 2,   h(s) = 2σ(s) − 1

The gates i, o and the cells a read x⁽ᵗ⁾ and (h, i, o)⁽ᵗ⁻¹⁾.  The gradient goes back along s alone: it is truncated
where it would go to (h, i, o)⁽ᵗ⁻¹⁾.

The cell of tasks 2a and 2b reads x⁽ᵗ⁾ alone and is added to a network without one:

    s⁽ᵗ⁾ = s⁽ᵗ⁻¹⁾ + σ(aᵢ⁽ᵗ⁾) σ(a⁽ᵗ⁾),   h⁽ᵗ⁾ = s⁽ᵗ⁾

References: Hochreiter & Schmidhuber 1997, §4, §5.2 and appendix A.1.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.types import Key


class Params1997(NamedTuple):
    """The weights into input gates, output gates and cells, in this order along the last axis."""

    u: Float[Array, "input units"]
    """From x⁽ᵗ⁾."""
    w: Float[Array, "units units"]
    """From (i, o, h)⁽ᵗ⁻¹⁾."""
    b: Float[Array, " units"]
    """The biases."""


class Carry1997(NamedTuple):
    """What a step leaves to the next."""

    units: Float[Array, "*batch units"]
    """(i, o, h)⁽ᵗ⁾."""
    s: Float[Array, "*batch cells"]
    """s⁽ᵗ⁾."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LSTM1997:
    """h⁽ᵗ⁾ = o ⊙ h(s⁽ᵗ⁾), s⁽ᵗ⁾ = s⁽ᵗ⁻¹⁾ + i ⊙ g(a).

    Args:
      input_size: the size of x.
      blocks: pairs of gates.
      size: the cells of a block.

    >>> LSTM1997(2, 2, 2).init(jax.random.key(0)).w.shape
    (8, 8)
    """

    input_size: int
    blocks: int
    size: int

    @property
    def hidden_size(self) -> int:
        """The number of cells."""
        return self.blocks * self.size

    def init(self, key: Key) -> Params1997:
        """Draw U and W from [−0.1, 0.1]; b = 0."""
        u_key, w_key = jax.random.split(key)
        n = 2 * self.blocks + self.hidden_size
        u = jax.random.uniform(u_key, (self.input_size, n), minval=-0.1, maxval=0.1)
        return Params1997(u, jax.random.uniform(w_key, (n, n), minval=-0.1, maxval=0.1), jnp.zeros(n))

    def initial_carry(self, params: Params1997, batch_shape: tuple[int, ...] = ()) -> Carry1997:
        """Return zeros."""
        return Carry1997(jnp.zeros((*batch_shape, len(params.w))), jnp.zeros((*batch_shape, self.hidden_size)))

    def project(self, params: Params1997, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾."""
        return xs @ params.u + params.b

    def step(self, params: Params1997, carry: Carry1997, z: Array) -> tuple[Carry1997, Array]:
        """Return the new (i, o, h) and s, and h as the output."""
        a = z + jax.lax.stop_gradient(carry.units) @ params.w
        gates = jax.nn.sigmoid(a[..., : 2 * self.blocks])
        i, o = (jnp.repeat(gate, self.size, axis=-1) for gate in jnp.split(gates, 2, axis=-1))
        s = carry.s + i * 2 * jnp.tanh(a[..., 2 * self.blocks :] / 2)  # 4σ(a) − 2 = 2 tanh(a/2)
        h = o * jnp.tanh(s / 2)
        return Carry1997(jnp.concatenate([gates, h], axis=-1), s), h


class ParamsOfAdded(NamedTuple):
    """The weights into the input gate and the cell, in this order along the last axis."""

    u: Float[Array, "input 2"]
    """From x⁽ᵗ⁾."""
    b: Float[Array, " 2"]
    """The biases."""
    there: Float[Array, ""]
    """1 once the cell is there, 0 before."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class AddedCell:
    """h⁽ᵗ⁾ = s⁽ᵗ⁾ = s⁽ᵗ⁻¹⁾ + σ(aᵢ) σ(a), without an output gate; h⁽ᵗ⁾ = 0 until the cell is there.

    >>> AddedCell(3).init(jax.random.key(0)).u.shape
    (3, 2)
    """

    input_size: int
    hidden_size: int = 1

    def init(self, key: Key) -> ParamsOfAdded:
        """Draw U from [−0.1, 0.1]; b = 0, and no cell yet."""
        u = jax.random.uniform(key, (self.input_size, 2), minval=-0.1, maxval=0.1)
        return ParamsOfAdded(u, jnp.zeros(2), jnp.zeros(()))

    def initial_carry(self, params: ParamsOfAdded, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return zeros."""
        return jnp.zeros((*batch_shape, 1))

    def project(self, params: ParamsOfAdded, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾."""
        return xs @ params.u + params.b

    def step(self, params: ParamsOfAdded, carry: Array, z: Array) -> tuple[Array, Array]:
        """Return the new s, and h as the output."""
        s = carry + jax.nn.sigmoid(z).prod(axis=-1, keepdims=True)
        return s, jax.lax.stop_gradient(params.there) * s
