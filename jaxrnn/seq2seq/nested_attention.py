"""Networks with an `Attending` at any depth: below a layer, under dropout, in a stack, once or several times.

A wrapper contains the carry and the parameters of its cell, so every `AttendingCarry` and `AttendingParams` can be
found in the tree, in the order of the cells.  To give a network a source, `attend` replaces the memories in its
initial carry.

References: chapter 4.1, item 5; Bahdanau, Cho & Bengio 2015.
"""

from dataclasses import replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrnn.core.checks import check_tree
from jaxrnn.core.types import Carry, Cell, Params, map_parts, parts
from jaxrnn.seq2seq.attending import Attending, AttendingCarry, AttendingParams
from jaxrnn.seq2seq.attention import Reading

Network = TypeVar("Network")


def attending_cells(cell: Any) -> list[Attending]:
    """Return every outermost `Attending` in a network, lower layers first.

    >>> from jaxrnn import Attention, GRU, Stack
    >>> len(attending_cells(Stack((GRU(3, 5), Attending(GRU(5 + 4, 5), Attention(5, 4), source=7)))))
    1
    """
    return [cell] if isinstance(cell, Attending) else [found for part in parts(cell) for found in attending_cells(part)]


def every_attending(cell: Any) -> list[Attending]:
    """Return every `Attending` in a network, those inside of another one too."""
    own = [cell] if isinstance(cell, Attending) else []
    return own + [found for part in parts(cell) for found in every_attending(part)]


def with_source(network: Network, source: int) -> Network:
    """Return the network with `source` positions in its initial carry; the parameters stay the same."""
    return map_parts(lambda part: replace(part, source=source) if isinstance(part, Attending) else part, network)


def attend(
    cell: Cell,
    params: Params,
    states: Float[Array, "source *batch memory"],
    state: Carry | None = None,
    *,
    mask: Bool[Array, "source *batch"] | None = None,
) -> Carry:
    """Return the carry from which a network that contains an `Attending` decodes a sequence of states.

    Args:
      cell: a cell that contains one `Attending` or several, which all read the same states.
      params: its parameters.
      states: h_j, `[source, *batch, memory]`; the number of positions is that of each `Attending`.
      state: the other arrays of the carry; None for those of the initial carry.
      mask: True where a position exists, `[source, *batch]`.

    Returns:
      A carry of `cell`.

    Raises:
      TypeError: the cell contains no `Attending`.
      ValueError: a state that is not that of the cell; and as `Attending.attend_to`.

    >>> from jaxrnn import Attention, GRU, LSTM, Stack, unroll
    >>> cell = Stack((Attending(GRU(3 + 4, 5), Attention(5, 4, "general"), source=7), LSTM(5 + 4, 6)))
    >>> params = cell.init(jax.random.key(0))
    >>> carry = attend(cell, params, jnp.ones((7, 2, 4)))
    >>> unroll(cell, params, jnp.ones((6, 2, 3)), carry)[1].shape
    (6, 2, 6)
    """
    cells = attending_cells(cell)
    if not cells:
        raise TypeError(f"`cell` must have an Attending in it to attend to `states`, got {cell}.")
    carry = cell.initial_carry(params, jnp.shape(states)[1:-1])
    if state is None:
        state = state_of(carry)
    else:
        check_tree("state", state, state_of(carry), "the initial carry, without its memories and readings,")
    owns = [p for p in jax.tree.leaves(params, is_leaf=_is_params) if _is_params(p)]
    found = iter(zip(cells, owns, strict=True))

    def one(before, state):
        if not _is_carry(before):
            return state
        outer, own = next(found)
        if attending_cells(outer.cell):
            state = attend(outer.cell, own.cell, states, state, mask=mask)
        return outer.attend_to(own, states, state, mask=mask)

    return jax.tree.map(one, carry, state, is_leaf=_is_carry)


def state_of(carry: Carry) -> Carry:
    """Return the carry without its memories and readings."""
    return jax.tree.map(lambda c: state_of(c.cell) if _is_carry(c) else c, carry, is_leaf=_is_carry)


def readings(carry: Carry) -> list[Reading]:
    """Return the last reading of each `Attending`, outer before inner, lower layers first."""
    found = [c for c in jax.tree.leaves(carry, is_leaf=_is_carry) if _is_carry(c)]
    return [reading for c in found for reading in (c.reading, *readings(c.cell))]


def _is_carry(tree: Any) -> bool:
    return isinstance(tree, AttendingCarry)


def _is_params(tree: Any) -> bool:
    return isinstance(tree, AttendingParams)
