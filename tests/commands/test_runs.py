"""Runs: the files that they write, and how to continue them."""

import re
import sys
from pathlib import Path

import jax
import pytest

from jaxrnn.__main__ import main
from jaxrnn.commands.runs.experiments import restore
from jaxrnn.tasks.data import encode
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.training.saving.checkpoint import latest_step
from jaxrnn.training.saving.manifest import seal, unseal
from tests.commands.small_runs import TEXT, TINY, leaves, metrics, refused, without_speed


def test_a_run_leaves_metrics_a_curve_a_sample_and_a_checkpoint(trained):
    run = trained / "runs/text"
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert len((run / "sample.txt").read_text()) == 401
    assert latest_step(run / "checkpoints") == 6
    records = metrics(run)
    train = [r for r in records if r["split"] == "train"]
    held_out = [r for r in records if r["split"] == "held_out"]
    assert [r["step"] for r in train] == [r["step"] for r in held_out] == [2, 4, 6]
    for r in train:
        assert r["bits_per_character"] == pytest.approx(r["loss"] / 0.6931471805599453)
        assert r["characters_per_second"] > 0
    for r in held_out:
        assert r["perplexity"] == pytest.approx(2 ** r["bits_per_character"])
        assert r["characters"] == len(TEXT) // 10 - 1 and r["skipped"] == 0


def test_evaluate_says_what_the_run_said(finished, capsys):
    assert main(["evaluate"]) == 0
    said = capsys.readouterr().out
    assert f"{metrics(finished / 'runs/text')[-1]['bits_per_character']:.4f}" in said and "after update 6" in said


def test_sample_continues_the_prompt_and_the_seed_decides(finished, capsys):
    def sample(*argv):
        assert main(["sample", "--prompt", "99 bottles", "--length", "40", *argv]) == 0
        out = capsys.readouterr().out
        assert out.startswith("99 bottles") and len(out) == 10 + 40 + 1 and set(out) <= set(TEXT)
        return out

    assert sample() == sample() != sample("--seed", "1")
    assert sample("--temperature", "0") == sample("--temperature", "0", "--seed", "1")
    assert sample("--top-k", "1") == sample("--temperature", "0")
    assert sample("--top-p", "1e-6") == sample("--temperature", "0") != sample("--top-p", "1")
    assert sample("--beam", "1") == sample("--temperature", "0")


def test_the_beam_finds_a_text_that_is_at_least_as_likely(finished, capsys):
    def log_probability(beam):
        assert main(["sample", "--prompt", "9", "--length", "8", "--beam", beam]) == 0
        begun, state = restore(Path("runs/text"))
        tokens = encode(capsys.readouterr().out.rstrip("\n"), begun.facts["alphabet"])
        _, logits = begun.model.read(state.params, jax.numpy.asarray(tokens[:-1]))
        return sum(float(row[token]) for row, token in zip(jax.nn.log_softmax(logits), tokens[1:], strict=True))

    assert log_probability("20") >= log_probability("1")


def test_a_continuation_that_goes_round_in_circles_is_said_to(finished, capsys):
    assert main(["sample", "--length", "300", "--temperature", "0"]) == 0
    assert "over and over" in capsys.readouterr().err


def test_a_second_run_takes_a_folder_of_its_own(finished, capsys):
    before = leaves(finished / "runs/text")
    assert main(["train", "--task", "text", "--file", "beer.txt", "--seed", "1", *TINY]) == 0
    assert sorted(path.name for path in (finished / "runs").iterdir()) == ["text", "text-2"]
    assert leaves(finished / "runs/text") == before != leaves(finished / "runs/text-2")
    capsys.readouterr()
    assert main(["evaluate"]) == 0  # the newest
    assert capsys.readouterr().out.startswith("runs/text-2,")


def test_a_finished_run_is_not_gone_on_with(finished, capsys):
    before = leaves(finished / "runs/text")
    assert main(["train", "--resume"]) == 0
    assert "is finished" in capsys.readouterr().out and leaves(finished / "runs/text") == before


def test_a_finished_run_is_extended_and_the_rest_is_as_it_was(finished, capsys):
    before = without_speed(metrics(finished / "runs/text"))
    assert main(["train", "--resume", "--extend-to", "10"]) == 0
    assert "going on after update 6" in capsys.readouterr().out
    after = without_speed(metrics(finished / "runs/text"))
    assert after[: len(before)] == before and after[-1]["step"] == 10
    assert main(["train", "--resume"]) == 0 and "all 10 updates" in capsys.readouterr().out


def test_a_text_that_has_moved_is_named_and_the_run_goes_on(finished, capsys):
    (finished / "beer.txt").rename("moved.txt")
    assert main(["evaluate", "--file", "moved.txt"]) == 0
    assert main(["train", "--resume", "--extend-to", "8", "--file", "moved.txt"]) == 0
    assert main(["train", "--resume", "--extend-to", "10"]) == 0  # it is known where the text is now
    assert latest_step(finished / "runs/text/checkpoints") == 10


