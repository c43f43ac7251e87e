"""The weightings of a Neural Turing machine's heads at every step.

References: Graves, Wayne & Danihelka 2014, figure 6.
"""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float

from jaxrnn.core.types import Key
from jaxrnn.memory.ntm import NTM, NTMCarry, NTMParams
from jaxrnn.unrolling.scan import unroll


def head_positions(
    cell: NTM, params: NTMParams, xs: Float[Array, "time *batch input"]
) -> tuple[Float[Array, "time *batch read_heads slots"], Float[Array, "time *batch write_heads slots"]]:
    """Return w⁽ᵗ⁾ of every read head and every write head, for every t.

    Args:
      cell: the machine.
      params: its parameters.
      xs: its inputs, `[time, *batch, input]`.

    Returns:
      The weightings of the read heads and of the write heads; each sums to 1 over the slots.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> from jaxrnn.cells import FeedForward
    >>> cell = NTM(FeedForward(3 + 4, 8), input_size=3, slots=10, width=4, write_heads=2)
    >>> reads, writes = head_positions(cell, cell.init(jax.random.key(0)), jax.numpy.ones((7, 2, 3)))
    >>> reads.shape, writes.shape
    ((7, 2, 1, 10), (7, 2, 2, 10))
    """
    _, addresses = unroll(_Watched(cell), params, xs)
    weightings = jax.nn.softmax(addresses, axis=-1)
    return weightings[..., : cell.read_heads, :], weightings[..., cell.read_heads :, :]


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Watched:
    """The machine with its addresses as the output."""

    cell: NTM

    def init(self, key: Key) -> NTMParams:
        return self.cell.init(key)

    def initial_carry(self, params: NTMParams, batch_shape: tuple[int, ...] = ()) -> NTMCarry:
        return self.cell.initial_carry(params, batch_shape)

    def project(self, params: NTMParams, xs: Array) -> Array:
        return self.cell.project(params, xs)

    def step(self, params: NTMParams, carry: NTMCarry, z: Array) -> tuple[NTMCarry, Array]:
        carry, _ = self.cell.step(params, carry, z)
        return carry, carry.address
