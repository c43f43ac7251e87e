"""Facts about a cell: which part of its carry is the output, which part no step changes, and the size of its output.

    y⁽ᵗ⁾ = h⁽ᵗ⁾            in most cells of the field: the output is an array of the new carry

A cell says so with one optional method, which picks these parts out of any carry:

    def carry_parts(self, carry):
        return CarryParts(output=carry.h)

`bptt` then adds ∇_{y⁽ᵗ⁾}L to ∇_{h⁽ᵗ⁾}L, `Leaky` and `Zoneout` know which array of the carry is the output, and the
explicit pass stores a constant once instead of for every t.  Without the method nothing is assumed.
`jaxrnn.testing.check_cell` compares the statement with what a step computes.

What is put together from parts asks for the size of an output, and refuses parts whose sizes do not fit.
"""

from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxrnn.core.noise import takes_noise, with_noise
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


def h_is_output(cell: Any, carry: Carry) -> CarryParts:
    """State that y⁽ᵗ⁾ is h⁽ᵗ⁾, a field of the carry: `carry_parts = h_is_output` in the class of a cell.

    >>> from jaxrnn.cells import LSTMCarry
    >>> h_is_output(None, LSTMCarry("h", "c"))
    CarryParts(output='h', constants=())
    """
    return CarryParts(output=carry.h)


def carry_parts(cell: Cell, carry: Carry) -> CarryParts:
    """Return what the cell states about its carry, or empty parts if it has no such method.

    >>> from jaxrnn import LSTM
    >>> from jaxrnn.cells import LSTMCarry
    >>> carry_parts(LSTM(3, 5), LSTMCarry("h", "c"))
    CarryParts(output='h', constants=())
    """
    return cell.carry_parts(carry) if isinstance(cell, StatesCarryParts) else CarryParts()


def parts_of_cell(wrapper: Any, carry: Carry) -> CarryParts:
    """Return the parts that the wrapped cell states: `carry_parts = parts_of_cell` in the class of a wrapper.

    >>> from jaxrnn import GRU, Dropout
    >>> parts_of_cell(Dropout(GRU(3, 5), rate=0.5), "h")
    CarryParts(output='h', constants=())
    """
    return carry_parts(wrapper.cell, carry)


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


def output_of(cell: Cell, input_size: int | None = None) -> jax.ShapeDtypeStruct | None:
    """Return the shape of y of one row, or None if it is not known before the cell runs.

    Args:
      cell: any cell.
      input_size: the size of x; None if it is not known, so that only what the cell states about its carry can tell.

    Raises:
      TypeError, ValueError: what the cell says of an input of this size.

    >>> from jaxrnn import LSTM, Stack
    >>> output_of(LSTM(3, 5)).shape, output_of(Stack((LSTM(3, 5), LSTM(5, 4))), input_size=3).shape
    ((5,), (4,))
    """
    try:
        leaves = jax.tree.leaves(_output_of(cell, input_size))
    except Exception as error:
        if input_size is not None and type(error) in (TypeError, ValueError):
            raise
        return None  # it needs more than shapes, such as the name of an axis of devices: the run will tell
    return leaves[0] if len(leaves) == 1 and leaves[0].ndim else None


def check_output_size(part: str, y: jax.ShapeDtypeStruct | None, **size: int) -> None:
    """Raise ValueError unless the output of a part, where it is known, has the size, given as `hidden_size=6`.

    >>> from jaxrnn import GRU
    >>> check_output_size("cell", output_of(GRU(3, 5)), hidden_size=6)
    Traceback (most recent call last):
    ValueError: `hidden_size` must be 5, the size of the output of `cell`, got 6.
    """
    ((name, got),) = size.items()
    if y is not None and y.shape[-1] != got:
        raise ValueError(f"`{name}` must be {y.shape[-1]}, the size of the output of `{part}`, got {got}.")


@lru_cache(maxsize=1024)
def _output_of(cell: Cell, input_size: int | None) -> Any:
    def one_step(key, x):
        params = cell.init(key)
        carry = cell.initial_carry(params)
        if x is None:
            return carry_parts(cell, carry).output
        x = jax.tree.map(lambda a: a[0], with_noise(key, x[None])) if takes_noise(cell) else x
        return cell.step(params, carry, cell.project(params, x))[1]

    x = None if input_size is None else jax.ShapeDtypeStruct((input_size,), jnp.result_type(float))
    return jax.eval_shape(one_step, jax.eval_shape(lambda: jax.random.key(0)), x)
