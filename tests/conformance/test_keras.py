"""Keras on JAX in float32, against ours in float64, to 1e-6: SimpleRNN, LSTM, GRU with and without `reset_after`.

Keras packs i, f, c, o and z, r, h; `GRU(reset_after=True)` has a bias for the inputs and one for the state.
Its activations round to float32 whatever the layer's dtype, so float64 would not agree more closely.
With a mask its outputs repeat the last valid one, so they are compared on the valid steps.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import pytest

from jaxrnn import GRU, LSTM, Elman, mask_from_lengths, unroll, unroll_bptt
from jaxrnn.cells import LSTMCarry
from jaxrnn.cells.elman import ElmanParams
from jaxrnn.cells.gru import GRUParams
from jaxrnn.cells.lstm import LSTMParams
from tests.conformance.random_cases import (
    BATCH,
    HIDDEN,
    INPUT,
    LENGTHS,
    TIME,
    any_nan,
    assert_both_unrolls_agree,
    assert_close,
    normal,
    random_like,
    results_and_gradients,
    with_padding,
)

TOLERANCE = 1e-6


def gru_params(kernel, recurrent, bias):
    def order(packed):
        z, r, h = jnp.split(packed, 3, axis=-1)
        return jnp.concatenate([r, z, h], axis=-1)

    gates, u, w, b = 2 * HIDDEN, order(kernel), order(recurrent), order(bias)
    if b.ndim == 1:
        return GRUParams(u, w, b)
    return GRUParams(u, w, b[0].at[:gates].add(b[1, :gates]), b[1, gates:])


class Pair(NamedTuple):
    """One of Keras' layers and our cell."""

    layer: Callable
    cell: Elman | LSTM | GRU
    convert: Callable


PAIRS = {
    "SimpleRNN": Pair(keras.layers.SimpleRNN, Elman(INPUT, HIDDEN), ElmanParams),
    "LSTM": Pair(keras.layers.LSTM, LSTM(INPUT, HIDDEN), LSTMParams),
    "GRU reset_after=False": Pair(
        partial(keras.layers.GRU, reset_after=False), GRU(INPUT, HIDDEN, reset="before"), gru_params
    ),
    "GRU reset_after=True": Pair(
        partial(keras.layers.GRU, reset_after=True), GRU(INPUT, HIDDEN, reset="after"), gru_params
    ),
}
pairs = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def random_problem(pair, reverse):
    """Build a layer, and draw weights, inputs `[time, batch, input]` and initial states for it."""
    layer = pair.layer(HIDDEN, return_sequences=True, return_state=True, go_backwards=reverse)
    layer.build((BATCH, TIME, INPUT))
    weights = random_like([variable.value for variable in layer.trainable_variables], seed=0)
    states = [normal(2 + k, BATCH, HIDDEN, dtype=jnp.float32) for k in range(2 if isinstance(pair.cell, LSTM) else 1)]
    return layer, (weights, normal(1, TIME, BATCH, INPUT, dtype=jnp.float32), states)


def theirs(layer, lengths, weights, xs, states):
    """Run the layer as a pure function; return its outputs in our order, 0 on padding."""
    mask = None if lengths is None else mask_from_lengths(lengths, TIME).T
    fixed = [variable.value for variable in layer.non_trainable_variables]
    (ys, *states), _ = layer.stateless_call(weights, fixed, jnp.swapaxes(xs, 0, 1), initial_state=states, mask=mask)
    ys = jnp.swapaxes(ys[:, ::-1] if layer.go_backwards else ys, 0, 1)
    return states, ys if lengths is None else with_padding(ys, lengths, 0.0)


def ours(pair, reverse, lengths, run, weights, xs, states):
    """Run the converted layer by `run`, in float64."""
    weights, xs, states = jax.tree.map(lambda a: a.astype(jnp.float64), (weights, xs, states))
    mask = None if lengths is None else mask_from_lengths(lengths, TIME)
    carry = LSTMCarry(*states) if len(states) == 2 else states[0]
    carry, ys = run(pair.cell, pair.convert(*weights), xs, carry, mask=mask, reverse=reverse)
    return jax.tree.map(lambda a: a.astype(jnp.float32), (jax.tree.leaves(carry), ys))


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "masked"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pairs
def test_values_and_gradients_agree_with_keras(pair, reverse, lengths):
    layer, problem = random_problem(pair, reverse)
    run_ours, run_theirs = partial(ours, pair, reverse, lengths), partial(theirs, layer, lengths)
    assert_both_unrolls_agree(run_ours, run_theirs, problem, TOLERANCE)


@pairs
def test_nan_in_the_padding_reaches_the_gradients_of_keras_and_not_ours(pair):
    layer, (weights, xs, states) = random_problem(pair, reverse=False)
    problem = weights, with_padding(xs, LENGTHS, jnp.nan), states
    results, (dweights, _, _) = results_and_gradients(partial(theirs, layer, LENGTHS), *problem)
    assert not any_nan(results)
    assert any_nan(dweights)
    for run in (unroll, unroll_bptt):
        assert not any_nan(results_and_gradients(partial(ours, pair, False, LENGTHS, run), *problem))


def test_a_row_of_length_0_keeps_its_carry_in_keras_as_in_ours():
    pair, lengths = PAIRS["LSTM"], jnp.array([3, 0, 1])
    layer, problem = random_problem(pair, reverse=False)
    (kept, _), (expected, _) = (
        ours(pair, False, lengths, unroll, *problem),
        theirs(layer, lengths, *problem),
    )
    assert_close(kept, expected, TOLERANCE)
    assert (kept[0][1] == problem[2][0][1]).all()
