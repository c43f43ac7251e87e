"""A language model of residual blocks on the command line: trained, measured, sampled, exported, loaded."""

import numpy as np

import jaxrnn
from jaxrnn.__main__ import main
from tests.commands.small_runs import metrics, refused

SIZES = ["--cell", "gated-delta", "--layers", "2", "--hidden", "4", "--batch", "2", "--length", "40"]
STEPS = ["--steps", "2", "--every", "2", "--warmup", "0"]


def test_blocks_are_trained_measured_sampled_exported_and_loaded(here, capsys, without_beartype):
    assert main(["train", "--file", "beer.txt", *SIZES, *STEPS]) == 0
    run = here / "runs" / "text"
    bits = metrics(run)[-1]["bits_per_character"]
    capsys.readouterr()
    assert main(["evaluate"]) == 0
    assert f"{bits:.4f}" in capsys.readouterr().out
    assert main(["sample", "--prompt", "99 bottles", "--length", "20"]) == 0
    assert capsys.readouterr().out.startswith("99 bottles")
    assert main(["export", str(run), "--stablehlo", "programs"]) == 0
    assert (here / "programs" / "README.md").exists()
    capsys.readouterr()
    model, params = jaxrnn.load_model(run / "model")
    assert np.isfinite(model.read(params, np.arange(5))[1]).all()


def test_an_embedding_of_another_size_and_an_onnx_file_are_refused(here, capsys):
    assert "--embedding 3: --cell mamba embeds" in refused(capsys, ["train", "--cell", "mamba", "--embedding", "3"])
