"""Equinox in float64, to 1e-10: LSTMCell and GRUCell, one step of one row, under `vmap` and `scan`."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jaxrnn import GRU, LSTM
from jaxrnn.cells import LSTMCarry
from jaxrnn.cells.gru import GRUParams
from jaxrnn.cells.lstm import LSTMParams
from tests.conformance.random_cases import BATCH, HIDDEN, INPUT, TIME, assert_both_unrolls_agree, normal, random_like

TOLERANCE = 1e-10


class Pair(NamedTuple):
    """One of Equinox' cells and ours; the gates are in the same order."""

    theirs: Callable
    ours: LSTM | GRU
    convert: Callable
    carry: LSTMCarry | jax.Array


PAIRS = {
    "LSTMCell": Pair(
        eqx.nn.LSTMCell,
        LSTM(INPUT, HIDDEN),
        lambda cell: LSTMParams(cell.weight_ih.T, cell.weight_hh.T, cell.bias),
        LSTMCarry(normal(2, BATCH, HIDDEN), normal(3, BATCH, HIDDEN)),
    ),
    "GRUCell": Pair(
        eqx.nn.GRUCell,
        GRU(INPUT, HIDDEN, reset="after"),
        lambda cell: GRUParams(cell.weight_ih.T, cell.weight_hh.T, cell.bias, cell.bias_n),
        normal(2, BATCH, HIDDEN),
    ),
}


def theirs(cell, xs, carry):
    """The scan that Equinox' documentation advises."""

    def body(carry, x):
        after = jax.vmap(cell)(x, tuple(carry) if isinstance(carry, LSTMCarry) else carry)
        return (LSTMCarry(*after), after[0]) if isinstance(carry, LSTMCarry) else (after, after)

    return jax.lax.scan(body, carry, xs)


def ours(pair, run, cell, xs, carry):
    """The same by `run`."""
    return run(pair.ours, pair.convert(cell), xs, carry)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_values_and_gradients_agree_with_equinox(pair):
    cell = random_like(pair.theirs(INPUT, HIDDEN, key=jax.random.key(0)), seed=0)
    problem = cell, normal(1, TIME, BATCH, INPUT), pair.carry
    assert_both_unrolls_agree(partial(ours, pair), theirs, problem, TOLERANCE)
    assert theirs(*problem)[1].dtype == jnp.float64
