"""The tensors of ONNX nodes: ours there and back bit for bit; what a node cannot express, and what we cannot read."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Elman
from jaxrnn.cells import Delays
from jaxrnn.convert import ConversionError, from_onnx_tensors, to_onnx_tensors
from tests.convert.test_round_trips import assert_exact, float32_params
from tests.random_params import random_params

CELLS = [Elman(3, 5), Elman(3, 5, "relu"), Elman(3, 5, "identity"), LSTM(3, 5), LSTM(3, 5, "current"), GRU(3, 5)]
CELLS += [GRU(3, 5, "after")]


@pytest.mark.parametrize("cell", CELLS + [Bidirectional(cell, cell) for cell in CELLS], ids=repr)
def test_there_and_back(cell):
    params = float32_params(cell)
    node = to_onnx_tensors(cell, params)
    assert_exact(cell, params, from_onnx_tensors(node.operator, node.tensors, **node.attributes))


def test_two_activations_in_one_node():
    cell = Bidirectional(Elman(3, 5, "identity"), Elman(3, 5))
    node = to_onnx_tensors(cell, random_params(cell))
    assert node.attributes["activations"] == ["Affine", "Tanh"] and node.attributes["activation_alpha"] == [1.0]
    assert from_onnx_tensors(node.operator, node.tensors, **node.attributes)[0] == cell


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (LSTM(3, 5, "previous"), "reads C"),
        (Delays(3, 5, (1, 2)), "RNN, GRU and LSTM"),
        (Bidirectional(GRU(3, 5), LSTM(3, 5)), "one kind and size"),
        (Bidirectional(GRU(3, 5), GRU(3, 5, "after")), "one kind and size"),
        (Bidirectional(GRU(3, 5), GRU(3, 4)), "one kind and size"),
        (Bidirectional(LSTM(3, 5), LSTM(3, 5, "current")), "one kind and size"),
    ],
)
def test_a_cell_that_is_no_node_is_refused(cell, why):
    with pytest.raises(ConversionError, match=why):
        to_onnx_tensors(cell, random_params(cell))


W, R = np.ones((1, 15, 3)), np.ones((1, 15, 5))


@pytest.mark.parametrize(
    ("operator", "tensors", "attributes", "why"),
    [
        ("Conv", {}, {}, "one of RNN, GRU, LSTM, got 'Conv'"),
        ("GRU", {"W": W}, {}, "must hold 'R'"),
        ("GRU", {"W": W, "R": R, "P": np.ones((1, 15))}, {}, "has 'P'"),
        ("GRU", {"W": W, "R": R[:, :10]}, {}, r"'R'\]` must have shape \(1, 15, 5\)"),
        ("GRU", {"W": W, "R": R}, {"direction": "bidirectional"}, r"must have shape \(2, 15, 3\)"),
        ("GRU", {"W": W, "R": R}, {"direction": "up"}, "forward, reverse or bidirectional, got 'up'"),
        ("GRU", {"W": W, "R": R}, {"activations": ["HardSigmoid", "Tanh"]}, r"must be \['Sigmoid', 'Tanh'\]"),
        ("GRU", {"W": W, "R": R}, {"clip": 3.0}, "`clip` must be left out"),
        ("RNN", {"W": W[:, :5], "R": R[:, :5]}, {"activations": ["Softsign"]}, "Tanh, Relu, Affine, got"),
        (
            "RNN",
            {"W": W[:, :5], "R": R[:, :5]},
            {"activations": ["Affine"], "activation_alpha": [2.0]},
            "must be 1 and 0",
        ),
        ("LSTM", {"W": jnp.ones((1, 20, 3)), "R": jnp.ones((1, 20, 5))}, {"input_forget": 1}, "`input_forget`"),
    ],
)
def test_a_node_that_is_not_here_says_why(operator, tensors, attributes, why):
    with pytest.raises(ConversionError, match=why):
        from_onnx_tensors(operator, tensors, **attributes)
