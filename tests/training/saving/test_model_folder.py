"""A model as a folder: restored bit for bit in its own precision; bits, classes or fields not written are rejected."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import GRU, Attention, Bidirectional, ManyToOne, Readout, Stack
from jaxrnn.seq2seq import Attending
from jaxrnn.training.saving import Card, CheckpointError, load_model, read_model_config, save_model
from jaxrnn.training.saving.blueprints import from_blueprint, to_blueprint
from jaxrnn.training.saving.manifest import seal
from tests.laws.cells import CELLS, LIBRARY, Own
from tests.random_params import random_params

MODEL = ManyToOne(Stack((GRU(3, 5), GRU(5, 4, "after"))), Readout(4, 2))


def bits(tree):
    return [(np.asarray(leaf).dtype, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


@pytest.fixture
def folder(tmp_path):
    save_model(
        tmp_path / "model", MODEL, random_params(MODEL), card=Card("Two classes", "Of rows.", {"accuracy": 0.93})
    )
    return tmp_path / "model"


@pytest.mark.parametrize("cell", LIBRARY.values(), ids=LIBRARY)
def test_every_cell_of_the_library_comes_back_as_it_was(cell):
    assert from_blueprint(json.loads(json.dumps(to_blueprint(cell))), (Own,)) == cell


def test_a_whole_model_comes_back_bit_for_bit(folder):
    model, params = load_model(folder)
    assert model == MODEL
    assert jax.tree.structure(params) == jax.tree.structure(random_params(MODEL))
    assert bits(params) == bits(random_params(MODEL))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_parameters_keep_their_precision(dtype, tmp_path):
    params = jax.tree.map(lambda a: a.astype(dtype), random_params(MODEL))
    save_model(tmp_path, MODEL, params)
    assert bits(load_model(tmp_path)[1]) == bits(params)


def test_a_transposed_array_is_written_in_its_own_order(tmp_path):
    params = random_params(GRU(3, 5))
    turned = params._replace(w=np.asfortranarray(params.w))
    save_model(tmp_path, GRU(3, 5), turned)
    assert bits(load_model(tmp_path)[1]) == bits(params)


def test_a_class_of_the_reader_s_own_must_be_given(tmp_path):
    model = ManyToOne(CELLS["own"], Readout(5, 2))
    save_model(tmp_path, model, random_params(model))
    with pytest.raises(CheckpointError, match=r"'tests\.laws\.cells\.Own' must be a public class of jaxrnn or one of"):
        load_model(tmp_path)
    assert load_model(tmp_path, classes=(Own,))[0] == model


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_noticed_wherever_it_is(file, folder):
    whole = (folder / file).read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        broken = bytearray(whole)
        broken[at] ^= 1
        (folder / file).write_bytes(broken)
        with pytest.raises(CheckpointError, match=file):
            load_model(folder)
    (folder / file).write_bytes(whole)
    load_model(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_truncated_or_missing_file_is_named(file, left, folder):
    (folder / file).write_bytes((folder / file).read_bytes()[:left])
    with pytest.raises(CheckpointError, match=file):
        load_model(folder)
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        load_model(folder)


def resealed(folder, change):
    """Change the configuration of a folder and seal it again, as a malicious writer would."""
    config = read_model_config(folder)
    change(config)
    (folder / "config.json").write_bytes(seal(config))


@pytest.mark.parametrize(
    ("blueprint", "why"),
    [
        ({"class": "os.system", "fields": {"command": "true"}}, "'os.system' must be a public class"),
        ({"class": "builtins.eval", "fields": {}}, "'builtins.eval' must be a public class"),
        ({"class": "cells.lstm.LSTM", "fields": {}}, "'cells.lstm.LSTM' must be a public class"),
        ({"class": "cells.GRU", "fields": {"input_size": 3}}, "cells.GRU cannot be built"),
        (
            {"class": "cells.GRU", "fields": {"input_size": 3, "hidden_size": -5}},
            "built.*hidden_size",
        ),
        ({"class": "cells.GRU", "fields": {"input_size": 3, "hidden_size": 5, "x": 1}}, "cells.GRU cannot be built"),
        ({"class": "cells.GRU"}, "described by class and fields"),
        (["cells.GRU"], "described by class and fields"),
        ({"class": 3, "fields": {}}, "described by class and fields"),
        ({"class": "cells.GRU", "fields": {"input_size": 3, "hidden_size": 6}}, "model.safetensors"),
        ("GRU", "describes no model that can be run"),
        ({"class": "cells.wrappers.Stack", "fields": {"cells": {"tuple": ["a"]}}}, "wrappers.Stack cannot be built"),
    ],
)
def test_a_hostile_description_is_refused(blueprint, why, folder):
    resealed(folder, lambda config: config.update(model=blueprint))
    with pytest.raises(CheckpointError, match=why):
        load_model(folder)


def test_a_foreign_or_newer_folder_is_refused(folder):
    resealed(folder, lambda config: config.update(format=2))
    with pytest.raises(CheckpointError, match="another library or version"):
        load_model(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "sha256": "x"}))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_model(folder)


def test_a_deeply_nested_file_is_no_crash(folder):
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_model(folder)


def test_the_card_says_what_the_model_is_and_may_be_edited(folder):
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: ")
    assert "# Two classes" in card and "| accuracy | 0.93 |" in card and repr(MODEL) in card
    (folder / "README.md").write_text("Mine.")
    load_model(folder)


def test_numbers_that_json_has_not_and_tuples_come_back():
    @jax.tree_util.register_static
    @dataclasses.dataclass(frozen=True)
    class Odd:
        sizes: tuple
        bound: float = float("inf")

    odd = Odd((1, (2.5, None, "a")), float("-inf"))
    text = json.dumps(to_blueprint(odd), allow_nan=False)
    assert from_blueprint(json.loads(text), (Odd,)) == odd


def test_what_cannot_be_saved_is_named(tmp_path):
    @jax.tree_util.register_static
    @dataclasses.dataclass(frozen=True)
    class Holds:
        function: object

        def init(self, key):
            return jnp.ones(2)

    with pytest.raises(TypeError, match=r"fields must be numbers, strings.*got <built-in function abs>"):
        save_model(tmp_path, Holds(abs), jnp.ones(2))
    with pytest.raises(TypeError, match="`run` must be JSON"):
        save_model(tmp_path, MODEL, random_params(MODEL), run={"task": object()})
    with pytest.raises(ValueError, match="`params"):
        save_model(tmp_path, MODEL, random_params(GRU(3, 5)))
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written"):
        save_model(tmp_path / "file", MODEL, random_params(MODEL))


def test_large_models_of_the_other_sections_come_back(tmp_path):
    decoder = Attending(GRU(4 + 6, 5), Attention(5, 4, "additive", 6), source=6)
    for model in (Bidirectional(GRU(3, 5), GRU(3, 5)), decoder, jaxrnn.ESN(GRU(3, 5), Readout(5, 2), feedback=True)):
        save_model(tmp_path, model, random_params(model))
        assert load_model(tmp_path)[0] == model
