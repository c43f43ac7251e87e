"""The folder in which a run saves its model: the commands read it after it was moved, and report a damaged one."""

import json
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.__main__ import main
from jaxrnn.commands.runs.task_names import TASKS
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.generation import SymbolModel
from jaxrnn.training.saving.blueprints import from_blueprint, to_blueprint
from jaxrnn.training.saving.manifest import seal
from jaxrnn.training.saving.model_folder import read_model_config
from tests.commands.small_runs import TINY
from tests.tasks import test_tasks


@pytest.fixture
def moved(trained, here):
    """Copy the model alone to another folder, which has the text."""
    shutil.copytree(trained / "runs" / "text" / "model", here / "model")
    return here / "model"


def said(capsys, argv, code=0):
    capsys.readouterr()
    assert main(argv) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


def test_a_run_ends_with_a_model_that_is_the_one_of_its_checkpoint(trained):
    run = trained / "runs" / "text"
    model, params = jaxrnn.load_model(run / "model")
    of_run = find_trained(str(run))
    assert isinstance(model, SymbolModel) and model == of_run.experiment.model
    assert jax.tree.all(jax.tree.map(np.array_equal, params, of_run.params))
    card = (run / "model" / "README.md").read_text()
    last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert last["split"] == "held_out"
    assert f"| bits per character | {last['bits_per_character']:.4g} |" in card and "6 updates" in card


def test_the_commands_take_the_moved_model_and_say_what_they_say_of_the_run(moved, trained, capsys):
    sample = ["--prompt", "99 bottles", "--length", "20"]
    of_run = said(capsys, ["sample", "--run", str(trained / "runs" / "text"), *sample])
    assert said(capsys, ["sample", "--run", "model", *sample]) == of_run
    of_run = said(capsys, ["evaluate", "--run", str(trained / "runs" / "text")])
    assert said(capsys, ["evaluate", "--run", "model"]).splitlines()[1:] == of_run.splitlines()[1:]


def test_a_prompt_with_unseen_characters_is_refused(moved, capsys):
    assert "é" in said(capsys, ["sample", "--run", "model", "--prompt", "é"], code=2)


def test_a_model_is_not_a_run_to_go_on_with(moved, capsys):
    assert "checkpoint" in said(capsys, ["train", "--resume", "--run", "model"], code=2)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_damaged_model_is_one_line(file, moved, capsys):
    broken = bytearray((moved / file).read_bytes())
    broken[len(broken) // 2] ^= 4
    (moved / file).write_bytes(broken)
    assert file in said(capsys, ["sample", "--run", "model"], code=2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"run": None}, "no run of `jaxrnn train` left this model"),
        ({"run": {"task": "os.system", "options": {}, "training": {}, "facts": {}, "step": 1}}, "not that of a run"),
        (
            {"run": {"task": "text", "options": {"hidden": "x"}, "training": {}, "facts": {}, "step": 1}},
            "fits no task",
        ),
        ({"model": {"class": "cells.GRU", "fields": {"input_size": 3, "hidden_size": 5}}}, "was it edited"),
    ],
)
def test_a_model_of_something_else_is_one_line(change, why, moved, capsys):
    (moved / "config.json").write_bytes(seal(read_model_config(moved) | change))
    assert why in said(capsys, ["sample", "--run", "model"], code=2)


@pytest.mark.parametrize("name", TASKS)
def test_the_model_of_every_task_can_be_saved(name):
    task = test_tasks.TINY[name]
    model = task.model(task.load()[1])
    own = {type(part) for part in (model,) if type(part).__module__.startswith("jaxrnn.tasks")}
    assert from_blueprint(json.loads(json.dumps(to_blueprint(model))), tuple(own)) == model


def test_export_writes_programs_that_say_what_the_model_says(moved, capsys, without_beartype):
    assert "README.md" in said(capsys, ["export", "model", "--stablehlo", "programs"])
    model, params = jaxrnn.load_model(moved)
    start, sequence = (
        jax.export.deserialize(Path("programs", f"{n}.stablehlo").read_bytes()) for n in ("start", "sequence")
    )
    given, tokens = dict(np.load("programs/params.npz")), np.arange(6, dtype=np.int32).reshape(3, 2)
    _, logits = sequence.call(given, tokens, np.ones((3, 2), bool), start.call(given, tokens[0]))
    np.testing.assert_allclose(logits, model.read(params, jnp.asarray(tokens))[1], atol=1e-12)


def test_export_says_what_it_needs(moved, capsys, monkeypatch):
    assert "--onnx FILE" in said(capsys, ["export", "model"], code=2)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install 'jaxrnn[onnx]'" in said(capsys, ["export", "model", "--onnx", "model.onnx"], code=2)


def test_a_model_of_byte_pairs_brings_its_tokenizer_and_goes_on_with_it(here, monkeypatch, capsys):
    assert main(["train", "--tokens", "270", "--file", "beer.txt", *TINY]) == 0
    run = here / "runs/text"
    tokenizer = (run / "tokenizer.json").read_text()
    assert json.loads(tokenizer)["model"]["type"] == "BPE"
    assert (run / "model/tokenizer.json").read_text() == tokenizer
    monkeypatch.setattr("jaxrnn.tasks.sequences.symbols.learn_byte_pairs", None)  # learned once for all
    shown = said(capsys, ["sample", "--run", "runs/text", "--prompt", "Ünseen: 9", "--length", "30"])
    shutil.copytree(run / "model", here / "moved")
    assert said(capsys, ["sample", "--run", "moved", "--prompt", "Ünseen: 9", "--length", "30"]) == shown
    assert shown.startswith("Ünseen: 9") and len(shown) == 9 + 30 + 1
    assert len(said(capsys, ["sample", "--run", "moved", "--length", "12", "--beam", "2"])) == 13
    of_run = said(capsys, ["evaluate", "--run", "runs/text", "--whole"]).splitlines()
    assert said(capsys, ["evaluate", "--run", "moved", "--whole"]).splitlines()[1:] == of_run[1:]
    assert "going on after update 6" in said(capsys, ["train", "--resume", "--extend-to", "8"])
    assert "--tokens 300" in said(capsys, ["train", "--resume", "--tokens", "300"], code=2)
