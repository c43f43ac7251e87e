"""`jaxrnn export --onnx`: the file of a trained run gives the same results in onnxruntime as the run."""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime

import jaxrnn
from jaxrnn.__main__ import main

SIZES = ["--hidden", "4", "--embedding", "3", "--batch", "2", "--length", "5"]
OPTIONS = [*SIZES, "--steps", "2", "--every", "2", "--dispatch", "2", "--warmup", "0"]


def test_a_run_as_an_onnx_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("the cat sat on the mat. " * 60)
    assert main(["train", "--file", "a.txt", *OPTIONS]) == 0
    assert main(["export", "runs/text", "--onnx", "model.onnx"]) == 0
    assert "model.onnx: from tokens, lengths" in capsys.readouterr().out
    model, params = jaxrnn.load_model("runs/text/model")
    tokens = np.random.default_rng(0).integers(0, model.vocabulary, (6, 2))
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    feeds = {"tokens": tokens, "lengths": np.full(2, 6, np.int32)}
    feeds |= {given.name: np.zeros((2, 4), np.float32) for given in session.get_inputs() if given.name[:5] == "carry"}
    (logits,) = session.run(["logits"], feeds)
    np.testing.assert_allclose(logits, model.read(params, jnp.asarray(tokens))[1], rtol=0, atol=5e-6)


def test_a_model_without_native_nodes_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cell = jaxrnn.MinGRU(3, 5)
    jaxrnn.save_model("model", cell, cell.init(jax.random.key(0)))
    assert main(["export", "model", "--onnx", "model.onnx"]) == 2
    assert "no run of `jaxrnn train`" in capsys.readouterr().err
