"""Hypothesis strategies of cells, lengths, masks, resets and whole problems of one shape.

Shapes are arguments and not drawn, because every new shape compiles again.  The strategies need hypothesis: `pip
install 'jaxrnn[testing]'`.
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
    """Return a strategy of cells: bare, stacked or with derived rules, at one size.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.

    Returns:
      A hypothesis strategy.

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
    """Return a strategy of lengths: integers from 0 to `time`.

    Args:
      time: the number of steps.
      batch: the batch axes.

    Returns:
      A hypothesis strategy of arrays `[*batch]`.

    >>> from hypothesis import find
    >>> find(lengths(5, (2,)), lambda drawn: True).tolist()
    [0, 0]
    """
    return _arrays(_hypothesis().integers(0, time), batch)


def masks(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[np.ndarray]":
    """Return a strategy of masks: prefixes of any length, and masks with holes anywhere.

    Args:
      time: the number of steps.
      batch: the batch axes.

    Returns:
      A hypothesis strategy of booleans `[time, *batch]`.

    >>> from hypothesis import find
    >>> find(masks(3, (1,)), lambda drawn: drawn.all()).shape
    (3, 1)
    """
    st, steps = _hypothesis(), np.arange(time).reshape(-1, *[1] * len(batch))
    return st.one_of(lengths(time, batch).map(lambda n: steps < n), _arrays(st.booleans(), (time, *batch)))


def resets(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[np.ndarray]":
    """Return a strategy of resets, True where an episode begins.

    Args:
      time: the number of steps.
      batch: the batch axes.

    Returns:
      A hypothesis strategy of booleans `[time, *batch]`.

    >>> from hypothesis import find
    >>> find(resets(3, (1,)), lambda drawn: drawn.any()).shape
    (3, 1)
    """
    return _arrays(_hypothesis().booleans(), (time, *batch))


def draws(time: int = TIME, batch: tuple[int, ...] = BATCH) -> "SearchStrategy[dict]":
    """Return a strategy of the arguments of `random_problem`: a seed, a mask and a reset.

    The problem itself is built in the test, so that JAX computes nothing inside a strategy.

    Args:
      time: the number of steps.
      batch: the batch axes.

    Returns:
      A hypothesis strategy of dicts.

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
    """Draw arrays of one shape, one element at a time."""
    n = int(np.prod(shape))
    lists = _hypothesis().lists(elements, min_size=n, max_size=n)
    return lists.map(lambda values: np.array(values).reshape(shape))
