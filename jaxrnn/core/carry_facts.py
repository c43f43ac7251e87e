"""Facts about a carry that a cell may state: the part that is its output, and the part that no step changes.

    y⁽ᵗ⁾ = h⁽ᵗ⁾            in most cells of the field: the output is an array of the new carry

A cell says so with one optional method, which picks these parts out of any carry:

    def carry_parts(self, carry):
        return CarryParts(output=carry.h)

`bptt` then adds ∇_{y⁽ᵗ⁾}L to ∇_{h⁽ᵗ⁾}L, `Leaky` and `Zoneout` know which array of the carry is the output, and the
explicit pass stores a constant once instead of for every t.  Without the method nothing is assumed.
`jaxrnn.testing.check_cell` compares the statement with what a step computes.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from jaxrnn.core.types import Carry, Cell


class CarryParts(NamedTuple):
    """Parts of a carry.

    >>> CarryParts(output="h").constants
    ()
    """

    output: Any = None
    """y⁽ᵗ⁾ if it is one array of h⁽ᵗ⁾, else None."""
    constants: Any = ()
    """Every array that a step passes on unchanged."""


@runtime_checkable
class StatesCarryParts(Protocol):
    """A cell that states which part of its carry is the output, and which is constant."""

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Pick the parts out of a carry, without computing anything."""
        ...


def carry_is_output(cell: Any, carry: Carry) -> CarryParts:
    """State that y⁽ᵗ⁾ is the whole carry, h⁽ᵗ⁾: `carry_parts = carry_is_output` in the class of a cell.

    >>> carry_is_output(None, "h")
    CarryParts(output='h', constants=())
    """
    return CarryParts(output=carry)


def carry_parts(cell: Cell, carry: Carry) -> CarryParts:
    """Return what the cell states about its carry, or empty parts if it has no such method.

    >>> from jaxrnn import LSTM
    >>> from jaxrnn.cells import LSTMCarry
    >>> carry_parts(LSTM(3, 5), LSTMCarry("h", "c"))
    CarryParts(output='h', constants=())
    """
    return cell.carry_parts(carry) if isinstance(cell, StatesCarryParts) else CarryParts()


def output_place(cell: Cell, carry: Carry) -> int | None:
    """Return the number of the leaf of the carry that is the output, or None.

    >>> from jaxrnn import GRU, LSTM, Stack
    >>> stack = Stack((LSTM(3, 4), GRU(4, 5)))
    >>> output_place(stack, stack.initial_carry(stack.init(jax.random.key(0))))  # h and C of the LSTM come first
    2
    """
    leaves, structure = jax.tree.flatten(carry)
    numbers = jax.tree.leaves(carry_parts(cell, structure.unflatten(range(len(leaves)))).output)
    return numbers[0] if numbers else None


def with_output(cell: Cell, dcarry: Carry, dy: Any) -> Carry:
    """Return ∇_{h⁽ᵗ⁾}L with the gradient of y⁽ᵗ⁾ added, if the cell states that y⁽ᵗ⁾ is a part of the carry.

    >>> from jaxrnn import GRU
    >>> with_output(GRU(3, 2), jax.numpy.ones(2), jax.numpy.ones(2)).tolist()
    [2.0, 2.0]
    """
    place = output_place(cell, dcarry)
    if place is None:
        return dcarry
    leaves, structure = jax.tree.flatten(dcarry)
    leaves[place] = leaves[place] + jax.tree.leaves(dy)[0]
    return structure.unflatten(leaves)
