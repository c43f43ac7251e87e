"""Cells without native nodes in onnxruntime, float32: values, lengths with 0 among them, padding, streams in pieces."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
import pytest
from jax import lax

from jaxrnn import LSTM, Bidirectional, ManyToMany, ManyToOne, MinGRU, Readout, Stack, SymbolModel, quiet
from jaxrnn.cells import MGU, Delays
from jaxrnn.convert import ConversionError, to_onnx
from jaxrnn.core import mask_from_lengths
from jaxrnn.trees import SequenceClassifier
from tests.conformance.test_onnx_files import LENGTHS, TIME, TOKENS, XS, float32_params, named, ours, run, session
from tests.laws.cells import CELLS

pytestmark = pytest.mark.usefixtures("without_beartype")  # a symbolic size is no int
SAMPLE = (
    *("lstm_peephole_previous", "projected_lstm", "every_layer", "expected_zoneout", "own", "layer_norm_lstm", "deep"),
    *(
        "leaky_lstm",
        "clockwork",
        "ntm",
        "liquid",
        "min_gru",
        "min_lstm",
        "lru",
        "s5",
        "rg_lru",
        "mamba",
        "slstm",
        "mgu",
    ),
    *("short_conv", "gated_delta", "delta_product", "mlstm_exponential", "retention", "attending"),
)


def a_run(name):
    """Return a cell, its parameters, inputs, a carry other than the initial one, and its output."""
    cell = quiet(CELLS[name])
    xs = XS if name != "rg_lru" else np.concatenate([XS, XS[..., :1]], -1)
    params, rng = float32_params(cell), np.random.default_rng(2)
    initial = cell.initial_carry(params, (4,))
    return (
        cell,
        params,
        xs,
        jax.tree.map(lambda a: a + jnp.asarray(rng.uniform(0, 1, a.shape)).astype(a.dtype), initial),
    )


def feeds_of(xs, lengths, carry):
    arrays = named("carry", carry)
    whole = {name: np.asarray(leaf) for name, leaf in zip(arrays, jax.tree.leaves(carry), strict=True)}
    return {"xs": xs, "lengths": lengths} | whole


def close(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=5e-6, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("name", SAMPLE)
def test_values_lengths_padding_and_a_stream_in_pieces(name, tmp_path):
    cell, params, xs, carry = a_run(name)
    started = session(cell, params, tmp_path / "model.onnx", input_size=xs.shape[-1])
    end, ys = ours(cell, params, xs, carry, mask_from_lengths(jnp.asarray(LENGTHS), TIME))
    expected = {"ys": ys} | named("next_carry", end)
    padding = (np.arange(TIME)[:, None] >= LENGTHS)[..., None]
    dirty = np.where(padding, np.float32("nan"), xs)
    close(run(started, feeds_of(dirty, LENGTHS, carry)), expected)
    pieces, feeds = [], feeds_of(xs, LENGTHS, carry)
    for begin, stop in ((0, 2), (2, 3), (3, 7)):
        feeds |= {"xs": xs[begin:stop], "lengths": np.clip(LENGTHS - begin, 0, stop - begin)}
        found = run(started, feeds)
        pieces.append(found.pop("ys"))
        feeds = {name.removeprefix("next_"): array for name, array in found.items()}
    close({"ys": np.concatenate(pieces)} | found, expected)


@pytest.mark.parametrize("name", ["min_gru", "own", "stack_of_own"])
def test_any_size_without_lengths_and_without_a_carry(name, tmp_path):
    cell, params, *_ = a_run(name)
    started = session(cell, params, tmp_path / "model.onnx", lengths=False, carry=False)
    for xs in (XS, XS[:1], XS[:, :1]):
        close(run(started, {"xs": xs}), {"ys": ours(cell, params, xs, None)[1]})


def test_both_directions_of_unlike_cells(tmp_path):
    network = Bidirectional(MGU(3, 4), LSTM(3, 4, "previous"))
    params = float32_params(network)
    started = session(network, params, tmp_path / "model.onnx", carry=False)
    _, ys = ours(network, params, XS, None, mask_from_lengths(jnp.asarray(LENGTHS), TIME))
    close(run(started, {"xs": XS, "lengths": LENGTHS}), {"ys": ys})


def test_an_output_at_every_step_is_0_on_padding(tmp_path):
    model = ManyToMany(MGU(3, 4), Readout(4, 2))
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", carry=False)
    mask = mask_from_lengths(jnp.asarray(LENGTHS), TIME)
    close(run(started, {"xs": XS, "lengths": LENGTHS}), {"logits": model.logits(params, jnp.asarray(XS), mask=mask)})


@pytest.mark.parametrize("lengths", [True, False])
def test_one_output_a_sequence(lengths, tmp_path):
    model = ManyToOne(Stack((MinGRU(3, 5), LSTM(5, 4))), Readout(4, 6))
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", lengths=lengths)
    mask = mask_from_lengths(jnp.asarray(LENGTHS), TIME) if lengths else None
    feeds = {"xs": XS} | ({"lengths": LENGTHS} if lengths else {})
    close(run(started, feeds), {"logits": model.logits(params, jnp.asarray(XS), mask=mask)})


def test_tokens_in_a_language_model_and_a_classifier(tmp_path):
    model = SymbolModel(MinGRU(3, 5), vocabulary=9, features=3, hidden_size=5)
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", lengths=False)
    carry, expected = model.read(params, jnp.asarray(TOKENS))
    feeds = {"tokens": TOKENS} | named("carry", model.initial_carry(params, (4,)))
    close(run(started, feeds), {"logits": expected} | named("next_carry", carry))
    classifier = SequenceClassifier(MGU(3, 5), symbols=9, features=3, hidden_size=5, classes=2)
    params = float32_params(classifier)
    started = session(classifier, params, tmp_path / "classifier.onnx")
    expected = classifier.logits(params, jnp.asarray(TOKENS), jnp.asarray(LENGTHS))
    close(run(started, {"tokens": TOKENS, "lengths": LENGTHS}), {"logits": expected})


def test_what_depends_on_parameters_alone_is_a_number_of_the_file(tmp_path):
    cell = quiet(CELLS["leaky_lstm"])
    to_onnx(cell, float32_params(cell), tmp_path / "model.onnx", lengths=False)
    (scan,) = (node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Scan")
    operators = [node.op_type for node in scan.attribute[0].g.node]
    assert operators.count("MatMul") == 1 and "CumSum" not in operators


@jax.tree_util.register_static
@dataclass(frozen=True)
class Sorts:
    """A cell that sorts: ONNX has no such operator."""

    input_size: int = 3

    def init(self, key):
        return {"w": jax.random.normal(key, (3, 3))}

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros((*batch_shape, 3), params["w"].dtype)

    def project(self, params, xs):
        return xs @ params["w"]

    def step(self, params, carry, z):
        h = lax.sort(carry + z)
        return h, h


def test_an_operation_that_onnx_does_not_have_is_named(tmp_path):
    with pytest.raises(ConversionError, match=r"operations that ONNX has, got sort; convert\.export"):
        to_onnx(Sorts(), float32_params(Sorts()), tmp_path / "model.onnx")
    with pytest.raises(ConversionError, match="`input_size` must be given"):
        to_onnx(CELLS["short_conv"], float32_params(CELLS["short_conv"]), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_numbers_near_zero_keep_their_digits(tmp_path):
    from jaxrnn.convert.onnx.graph import Graph
    from jaxrnn.convert.onnx.programs import write_program

    xs = np.float32([-30, -2, -0.4, -1e-3, -1e-7, 0, 1e-7, 1e-3, 0.4, 0.6, 3, 20])
    for function in (jnp.expm1, lambda x: jnp.log1p(jnp.abs(x))):
        graph = Graph()
        graph.value("inputs", "x", np.float32, xs.shape)
        (out,) = write_program(graph, jax.make_jaxpr(function)(xs), ["x"])
        graph.node("Identity", [out], [graph.value("outputs", "y", np.float32, xs.shape)])
        started = onnxruntime.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(started.run(None, {"x": xs})[0], function(xs.astype(float)), rtol=1e-6, atol=0)


def test_delays_have_one_loop_and_the_names_of_their_carry(tmp_path):
    cell = Delays(3, 5, (1, 2))
    to_onnx(cell, float32_params(cell), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert sum(node.op_type == "Scan" for node in graph.node) == 1
    assert [value.name for value in graph.input][:2] == ["xs", "lengths"]
