"""Tiny training runs, and the files that they write."""

import json
import time

import pytest

from jaxrnn.__main__ import main
from jaxrnn.training.saving.checkpoint import latest_step

TEXT = "".join(f"{n} bottles of beer on the wall, {n} bottles of beer.\n" for n in range(99, 0, -1))
SIZES = {"--hidden": "4", "--embedding": "3", "--batch": "2", "--length": "5"}
STEPS = {"--steps": "6", "--every": "2", "--dispatch": "2", "--warmup": "0"}
TINY = [word for pair in (SIZES | STEPS).items() for word in pair]


def refused(capsys, argv):
    """Run a command that refuses its input, and return its one line on stderr."""
    capsys.readouterr()
    code = main(list(argv))
    out, err = capsys.readouterr()
    assert code == 2, (code, out, err)
    *before, said = err.splitlines(keepends=True)
    assert all(line.startswith("update ") for line in before), err  # what a run had already said
    assert said.startswith("jaxrnn: ") and said.endswith("\n")
    return said


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_speed(records):
    return [{name: value for name, value in r.items() if "per_second" not in name} for r in records]


def leaves(run):
    """Return the SHA-256 of every array in the newest checkpoint."""
    (manifest,) = (run / "checkpoints").glob(f"*-step-{latest_step(run / 'checkpoints')}/manifest.json")
    return json.loads(manifest.read_text())["leaves"]


def wait_for(run, lines, process):
    """Wait until the run has written this many lines of metrics."""
    end = time.monotonic() + 300  # a busy machine
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < lines:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"the run does not get on: {process.communicate()}")
        time.sleep(0.01)
