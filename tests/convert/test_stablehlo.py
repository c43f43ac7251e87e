"""Exported programs: for any time and batch, in a process without jaxrnn, with masks, carries and gradients."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import (
    GRU,
    LRU,
    LSTM,
    Bidirectional,
    Dropout,
    Leaky,
    ManyToMany,
    ManyToOne,
    MinGRU,
    Readout,
    Stack,
    SymbolModel,
    mask_from_lengths,
    unroll,
)
from jaxrnn.convert import ConversionError, export
from jaxrnn.training.saving.records import name_leaves
from jaxrnn.trees import SequenceClassifier
from tests.laws.cells import CELLS
from tests.random_params import random_params

pytestmark = pytest.mark.usefixtures("without_beartype")  # a symbolic size is no int
XS = np.random.default_rng(0).normal(size=(5, 3, 3))
MASK = np.asarray(mask_from_lengths(jnp.array([5, 2, 0]), 5))
NETWORKS = {
    "lstm": LSTM(3, 4, "current"),
    "stack": Stack((GRU(3, 5), Leaky(LSTM(5, 4), 0.5), MinGRU(4, 2))),
    "lru": LRU(3, 4, 5),
    "own": CELLS["own"],
    "delays": CELLS["delays"],
    "both directions": Bidirectional(GRU(3, 4), LSTM(3, 2)),
}


def arrays(tree):
    return {"carry" if name == "leaf" else name: leaf for name, leaf in name_leaves(tree).items()}


def assert_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, expected)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_a_network_with_masks_and_carries(network, tmp_path):
    params = random_params(network)
    programs = export(network, params, tmp_path, platforms=("cpu",))
    given = arrays(params)
    run = network.apply if isinstance(network, Bidirectional) else lambda *a, **k: unroll(network, *a, **k)
    carry = programs.start.call(given, XS[0])
    assert_close(carry, arrays(network.initial_carry(params, (3,))))
    end, ys = run(params, jnp.asarray(XS), mask=jnp.asarray(MASK))
    assert_close(programs.sequence.call(given, XS, MASK, carry), (arrays(end), ys))
    one_row = programs.sequence.call(given, XS[:2, :1], MASK[:2, :1], programs.start.call(given, XS[0, :1]))
    assert_close(one_row[1], run(params, jnp.asarray(XS[:2, :1]))[1])
    if programs.step is not None:
        for x in XS[:2]:
            carry, y = programs.step.call(given, x, carry)
        assert_close((carry, y), ((r := run(params, jnp.asarray(XS[:2]))) and arrays(r[0]), r[1][-1]))


MODELS = {
    "many to many": ManyToMany(GRU(3, 5), Readout(5, 2)),
    "many to one": ManyToOne(Stack((Dropout(LSTM(3, 5), 0.2), GRU(5, 4))), Readout(4, 2)),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_with_a_read_out(model, tmp_path):
    params = random_params(model)
    programs = export(model, params, tmp_path, platforms=("cpu",))
    quiet = ManyToOne(Stack((LSTM(3, 5), GRU(5, 4))), Readout(4, 2)) if isinstance(model, ManyToOne) else model
    expected = quiet.logits(params, jnp.asarray(XS), mask=jnp.asarray(MASK))
    carry = () if programs.start is None else (programs.start.call(arrays(params), XS[0]),)
    found = programs.sequence.call(arrays(params), XS, MASK, *carry)
    assert_close(found[1] if carry else found, expected)


def test_models_of_tokens(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 9, (5, 3)).astype(np.int32)
    model = SymbolModel(GRU(3, 4), 9, 3, 4)
    params = random_params(model)
    programs = export(model, params, tmp_path, platforms=("cpu",))
    carry = programs.start.call(arrays(params), tokens[0])
    end, logits = model.read(params, jnp.asarray(tokens))
    assert_close(programs.sequence.call(arrays(params), tokens, np.ones((5, 3), bool), carry), (arrays(end), logits))
    assert_close(programs.step.call(arrays(params), tokens[0], carry)[1], logits[0])
    classifier = SequenceClassifier(GRU(3, 4), 9, 3, 4, 2)
    params = random_params(classifier)
    program = export(classifier, params, tmp_path, platforms=("cpu",)).sequence
    expected = classifier.logits(params, jnp.asarray(tokens), jnp.array([5, 2, 0]))
    assert_close(program.call(arrays(params), tokens, MASK), expected)


ELSEWHERE = """
import sys
sys.modules["jaxrnn"] = None
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
given = dict(np.load("given.npz"))
params = dict(np.load("params.npz"))
sequence, start = (jax.export.deserialize(open(f"{name}.stablehlo", "rb").read()) for name in ("sequence", "start"))
def loss(params, xs):
    carry, ys = sequence.call(params, xs, given["mask"], start.call(params, xs[0]))
    return (ys * given["weights"]).sum() + sum(c.sum() for c in carry.values())
