"""`jaxrnn train` in several processes learns what one process learns; no single process has the loss of the run."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.cluster import Cluster
from jaxrnn.commands.runs.experiments import restore
from jaxrnn.tasks.data import InputError
from jaxrnn.training.saving import checkpoint
from jaxrnn.training.train_state import update

pytestmark = pytest.mark.process

OPTIONS = "--hidden=6 --embedding=4 --batch=4 --length=8 --warmup=0 --dispatch=5 --every=5".split()  # noqa: SIM905


def start(folder: Path, process: int, steps: int, port: str) -> subprocess.Popen:
    cluster = f"--coordinator localhost:{port} --processes 2 --process {process} --run {folder / 'run'}".split()
    words = ["train", "--file", str(folder / "text"), *OPTIONS, "--steps", str(steps), *cluster]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    command = [sys.executable, "-m", "jaxrnn", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def pair(tmp_path):
    """Two processes of a run that would go on for days."""
    (tmp_path / "text").write_text("the cat sat on the mat. " * 40)
    with socket.socket() as s:
        s.bind(("localhost", 0))
        port = str(s.getsockname()[1])
    both = [start(tmp_path, i, 10**7, port) for i in range(2)]
    saved = tmp_path / "run" / "checkpoints"
    deadline = time.monotonic() + 200
    while not (saved.is_dir() and checkpoint.latest_step(saved)):
        assert time.monotonic() < deadline and both[0].poll() is None, both[0].communicate()[1][-2000:]
        time.sleep(0.2)
    yield tmp_path, both
    for process in both:
        process.kill()
        process.communicate()


def test_a_lost_process_ends_the_job_and_the_run_goes_on_with_one(pair):
    folder, (first, second) = pair
    second.kill()
    _, err = first.communicate(timeout=200)  # it does end
    assert first.returncode not in (0, None)
    assert "lost one another" in err or "died" in err
    with jax.enable_x64(False):
        begun, state = restore(run_folder.find(str(folder / "run")))
        assert int(state.step) >= 5 and int(state.step) % 5 == 0
        data, _ = begun.task.load()
        batch = begun.task.batch_at(data, 0, int(state.step))
        after, loss = update(begun.loss_fn, begun.optimizer, state, batch, jax.random.key(0))  # on one device
    assert int(after.step) == int(state.step) + 1 and 0 < float(loss) < math.log(12)


def test_a_signal_to_one_process_stops_all_after_the_same_update(pair):
    folder, (first, second) = pair
    second.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=200)
    assert first.returncode == second.wait(timeout=200) == 128 + signal.SIGTERM, err[-2000:]
    assert f"jaxrnn train --resume --run {folder / 'run'}" in out
    assert f"stopped and saved after update {checkpoint.latest_step(folder / 'run' / 'checkpoints')} of" in out


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"processes": 0}, "--processes must be an integer of at least 1, got 0"),
        ({"processes": 2, "process": 2, "coordinator": "a:1"}, r"--process must lie in 0 … 1, got 2"),
        ({"processes": 2}, "--coordinator HOST:PORT and --processes N go together"),
        ({"coordinator": "a:1"}, "--coordinator HOST:PORT and --processes N go together"),
        ({"processes": 2, "coordinator": "here"}, "--coordinator must be HOST:PORT, got here"),
        ({"cores": 0}, "--cores must be an integer of at least 1, got 0"),
    ],
)
def test_a_wrong_option_is_one_line(wrong, message):
    with pytest.raises(InputError, match=message):
        Cluster(**wrong)
