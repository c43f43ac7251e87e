"""Signals, kills and a second process: a run that was stopped and continued equals an uninterrupted one."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from jaxrnn.__main__ import main
from jaxrnn.commands.runs.run_folder import append_metrics, locked, rewind_metrics
from jaxrnn.commands.runs.signals import stop_wishes
from jaxrnn.training.saving.checkpoint import latest_step
from tests.commands.small_runs import SIZES, TINY, leaves, metrics, refused, wait_for


def test_a_folder_in_which_another_run_is_training_is_refused(finished, capsys):
    with locked(Path("runs/text")):
        said = refused(capsys, ["train", "--resume", "--extend-to", "8"])
        assert "runs/text" in said and "another process is training" in said
        Path("empty").mkdir()
        with locked(Path("empty")):
            assert "another process" in refused(capsys, ["train", "--file", "beer.txt", "--run", "empty", *TINY])
    assert main(["train", "--file", "beer.txt", "--run", "empty", *TINY]) == 0


@pytest.mark.process
def test_of_two_runs_that_begin_in_one_folder_one_is_refused(here, process):
    words = ["train", "--file", "beer.txt", "--run", "X", *TINY, "--steps", "100", "--every", "100", "--dispatch", "1"]
    both = [process(*words) for _ in range(2)]
    ends = [(run.communicate(timeout=200)[1], run.returncode) for run in both]
    assert sorted(code for _, code in ends) == [0, 2]
    (refusal,) = (err for err, code in ends if code == 2)
    assert refusal.startswith("jaxrnn: X: ") and refusal.count("\n") == 1
    assert [r["step"] for r in metrics(here / "X") if r["split"] == "train"] == list(range(1, 101))


@pytest.mark.process
def test_ctrl_c_saves_and_the_resumed_run_is_the_uninterrupted_one_bit_for_bit(here, process):
    options = [
        word for pair in (SIZES | {"--steps": "1500", "--every": "500", "--dispatch": "3"}).items() for word in pair
    ]
    whole = process("train", "--file", "beer.txt", "--run", "whole", *options)
    cut = process("train", "--file", "beer.txt", "--run", "cut", *options)
    wait_for(here / "cut", 20, cut)
    cut.send_signal(signal.SIGINT)
    out, err = cut.communicate(timeout=60)
    assert cut.returncode == 130 and "Traceback" not in err, err
    assert "stopped and saved" in out and "jaxrnn train --resume --run cut" in out
    step = latest_step(here / "cut/checkpoints")
    assert 60 <= step < 1500
    resumed = process("train", "--resume", "--run", "cut")
    out, err = resumed.communicate(timeout=90)
    assert resumed.returncode == 0 and f"going on after update {step}" in out, err
    out, err = whole.communicate(timeout=90)
    assert whole.returncode == 0
    assert [line.split(":")[0] for line in err.splitlines()] == ["update 500", "update 1000", "update 1500"]
    assert "\r" not in out + err and "held out:" in out  # without a terminal there is no bar
    assert leaves(here / "cut") == leaves(here / "whole")
    runs = [
        [{k: v for k, v in r.items() if "per_second" not in k} for r in metrics(here / run)] for run in ("cut", "whole")
    ]
    assert runs[0] == runs[1]
    assert (here / "cut/sample.txt").read_text() == (here / "whole/sample.txt").read_text()


@pytest.mark.process
def test_sigterm_saves_too(here, process):
    run = process("train", "--file", "beer.txt", "--run", "r", *TINY, "--steps", "1000000", "--every", "1000000")
    wait_for(here / "r", 9, run)
    run.send_signal(signal.SIGTERM)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 143 and "stopped and saved" in out and "Traceback" not in err, err
    assert latest_step(here / "r/checkpoints") >= 18


def test_a_signal_before_the_first_update_leaves_a_run_that_can_be_resumed(here, monkeypatch, capsys):
    @contextlib.contextmanager
    def at_once():
        with stop_wishes() as wishes:
            os.kill(os.getpid(), signal.SIGTERM)
            yield wishes

    with monkeypatch.context() as patched:
        patched.setattr("jaxrnn.commands.runs.training_loop.stop_wishes", at_once)
        assert main(["train", "--file", "beer.txt", *TINY]) == 143
    assert latest_step(here / "runs/text/checkpoints") == 0
    assert main(["train", "--resume"]) == 0 and latest_step(here / "runs/text/checkpoints") == 6


def test_metrics_that_a_kill_left_behind_the_checkpoint_are_taken_back(tmp_path):
    for step in (2, 4, 6):
        append_metrics(tmp_path, {"step": step, "loss": float("nan")})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 8, "lo')  # a line that was cut short
    rewind_metrics(tmp_path, 4)
    assert metrics(tmp_path) == [{"step": 2, "loss": None}, {"step": 4, "loss": None}]
