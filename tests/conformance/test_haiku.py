"""Haiku in float64, to 1e-10: VanillaRNN, LSTM and GRU under `hk.dynamic_unroll`, and `hk.ResetCore`.

Haiku's LSTM packs its gates i, g, f, o over [x, h] and adds 1 to the forget gate in every step, which is part
of our bias.  Its GRU packs z, r, a, resets before the matrix product, and its z is 1 − ours: σ(−a) = 1 − σ(a),
so that z's weights change their sign.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import haiku as hk
import jax
import pytest

from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import from_haiku
from tests.conformance.random_cases import BATCH, HIDDEN, INPUT, TIME, assert_both_unrolls_agree, normal, random_like

TOLERANCE = 1e-10


class Pair(NamedTuple):
    """One of Haiku's cores."""

    core: Callable
    has_cell_state: bool = False


PAIRS = {
    "VanillaRNN": Pair(hk.VanillaRNN),
    "VanillaRNN with one bias": Pair(partial(hk.VanillaRNN, double_bias=False)),
    "LSTM": Pair(hk.LSTM, has_cell_state=True),
    "GRU": Pair(hk.GRU),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def transformed(pair, reverse=False, reset=None):
    """Haiku's unroll as a pure function of (weights, xs, carry)."""

    def forward(xs, carry):
        core = pair.core(HIDDEN)
        if reset is not None:
            core, xs = hk.ResetCore(core), (xs, reset)
        ys, carry = hk.dynamic_unroll(core, xs, carry, reverse=reverse)
        return to_ours(carry), ys

    return hk.without_apply_rng(hk.transform(forward))


def to_ours(carry):
    return LSTMCarry(carry.hidden, carry.cell) if isinstance(carry, hk.LSTMState) else carry


def random_problem(pair):
    """Random Haiku weights, inputs and initial carry."""
    xs, state = normal(1, TIME, BATCH, INPUT), normal(2, BATCH, HIDDEN)
    carry = hk.LSTMState(state, normal(3, BATCH, HIDDEN)) if pair.has_cell_state else state
    shapes = jax.eval_shape(transformed(pair).init, jax.random.key(0), xs, carry)
    return random_like(shapes, seed=0), xs, carry


def assert_agree(pair, reverse=False, reset=None):
    def ours(run, weights, xs, carry):
        return run(*from_haiku(weights), xs, to_ours(carry), reverse=reverse, reset=reset)

    assert_both_unrolls_agree(ours, transformed(pair, reverse, reset).apply, random_problem(pair), TOLERANCE)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pairs
def test_values_and_gradients_agree_with_haiku(pair, reverse):
    assert_agree(pair, reverse=reverse)


@pairs
def test_a_reset_is_the_one_of_reset_core(pair):
    assert_agree(pair, reset=jax.random.bernoulli(jax.random.key(4), 0.4, (TIME, BATCH)))
