"""Hypothesis strategies: cells, lengths, masks, resets, and what a whole problem is made from, of one shape.

Shapes are arguments, not draws: every new shape is a new compilation.  They need hypothesis, which the
package does not: `pip install 'jaxrnn[testing]'`.
"""

from typing import TYPE_CHECKING

import numpy as np

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.cells.wrappers.stack import Stack
from jaxrnn.core.local_rules import AutodiffRules
from jaxrnn.core.types import Cell
from jaxrnn.testing.problem import BATCH, TIME

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def _hypothesis():
    try:
        import hypothesis.strategies as st
    except ImportError:
        raise ImportError("the strategies need hypothesis: pip install 'jaxrnn[testing]'") from None
    return st


def cells(input_size: int = 3, hidden_size: int = 5) -> "SearchStrategy[Cell]":
    """Every cell of the library, bare, stacked or with derived rules, at one size.

    >>> from hypothesis import find
    >>> find(cells(), lambda cell: isinstance(cell, LSTM))
    LSTM(input_size=3, hidden_size=5, peephole=None)
    """
    st = _hypothesis()

    def bare(size):
        return st.sampled_from(
            [
                *(Elman(size, hidden_size, activation) for activation in ("tanh", "relu", "identity")),
                *(LSTM(size, hidden_size, peephole) for peephole in (None, "previous", "current")),
                *(GRU(size, hidden_size, reset) for reset in ("before", "after")),
            ]
        )

    stacked = st.builds(lambda lower, upper: Stack((lower, upper)), bare(input_size), bare(hidden_size))
    return st.one_of(bare(input_size), stacked, st.builds(AutodiffRules, bare(input_size)))


def lengths(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[np.ndarray]":
    """Integers from 0 to `time`, an array `[*batch]`."""
    return _arrays(_hypothesis().integers(0, time), batch)


def masks(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[np.ndarray]":
    """Booleans `[time, *batch]`: prefixes of any length, and masks with holes anywhere."""
    st, steps = _hypothesis(), np.arange(time).reshape(-1, *[1] * len(batch))
    return st.one_of(lengths(time, batch).map(lambda n: steps < n), _arrays(st.booleans(), (time, *batch)))


def resets(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[np.ndarray]":
    """Booleans `[time, *batch]`, True where an episode begins."""
    return _arrays(_hypothesis().booleans(), (time, *batch))


def draws(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[dict]":
    """What `random_problem` is made from, at one shape: a seed, a mask and a reset.

    The problem itself is made in the test, as hypothesis has it: JAX draws nothing inside a strategy.

    >>> from hypothesis import given
    >>> from jaxrnn.testing import law_padding_is_invisible, random_problem
    >>> cell = GRU(3, 5)
    >>> @given(drawn=draws())
    ... def test_padding_is_invisible(drawn):
    ...     law_padding_is_invisible(cell, random_problem(cell, **drawn))
    """
    st = _hypothesis()
    seeds = st.integers(0, 2**32 - 1)
    return st.fixed_dictionaries({"seed": seeds, "mask": masks(time, batch), "reset": resets(time, batch)})


def _arrays(elements: "SearchStrategy", shape: tuple[int, ...]) -> "SearchStrategy[np.ndarray]":
    """Arrays of one shape, filled one element at a time."""
    n = int(np.prod(shape))
    lists = _hypothesis().lists(elements, min_size=n, max_size=n)
    return lists.map(lambda values: np.array(values).reshape(shape))
