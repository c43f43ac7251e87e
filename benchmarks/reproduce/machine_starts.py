"""How a Neural Turing machine starts: its initial parameters, and its memory at the start of an episode.

    constant     an empty memory, every entry 10⁻⁶, and heads that begin to learn from β = 0.7 and g = ½
    content      a memory that is learned, and heads that begin with β = 5 and g = 0.95: they address by content

Graves et al. 2014, §4, set the memory at the start of an episode to bias values, which are learned.  A constant memory
has equal slots, which no key can tell apart: a head can only get from one slot to another by shifts.  The slots of a
learned memory, drawn from N(0, 1), are different from the first update on, and a key finds the same ones in every
episode.  The weights of x are Glorot's times 20: his rule counts the vectors that were read as inputs too, and gives a
single bit weights below 0.23 in an LSTM of 100 units, whose state then hardly tells which bits came a few steps ago.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.memory.ntm import NTM, NTMParams
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, PatternParams
from jaxrnn.unrolling.backpropagation import unroll_bptt

STRENGTH, GATE, SEEN = 5.0, 3.0, 20.0
"""The initial biases of β and of g before their activations, and the factor of the weights of x."""


class Started(NamedTuple):
    """The parameters of a network, and those of the start of an episode."""

    network: PatternParams
    memory: Float[Array, "width slots"] | None
    """The initial memory, or None for the constant one."""


def init(model: ManyToMany, start: str, key: Array) -> Started:
    """Draw the parameters."""
    network = model.init(key)
    if start == "constant":
        return Started(network, None)
    cell = model.cell
    memory = jax.random.normal(jax.random.fold_in(key, 1), (cell.width, cell.slots))
    return Started(network._replace(cell=by_content(cell, network.cell)), memory)


def by_content(cell: NTM, params: NTMParams) -> NTMParams:
    """Return parameters whose heads address by content, and whose controller sees x."""
    heads, keys = cell.heads, cell.heads * cell.width  # b is that of the keys, β, g, …
    bias = params.b.at[keys : keys + heads].set(STRENGTH).at[keys + heads : keys + 2 * heads].set(GATE)
    controller = params.controller._replace(u=params.controller.u.at[: cell.input_size].multiply(SEEN))
    return params._replace(controller=controller, b=bias)


def logits(model: ManyToMany, params: Started, xs: Float[Array, "time batch inputs"]) -> Array:
    """Return the logits of episodes, each from the initial memory."""
    network, memory = params
    xs = jnp.asarray(xs)
    if memory is None:
        return model.logits(network, xs)
    carry = model.cell.initial_carry(network.cell, xs.shape[1:2])
    carry = carry._replace(memory=jnp.broadcast_to(memory, carry.memory.shape))
    _, ys = unroll_bptt(model.cell, network.cell, xs, carry)
    return model.readout.apply(network.readout, ys)
