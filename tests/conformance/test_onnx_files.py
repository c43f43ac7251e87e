"""Files of `to_onnx` in onnxruntime, float32, to 5e-6: every model, lengths with 0 among them, streams in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from jaxrnn import GRU, LSTM, Bidirectional, Elman, ManyToMany, ManyToOne, MinGRU, Readout, Stack, SymbolModel, unroll
from jaxrnn.cells.wrappers import Dropout
from jaxrnn.convert import ConversionError, to_onnx
from jaxrnn.core import mask_from_lengths
from jaxrnn.directions import BidirectionalStack
from jaxrnn.training.saving.records import name_leaves
from jaxrnn.trees import SequenceClassifier
from tests.random_params import random_params

TIME, LENGTHS = 7, np.array([7, 3, 0, 1], np.int32)
XS = np.random.default_rng(0).normal(size=(TIME, 4, 3)).astype("float32")
PADS = np.float32(0), np.float32("nan")
TOKENS = np.random.default_rng(1).integers(0, 9, (TIME, 4))
DEEP = BidirectionalStack((Bidirectional(LSTM(3, 4), LSTM(3, 4)), Bidirectional(GRU(8, 2), GRU(8, 2), "sum")))
NETWORKS = {
    "Elman": Elman(3, 5),
    "Elman relu": Elman(3, 5, "relu"),
    "Elman identity": Elman(3, 5, "identity"),
    "LSTM": LSTM(3, 5),
    "LSTM with peepholes": LSTM(3, 5, "current"),
    "GRU before": GRU(3, 5),
    "GRU after": GRU(3, 5, "after"),
    "stack": Stack((LSTM(3, 5, "current"), GRU(5, 4), Elman(4, 2))),
    "stack with dropout": Stack((Dropout(LSTM(3, 5), 0.3), GRU(5, 4, "after"))),
    "both directions": Bidirectional(LSTM(3, 5, "current"), LSTM(3, 5, "current")),
    "their sum": Bidirectional(Elman(3, 5, "relu"), Elman(3, 5), "sum"),
    "deep": DEEP,
}


def float32_params(model):
    return jax.tree.map(lambda a: a.astype(jnp.float32), random_params(model, 0))


def session(model, params, path, **options):
    to_onnx(model, params, path, **options)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def named(prefix, carry):
    """Return the arrays of a carry by the names of a file's inputs or outputs."""
    return {
        prefix if name == "leaf" else f"{prefix}.{name}": np.asarray(leaf, np.float32)
        for name, leaf in name_leaves(carry).items()
    }


def run(started, feeds):
    return dict(zip([out.name for out in started.get_outputs()], started.run(None, feeds), strict=True))


def assert_close(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=5e-6, err_msg=name)


def ours(network, params, xs, carry, mask=None):
    unrolled = network.apply if hasattr(network, "apply") else lambda *a, **k: unroll(network, *a, **k)
    return unrolled(params, jnp.asarray(xs), carry, mask=mask)


@pytest.fixture(params=NETWORKS)
def case(request):
    network = NETWORKS[request.param]
    if request.param == "stack with dropout":
        quiet = Stack((LSTM(3, 5), GRU(5, 4, "after")))
        return network, quiet, float32_params(quiet)
    return network, network, float32_params(network)


def random_carry(network, params, rows):
    rng = np.random.default_rng(2)
    zeros = network.initial_carry(params, (rows,))
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), zeros)


def test_values_with_lengths_and_a_carry(case, tmp_path):
    exported, network, params = case
    started = session(exported, params, tmp_path / "model.onnx")
    carry = random_carry(network, params, 4)
    found = run(started, {"xs": XS, "lengths": LENGTHS} | named("carry", carry))
    end, ys = ours(network, params, XS, carry, mask_from_lengths(jnp.asarray(LENGTHS), TIME))
    assert_close(found, {"ys": ys} | named("next_carry", end))


def test_nothing_in_the_padding_reaches_a_value(case, tmp_path):
    exported, network, params = case
    started = session(exported, params, tmp_path / "model.onnx")
    carry = named("carry", random_carry(network, params, 4))
    padding = (np.arange(TIME)[:, None] >= LENGTHS)[..., None]
    clean, dirty = (run(started, {"xs": np.where(padding, pad, XS), "lengths": LENGTHS} | carry) for pad in PADS)
    assert all(np.array_equal(clean[name], dirty[name]) for name in clean)


def test_values_without_lengths_and_without_a_carry_in_any_size(case, tmp_path):
    exported, network, params = case
    started = session(exported, params, tmp_path / "model.onnx", lengths=False, carry=False)
    for xs in (XS, XS[:1], XS[:, :1]):
        assert_close(run(started, {"xs": xs}), {"ys": ours(network, params, xs, None)[1]})