def test_a_run_goes_on_from_another_folder(finished, monkeypatch):
    assert main(["train", "--file", "beer.txt", "--run", "other", *TINY]) == 0
    (finished / "deeper").mkdir()
    monkeypatch.chdir(finished / "deeper")
    assert main(["train", "--resume", "--run", "../other", "--extend-to", "8"]) == 0


@pytest.mark.parametrize("scores", [[3.0, 1.0, 2.0], [float("nan"), 1.0, 1.0]])
def test_the_best_state_is_kept_and_read(here, capsys, monkeypatch, scores):
    left = list(scores)
    with monkeypatch.context() as patch:
        patch.setattr(Text, "evaluate", lambda *_: {"bits_per_character": left.pop(0)})
        assert main(["train", "--file", "beer.txt", "--run", "b", *TINY, "--dropout", "0.1", "--keep-best"]) == 0
    assert "best:     update 4, in b/best" in capsys.readouterr().out
    assert latest_step(here / "b/checkpoints") == 6 and latest_step(here / "b/best") == 4
    assert main(["evaluate", "--run", "b", "--best"]) == 0
    assert "after update 4\n" in capsys.readouterr().out
    assert main(["sample", "--run", "b", "--best", "--length", "3"]) == 0


def test_a_measurement_has_a_budget_and_the_whole_is_measured_on_demand(finished, capsys):
    assert main(["train", "--file", "beer.txt", "--run", "b", *TINY, "--evaluate-characters", "64"]) == 0
    assert metrics(finished / "b")[-1]["characters"] == 64
    capsys.readouterr()
    assert main(["evaluate", "--run", "b"]) == 0
    assert re.search(r"characters +64\n", capsys.readouterr().out)
    assert main(["evaluate", "--run", "b", "--whole"]) == 0
    assert re.search(rf"characters +{len(TEXT) // 10 - 1}\n", capsys.readouterr().out)


OF_0_1_0 = {
    "task": "text",
    "options": {"cell": "lstm", "layers": 1, "hidden": 4, "embedding": 3, "batch": 2, "length": 5, "file": "beer.txt"},
    "training": {
        **{"steps": 6, "learning_rate": 0.004, "warmup": 0, "clip": 1.0},
        **{"seed": 0, "every": 2, "dispatch": 2},
    },
}
"""The description of a run in a checkpoint of version 0.1.0, without the facts."""
LEAVES_OF_0_1_0 = [
    *("embedding", "cell.u", "cell.w", "cell.b", "readout.v", "readout.c"),
    *("inner_state.1.0.count", "inner_state.1.0.mu.cell.u", "inner_state.1.0.nu.readout.c", "inner_state.1.1.count"),
]


def test_a_run_of_version_0_1_0_has_the_same_options_facts_and_leaves(finished, capsys):
    (file,) = (finished / "runs/text/checkpoints").glob("*-step-6/manifest.json")
    manifest = unseal(file)
    names = {name.partition(".")[2] for name in manifest["leaves"] if name.startswith(("params.", "optimizer."))}
    assert names >= set(LEAVES_OF_0_1_0) and {"carry.h", "carry.c", "step"} <= set(manifest["leaves"])
    assert manifest["format"] == 1 and set(manifest["config"]["facts"]) == {"alphabet", "sha256", "characters"}
    manifest["config"] = OF_0_1_0 | {"facts": manifest["config"]["facts"]}
    file.write_bytes(seal(manifest))
    assert main(["sample", "--length", "5"]) == 0 and main(["evaluate"]) == 0
    assert main(["train", "--resume", "--extend-to", "8"]) == 0
    assert "going on after update 6" in capsys.readouterr().out


def test_a_task_of_ones_own_is_named_by_module_and_class(tmp_path, capsys, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/tasks.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "mine.py").write_text(next(block for block in code if "class Rising" in block))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["train", "--task", "mine:Rising", "--hidden", "3", "--steps", "4", "--every", "2"]
    assert main([*words, "--help"]) == 0
    assert "Does a noisy series rise or fall?" in capsys.readouterr().out
    assert main(words) == 0
    assert main(["train", "--resume", "--run", "runs/rising", "--extend-to", "8"]) == 0
    assert main(["evaluate"]) == 0
    assert capsys.readouterr().out.count("runs/rising, after update 8") == 1
    assert "nothing to sample" in refused(capsys, ["sample"])


def test_the_task_is_an_option_and_a_resumed_run_knows_its_own(finished, capsys):
    assert main(["train", "--help"]) == 0 and re.search(r"^  --task ", capsys.readouterr().out, re.M)
    assert "--task" in refused(capsys, ["train", "--task"])
    assert main(["train", "--task=text", "--resume", "--run", "runs/text"]) == 0
    assert main(["train", "--resume"]) == 0
    assert capsys.readouterr().out.count("is finished") == 2
