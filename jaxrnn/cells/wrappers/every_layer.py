"""A stack that outputs the states of all its layers.

    y⁽ᵗ⁾ = [y₁⁽ᵗ⁾; y₂⁽ᵗ⁾; …; y_L⁽ᵗ⁾]

The read-out of a deep reservoir reads all layers: layers that are not trained do not pass up what the read-out needs,
and higher layers have longer and smoother memories.

References: Gallicchio, Micheli & Pedrelli 2017, "Deep reservoir computing: a critical experimental analysis", §2;
Hermans & Schrauwen 2013; Graves 2013, §2 (connections from all layers to the output); chapter 2.8 and 六.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.cells.wrappers.stack import Stack, layers
from jaxrnn.core.carry_facts import CarryParts, carry_parts
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.types import Cell, Inputs


@jax.tree_util.register_static
@dataclass(frozen=True)
class EveryLayer:
    """A stack that outputs the concatenated outputs of all its layers, lowest first.

    Args:
      stack: the layers.

    Raises:
      TypeError: `stack` is not a `Stack`.

    >>> from jaxrnn import ESN, Readout
    >>> from jaxrnn.reservoirs import Reservoir
    >>> deep = EveryLayer(Stack((Reservoir(1, 20), Reservoir(20, 30))))
    >>> esn = ESN(deep, Readout(20 + 30, 1))
    >>> xs = jnp.sin(0.2 * jnp.arange(301.0))[:, None]
    >>> carry, params = esn.fit(esn.init(jax.random.key(0)), xs[:-1], xs[1:], penalty=1e-6, washout=50)
    >>> params.readout.v.shape
    (50, 1)

    References: Gallicchio, Micheli & Pedrelli 2017, §2.
    """

    stack: Stack

    def __post_init__(self):
        if not isinstance(self.stack, Stack):
            raise TypeError(f"`stack` must be a Stack, got {self.stack!r}: write EveryLayer(Stack((a, b))).")

    init = forwarded(Cell.init, to="stack")
    initial_carry = forwarded(Cell.initial_carry, to="stack")
    project = forwarded(Cell.project, to="stack")

    def carry_parts(self, carry: tuple) -> CarryParts:
        """Return the constants of the stack; the concatenated outputs are not part of the carry."""
        return CarryParts(constants=carry_parts(self.stack, carry).constants)

    def step(self, params: tuple, carry: tuple, z: Inputs) -> tuple[tuple, Array]:
        """Run one step of every layer, lowest first, and concatenate the outputs."""
        carries, ys = zip(*layers(self.stack, params, carry, z), strict=True)
        return carries, jnp.concatenate(ys, axis=-1)