@pytest.mark.parametrize("name", ["LSTM with peepholes", "GRU after", "stack"])
def test_a_stream_in_pieces_is_the_stream(name, tmp_path):
    """Rows end in different pieces: a row that is over has length 0 in what follows."""
    network = NETWORKS[name]
    params = float32_params(network)
    started = session(network, params, tmp_path / "model.onnx")
    carry = named("carry", network.initial_carry(params, (4,)))
    pieces = []
    for begin, end in ((0, 2), (2, 3), (3, 7)):
        found = run(started, {"xs": XS[begin:end], "lengths": np.clip(LENGTHS - begin, 0, end - begin)} | carry)
        pieces.append(found.pop("ys"))
        carry = {given.removeprefix("next_"): array for given, array in found.items()}
    mask = mask_from_lengths(jnp.asarray(LENGTHS), TIME)
    end, ys = ours(network, params, XS, None, mask)
    assert_close({"ys": np.concatenate(pieces)} | carry, {"ys": ys} | named("carry", end))


def test_an_output_at_every_step(tmp_path):
    model = ManyToMany(Stack((GRU(3, 5), LSTM(5, 4))), Readout(4, 6))
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", carry=False)
    mask = mask_from_lengths(jnp.asarray(LENGTHS), TIME)
    expected = model.logits(params, jnp.asarray(XS), mask=mask)
    assert_close(run(started, {"xs": XS, "lengths": LENGTHS}), {"logits": expected})
    assert (expected[3:, 1] == 0).all()


@pytest.mark.parametrize("lengths", [True, False])
def test_an_output_at_the_end(lengths, tmp_path):
    model = ManyToOne(Stack((GRU(3, 5), LSTM(5, 4, "current"))), Readout(4, 6))
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", lengths=lengths)
    mask = mask_from_lengths(jnp.asarray(LENGTHS), TIME) if lengths else None
    feeds = {"xs": XS} | ({"lengths": LENGTHS} if lengths else {})
    assert_close(run(started, feeds), {"logits": model.logits(params, jnp.asarray(XS), mask=mask)})


def test_a_language_model_and_its_stream(tmp_path):
    model = SymbolModel(LSTM(3, 5), vocabulary=9, features=3, hidden_size=5)
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", lengths=False)
    carry, expected = model.read(params, jnp.asarray(TOKENS))
    first = run(started, {"tokens": TOKENS[:3]} | named("carry", model.initial_carry(params, (4,))))
    logits = first.pop("logits")
    rest = run(started, {"tokens": TOKENS[3:]} | {name.removeprefix("next_"): a for name, a in first.items()})
    found = {"logits": np.concatenate([logits, rest.pop("logits")])} | rest
    assert_close(found, {"logits": expected} | named("next_carry", carry))


def test_a_symbol_model(tmp_path):
    model = SymbolModel(GRU(3, 5), vocabulary=9, features=3, hidden_size=5, stop_unit=True)
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx", carry=False)
    expected = model.apply(params, jnp.asarray(TOKENS[1:]), jnp.full(4, TIME - 1), start=jnp.asarray(TOKENS[0]))
    found = run(started, {"tokens": TOKENS[:-1], "lengths": np.full(4, TIME - 1, np.int32)})
    assert_close(found, {"logits": expected})


def test_a_classifier_of_token_sequences(tmp_path):
    model = SequenceClassifier(LSTM(3, 5), symbols=9, features=3, hidden_size=5, classes=2)
    params = float32_params(model)
    started = session(model, params, tmp_path / "model.onnx")
    expected = model.logits(params, jnp.asarray(TOKENS), jnp.asarray(LENGTHS))
    assert_close(run(started, {"tokens": TOKENS, "lengths": LENGTHS}), {"logits": expected})


@pytest.mark.parametrize("cell", [GRU(3, 5), MinGRU(3, 5)])
def test_a_predicted_length_is_refused(cell, tmp_path):
    model = SymbolModel(cell, 9, 3, 5, longest=4)
    with pytest.raises(ConversionError, match="predicted length"):
        to_onnx(model, float32_params(model), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_a_file_cannot_hold_is_named(tmp_path):
    cell = GRU(3, 5)
    with pytest.raises(ConversionError, match=r"must be float32 for ONNX, got float64"):
        to_onnx(cell, random_params(cell), tmp_path / "model.onnx")
    model = ManyToOne(cell, Readout(5, 2))
    with pytest.raises(ConversionError, match="one output per sequence"):
        to_onnx(model, float32_params(model), tmp_path / "model.onnx", carry=True)
