"""Keras layers in and out: `from_keras` of a layer computes what the layer does, and `set_weights` restores it."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Elman, Stack, unroll
from jaxrnn.convert import ConversionError, from_keras, to_keras
from jaxrnn.directions import BidirectionalStack
from tests.conformance.random_cases import normal

layers = keras.layers
XS = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
WHOLE = {"return_sequences": True}
LAYERS = {
    "SimpleRNN": (lambda: layers.SimpleRNN(6, activation="relu", **WHOLE), Elman(4, 6, "relu")),
    "SimpleRNN linear without a bias": (
        lambda: layers.SimpleRNN(6, activation="linear", use_bias=False, **WHOLE),
        Elman(4, 6, "identity"),
    ),
    "LSTM": (lambda: layers.LSTM(6, **WHOLE), LSTM(4, 6)),
    "GRU before": (lambda: layers.GRU(6, reset_after=False, **WHOLE), GRU(4, 6, "before")),
    "GRU after": (lambda: layers.GRU(6, reset_after=True, **WHOLE), GRU(4, 6, "after")),
    "GRU after without a bias": (lambda: layers.GRU(6, use_bias=False, **WHOLE), GRU(4, 6, "after")),
    "cells in a row": (
        lambda: layers.RNN([layers.LSTMCell(6), layers.GRUCell(5)], **WHOLE),
        Stack((LSTM(4, 6), GRU(6, 5, "after"))),
    ),
    "Bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(6, **WHOLE), merge_mode="sum"),
        Bidirectional(LSTM(4, 6), LSTM(4, 6), "sum"),
    ),
}


def random_layer(make, inputs=4):
    """Build a layer with random weights and biases."""
    layer = make()
    layer.build((None, None, inputs))
    layer.set_weights([normal(k, *w.shape, dtype=np.float32) for k, w in enumerate(layer.weights)])
    return layer


def theirs(*row):
    ys = np.swapaxes(XS, 0, 1)
    with jax.enable_x64(False):  # without a bias Keras' GRU adds float64 zeros
        for layer in row:
            ys = layer(ys)
    return np.swapaxes(np.asarray(ys), 0, 1)


def ours(cell, params):
    xs = jnp.asarray(XS)
    return cell.apply(params, xs)[1] if hasattr(cell, "apply") else unroll(cell, params, xs)[1]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_ours_and_comes_back(name):
    make, cell = LAYERS[name]
    layer = random_layer(make)
    read, params = from_keras(layer)
    assert read == cell
    np.testing.assert_allclose(ours(cell, params), theirs(layer), rtol=0, atol=1e-6)
    if "without a bias" in name:
        return
    before = [np.asarray(w.value) for w in layer.weights]
    written = to_keras(cell, params)
    layer.set_weights(written)
    np.testing.assert_allclose(ours(cell, params), theirs(layer), rtol=0, atol=1e-6)
    if "GRU after" not in name and name != "cells in a row":  # two biases become one
        assert all(np.array_equal(a, b) for a, b in zip(before, written, strict=True))


def test_layers_in_a_row_are_a_stack():
    row = [random_layer(lambda: layers.LSTM(6, **WHOLE)), random_layer(lambda: layers.GRU(5, **WHOLE), 6)]
    cell, params = from_keras(row)
    assert cell == Stack((LSTM(4, 6), GRU(6, 5, "after")))
    np.testing.assert_allclose(ours(cell, params), theirs(*row), rtol=0, atol=1e-6)
    both = [random_layer(lambda: layers.Bidirectional(layers.GRU(3, **WHOLE)), size) for size in (4, 6)]
    cell, params = from_keras(both)
    assert isinstance(cell, BidirectionalStack)
    np.testing.assert_allclose(ours(cell, params), theirs(*both), rtol=0, atol=1e-6)
    assert [a.shape for a in to_keras(cell, params)] == [w.shape for layer in both for w in layer.weights]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: layers.LSTM(6, activation="gelu"), r"`layer.activation` must be 'tanh', got 'gelu'"),
        (lambda: layers.GRU(6, recurrent_activation="hard_sigmoid"), "`layer.recurrent_activation` must be 'sigmoid'"),
        (lambda: layers.SimpleRNN(6, activation="softsign"), "'tanh' or 'relu' or 'linear', got 'softsign'"),
        (lambda: layers.GRU(6, go_backwards=True), "must not go backwards"),
        (lambda: layers.Bidirectional(layers.GRU(6), merge_mode="mul"), "'concat' or 'sum', got 'mul'"),
        (lambda: layers.Dense(6), "got Dense"),
    ],
)
def test_a_layer_that_is_not_here_says_why(make, why):
    with pytest.raises(ConversionError, match=why):
        from_keras(random_layer(make))


def test_a_layer_that_is_not_built_says_so():
    with pytest.raises(ConversionError, match="must be built"):
        from_keras(layers.LSTM(6))
