"""onnxruntime on models built by `onnx.helper`: float32, to 5e-6.

ONNX orders the gates i, o, f, c (LSTM; the peepholes i, o, f) and z, r, h (GRU), keeps two biases per gate,
and lets the output gate's peephole read C(t): our `peephole="current"`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from jaxrnn import LSTM, mask_from_lengths, unroll, unroll_bptt
from jaxrnn.cells import LSTMCarry
from jaxrnn.convert import from_onnx_tensors
from tests.conformance.random_cases import BATCH, HIDDEN, INPUT, LENGTHS, TIME, assert_close, normal, with_padding

TOLERANCE = 5e-6
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


class Weights(NamedTuple):
    """ONNX' tensors for one direction, under ONNX' names."""

    W: jax.Array
    R: jax.Array
    B: jax.Array
    P: jax.Array


def random_weights(gates: int, seed: int) -> Weights:
    n = gates * HIDDEN
    shapes = Weights((n, INPUT), (n, HIDDEN), (2 * n,), (3 * HIDDEN,))
    return Weights(*(normal(seed + k, *shape, dtype=jnp.float32) for k, shape in enumerate(shapes)))


class Case(NamedTuple):
    """An ONNX operator with its attributes."""

    operator: str
    gates: int
    attributes: dict
    peephole: bool = False

    def ours(self, weights):
        """Our cell for one direction, and its parameters."""
        tensors = {name: array[None] for name, array in weights._asdict().items() if name != "P" or self.peephole}
        attributes = {name: [value] if name == "activations" else value for name, value in self.attributes.items()}
        return from_onnx_tensors(self.operator, tensors, **attributes)


CASES = {
    "RNN tanh": Case("RNN", 1, {"activations": "Tanh"}),
    "RNN relu": Case("RNN", 1, {"activations": "Relu"}),
    "LSTM": Case("LSTM", 4, {}),
    "LSTM with peepholes": Case("LSTM", 4, {}, peephole=True),
    "GRU linear_before_reset=0": Case("GRU", 3, {"linear_before_reset": 0}),
    "GRU linear_before_reset=1": Case("GRU", 3, {"linear_before_reset": 1}),
}


def one_node(case, direction, feeds, outputs):
    """Return a serialized model of one node that takes `feeds`."""
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    order = order[: 1 + max(order.index(name) for name in feeds)]
    attributes = dict(case.attributes, hidden_size=HIDDEN, direction=direction)
    if "activations" in attributes:
        attributes["activations"] = [attributes["activations"]] * len(DIRECTIONS[direction])
    node = helper.make_node(case.operator, [name if name in feeds else "" for name in order], outputs, **attributes)
    types = {name: helper.np_dtype_to_tensor_dtype(value.dtype) for name, value in feeds.items()}
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(name, types[name], value.shape) for name, value in feeds.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (4 if name == "Y" else 3))
            for name in outputs
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def theirs(case, direction, weights, xs, states, lengths):
    """Run the model: `(ys [time, batch, directions · hidden], final states)`."""
    feeds = {"X": xs} | {name: jnp.stack([getattr(w, name) for w in weights]) for name in "WRB"}
    feeds |= {"sequence_lens": lengths.astype(jnp.int32), "initial_h": states[0]}
    if case.operator == "LSTM":
        feeds |= {"initial_c": states[1]}
    if case.peephole:
        feeds |= {"P": jnp.stack([w.P for w in weights])}
    feeds = {name: np.asarray(value) for name, value in feeds.items()}
    model = one_node(case, direction, feeds, ["Y", "Y_h", "Y_c"][: 1 + len(states)])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    ys, *finals = session.run(None, feeds)
    return np.concatenate(list(np.moveaxis(ys, 1, 0)), axis=-1), tuple(finals)


def ours(case, direction, weights, xs, states, lengths, *, run=unroll, cell=None):
    """Run the converted cells, one unroll per direction."""
    mask, sides, carries = mask_from_lengths(lengths, TIME), [], []
    for k, reverse in enumerate(DIRECTIONS[direction]):
        carry = LSTMCarry(*(s[k] for s in states)) if len(states) == 2 else states[0][k]
        own, params = case.ours(weights[k])
        carry, ys = run(own if cell is None else cell, params, xs, carry, mask=mask, reverse=reverse)
        sides.append(ys)
        carries.append(jax.tree.leaves(carry))
    return jnp.concatenate(sides, axis=-1), tuple(jnp.stack(state) for state in zip(*carries, strict=True))


def random_problem(case, direction):
    """Weights a direction, inputs and initial states, in ONNX' layout and float32."""
    count = len(DIRECTIONS[direction])
    weights = [random_weights(case.gates, seed=10 * k) for k in range(count)]
    states = tuple(
        normal(50 + k, count, BATCH, HIDDEN, dtype=jnp.float32) for k in range(2 if case.operator == "LSTM" else 1)
    )
    return weights, normal(60, TIME, BATCH, INPUT, dtype=jnp.float32), states


@pytest.mark.parametrize("run", [unroll, unroll_bptt])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sequences_of_unequal_length_agree_with_onnxruntime(case, direction, run):
    """Whatever stands in the padding: NaN in ours, numbers in theirs."""
    weights, xs, states = random_problem(case, direction)
    padded = with_padding(xs, LENGTHS, jnp.nan)
    result = ours(case, direction, weights, padded, states, LENGTHS, run=run)
    assert_close(result, theirs(case, direction, weights, xs, states, LENGTHS), TOLERANCE)


def test_the_output_gate_of_peephole_previous_is_not_the_one_of_onnx():
    """The chapter's output gate reads C(t−1), Gers' and ONNX' reads C(t)."""
    case = CASES["LSTM with peepholes"]
    chapter = LSTM(INPUT, HIDDEN, peephole="previous")
    problem = (*random_problem(case, "forward"), LENGTHS)
    (ys, _), (expected, _) = ours(case, "forward", *problem, cell=chapter), theirs(case, "forward", *problem)
    assert abs(ys - expected).max() > 1e-2


def test_the_two_resets_of_the_gru_differ():
    before, after = (CASES[f"GRU linear_before_reset={k}"] for k in (0, 1))
    problem = (*random_problem(before, "forward"), LENGTHS)
    (ys, _), (expected, _) = ours(before, "forward", *problem), theirs(after, "forward", *problem)
    assert abs(ys - expected).max() > 1e-2


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_row_of_length_0_keeps_its_carry_in_ours_and_becomes_0_in_onnxruntime(case):
    weights, xs, states = random_problem(case, "bidirectional")
    lengths = jnp.array([3, 0, 1])
    ys, kept = ours(case, "bidirectional", weights, xs, states, lengths)
    expected_ys, finals = theirs(case, "bidirectional", weights, xs, states, lengths)
    assert_close(ys, expected_ys, TOLERANCE)
    for ours_, theirs_, given in zip(kept, finals, states, strict=True):
        assert (ours_[:, 1] == given[:, 1]).all()
        assert (theirs_[:, 1] == 0).all()
        assert_close(ours_[:, ::2], theirs_[:, ::2], TOLERANCE)
