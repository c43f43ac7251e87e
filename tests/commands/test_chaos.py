"""A training run that is killed again and again gives the same results as an uninterrupted one.

The run gets `kill -9` at random moments, mostly in the middle of a save, because it spends most of its time saving.
JAXRNN_KILLS is the number of kills (`make chaos`: 100); the moments are drawn from JAXRNN_CHAOS_SEED.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxrnn.training.saving.checkpoint import latest_step

pytestmark = pytest.mark.process

KILLS = int(os.environ.get("JAXRNN_KILLS", "3"))
SEED = int(os.environ.get("JAXRNN_CHAOS_SEED", "0"))
STEPS, EVERY = 100, 5
OPTIONS = f"--hidden 8 --embedding 4 --batch 2 --length 8 --steps {STEPS} --warmup 5 --every {EVERY} --dispatch 5"
TEXT = "How much wood would a woodchuck chuck, if a woodchuck could chuck wood? " * 30


def train(directory: Path, *folder: str) -> subprocess.Popen:
    """Start a real `jaxrnn train` in its own process, with its output in a file."""
    (directory / "text.txt").write_text(TEXT)
    options = [] if "--resume" in folder else ["--file", "text.txt", *OPTIONS.split()]
    quick = {  # to start, which is what this test mostly waits for: compiled once, by the run that is not killed
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": str(directory / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    with open(directory / "said.txt", "w") as said:
        command = [sys.executable, "-m", "jaxrnn", "train", *options, *folder]
        return subprocess.Popen(command, cwd=directory, env=os.environ | quick, stdout=said, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, directory: Path) -> None:
    assert process.wait(timeout=300) == 0, (directory / "said.txt").read_text()


def step_of_metrics(run: Path) -> int:
    """Return the number of updates of a run, by the last line that it wrote."""
    try:
        return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    except (OSError, IndexError, json.JSONDecodeError):  # no line, or half of one
        return 0


def kill_at_a_random_moment(process: subprocess.Popen, run: Path, draw: random.Random) -> bool:
    """Kill the process at a random moment; return False if it had ended before."""
    target = step_of_metrics(run) + draw.randrange(0, 4 * EVERY)
    while process.poll() is None and step_of_metrics(run) < target:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)  # a process that has ended is not signalled
    return process.wait() == -signal.SIGKILL


def train_under_fire(directory: Path, name: str, draw: random.Random, kills: int) -> tuple[int, int]:
    """Kill a run at most `kills` times and resume it; return the number of kills, and of those in a save."""
    run, made, in_save = directory / name, 0, 0
    while True:
        begun = latest_step(run / "checkpoints") is not None
        if not begun and run.exists():  # killed before there was anything to resume
            run.rename(directory / f"{name}-killed-{made}")
        process = train(directory, *(["--resume"] if begun else []), "--run", name)
        if made == kills or not kill_at_a_random_moment(process, run, draw):
            finish(process, directory)
            return made, in_save
        made += 1
        in_save += any(not (path / "manifest.json").exists() for path in run.glob("checkpoints/*"))


def manifest(run: Path) -> dict:
    """Return the configuration of the last checkpoint, and the SHA-256 of every leaf of the state."""
    (path,) = run.glob(f"checkpoints/*-step-{STEPS}/manifest.json")
    return json.loads(path.read_text())


def measured(run: Path) -> list[dict]:
    """Every loss and every held-out measure, which would differ if any batch did; not how fast it went."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith("_per_second")} for line in lines]


def test_a_run_killed_at_random_moments_and_resumed_is_the_uninterrupted_run_bit_for_bit(tmp_path):
    finish(train(tmp_path, "--run", "whole"), tmp_path)
    whole, draw, kills, in_save = tmp_path / "whole", random.Random(SEED), 0, 0
    losses = [line["loss"] for line in measured(whole) if line["split"] == "train"]
    assert len(set(losses)) == STEPS // 5  # the batches do differ
    runs = 0
    while kills < KILLS:
        made, hit = train_under_fire(tmp_path, f"run-{runs}", draw, KILLS - kills)
        run = tmp_path / f"run-{runs}"
        kills, in_save, runs = kills + made, in_save + hit, runs + 1
        for field in ("step", "config", "leaves"):
            assert manifest(run)[field] == manifest(whole)[field]
        assert measured(run) == measured(whole)
        assert (run / "sample.txt").read_text() == (whole / "sample.txt").read_text()
    print(f"{kills} kills, {in_save} of them in the middle of a save; {runs} runs")