value, (dparams, dxs) = jax.value_and_grad(loss, (0, 1))(params, given["xs"])
np.savez("found.npz", value=value, dxs=dxs, **dparams)
"""


def test_values_and_gradients_in_a_process_without_jaxrnn(tmp_path):
    cell = Stack((LSTM(3, 4, "current"), GRU(4, 2, "after")))
    params, weights = random_params(cell), np.random.default_rng(1).normal(size=(5, 3, 2))
    export(cell, params, tmp_path, platforms=("cpu",), vjp_order=1)
    np.savez(tmp_path / "given.npz", xs=XS, mask=MASK, weights=weights)
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "found.npz"))

    def loss(params, xs):
        carry, ys = unroll(cell, params, xs, mask=jnp.asarray(MASK))
        return (ys * weights).sum() + sum(c.sum() for c in jax.tree.leaves(carry))

    value, (dparams, dxs) = jax.value_and_grad(loss, (0, 1))(params, jnp.asarray(XS))
    assert_close(found, {"value": value, "dxs": dxs} | arrays(dparams))


@pytest.mark.parametrize("name", ["lstm", "stack", "both directions"])
def test_one_program_is_lowered_for_gpus_and_tpus_where_there_is_none(name, tmp_path):
    network = NETWORKS[name]
    params = jax.tree.map(lambda a: a.astype("float32"), random_params(network))
    programs = export(network, params, tmp_path, vjp_order=1)
    for program in filter(None, programs):
        assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    xs = XS.astype("float32")
    sequence = jax.export.deserialize((tmp_path / "sequence.stablehlo").read_bytes())
    _, ys = sequence.call(arrays(params), xs, MASK, programs.start.call(arrays(params), xs[0]))
    run = network.apply if isinstance(network, Bidirectional) else partial(unroll, network)
    expected = run(params, jnp.asarray(xs), mask=jnp.asarray(MASK))[1]
    np.testing.assert_allclose(ys, expected, atol=1e-6)


def test_a_program_for_another_platform_alone_says_where_it_runs(tmp_path):
    cell = GRU(3, 4)
    params = random_params(cell)
    programs = export(cell, params, tmp_path, platforms=("tpu",))
    with pytest.raises(ValueError, match="exported for platforms '\\('tpu',\\)' but it is used on '\\('cpu',\\)'"):
        programs.start.call(arrays(params), XS[0])


def test_the_folder_holds_the_programs_the_parameters_and_how_to_load_them(tmp_path):
    cell = GRU(3, 4)
    export(cell, random_params(cell), tmp_path, platforms=("cpu",))
    assert {path.name for path in tmp_path.iterdir()} == {
        *("sequence.stablehlo", "start.stablehlo", "step.stablehlo", "params.npz", "README.md")
    }


def test_what_is_no_program_is_named(tmp_path):
    model = SymbolModel(GRU(3, 4), 9, 3, 4, longest=5)
    with pytest.raises(ConversionError, match="predicted length"):
        export(model, random_params(model), tmp_path)
    cell = GRU(3, 4)
    with pytest.raises(ConversionError, match="dtypes of NumPy, got bfloat16"):
        export(cell, jax.tree.map(lambda a: a.astype("bfloat16"), random_params(cell)), tmp_path)
    assert list(tmp_path.iterdir()) == []
