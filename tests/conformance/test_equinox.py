"""Equinox in float64, to 1e-10: LSTMCell and GRUCell, one step of one row, under `vmap` and `scan`."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from jaxrnn import GRU, LSTM, Elman
from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import ConversionError, from_equinox, to_equinox
from tests.conformance.random_cases import BATCH, HIDDEN, INPUT, TIME, assert_both_unrolls_agree, normal, random_like

TOLERANCE = 1e-10


class Pair(NamedTuple):
    """One of Equinox' cells, and an initial carry of ours."""

    theirs: Callable
    carry: LSTMCarry | jax.Array
    bias: bool = True


H, C = normal(2, BATCH, HIDDEN), normal(3, BATCH, HIDDEN)
PAIRS = {
    "LSTMCell": Pair(eqx.nn.LSTMCell, LSTMCarry(H, C)),
    "LSTMCell without a bias": Pair(eqx.nn.LSTMCell, LSTMCarry(H, C), bias=False),
    "GRUCell": Pair(eqx.nn.GRUCell, H),
    "GRUCell without a bias": Pair(eqx.nn.GRUCell, H, bias=False),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def random_module(pair):
    """One of Equinox' cells with random weights."""
    return random_like(pair.theirs(INPUT, HIDDEN, use_bias=pair.bias, key=jax.random.key(0)), seed=0)


def theirs(cell, xs, carry):
    """Run the scan that Equinox' documentation advises."""

    def body(carry, x):
        after = jax.vmap(cell)(x, tuple(carry) if isinstance(carry, LSTMCarry) else carry)
        return (LSTMCarry(*after), after[0]) if isinstance(carry, LSTMCarry) else (after, after)

    return jax.lax.scan(body, carry, xs)


def ours(run, cell, xs, carry):
    """Run the converted cell by `run`."""
    return run(*from_equinox(cell), xs, carry)


@pairs
def test_values_and_gradients_agree_with_equinox(pair):
    problem = random_module(pair), normal(1, TIME, BATCH, INPUT), pair.carry
    assert_both_unrolls_agree(ours, theirs, problem, TOLERANCE)
    assert theirs(*problem)[1].dtype == jnp.float64


@pairs
def test_there_and_back_is_the_same_module_bit_for_bit(pair):
    module = random_module(pair)
    assert eqx.tree_equal(to_equinox(*from_equinox(module), bias=pair.bias), module)


@pytest.mark.parametrize(
    ("cell", "why"),
    [(LSTM(3, 5, "current"), "peepholes"), (GRU(3, 5), "after the product"), (Elman(3, 5), "LSTMCell and GRUCell")],
)
def test_a_cell_that_equinox_does_not_have_is_refused(cell, why):
    with pytest.raises(ConversionError, match=why):
        to_equinox(cell, cell.init(jax.random.key(0)))


def test_what_is_no_cell_of_equinox_is_refused():
    with pytest.raises(ConversionError, match="got Linear"):
        from_equinox(eqx.nn.Linear(3, 5, key=jax.random.key(0)))
    cell = GRU(3, 5, reset="after")
    with pytest.raises(ConversionError, match="must be 0"):
        to_equinox(cell, jax.tree.map(jnp.ones_like, cell.init(jax.random.key(0))), bias=False)
