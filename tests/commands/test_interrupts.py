"""Ctrl-C at any moment: exit code 130 and one line, whatever the program is doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.process

MOMENTS = 20
LONGEST = 3.0
"""Seconds over which the moments are spread at most: imports, tracing, compilation and the beginning of the work."""
TINY = "--hidden 4 --embedding 3 --batch 2 --length 5 --warmup 0".split()  # noqa: SIM905
COMMANDS = {
    "train": ["train", "--file", "text.txt", *TINY, "--steps", "100000", "--every", "100000"],
    "sample": ["sample", "--run", "text", "--length", "100000"],
    "evaluate": ["evaluate", "--run", "text"],
    "translate": ["translate", "--run", "reverse", "abc"],
    "gradients": ["gradients", "--length", "8", "--hidden", "4"],
    "doctor": ["doctor"],
}


def start(folder: Path, *argv: str) -> subprocess.Popen:
    env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}
    command = [sys.executable, "-m", "jaxrnn", *argv]
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two runs."""
    path = tmp_path_factory.mktemp("interrupts")
    (path / "text.txt").write_text("how much wood would a woodchuck chuck? " * 40)
    runs = [
        ["train", "--run", "text", "--file", "text.txt", *TINY, "--steps", "2"],
        ["train", "--run", "reverse", "--task", "reverse", "--longest", "3", "--hidden", "4", "--steps", "2"],
    ]
    for run in [start(path, *argv) for argv in runs]:
        _, err = run.communicate(timeout=200)
        assert run.returncode == 0, err
    return path


def wait_until_it_listens(process: subprocess.Popen) -> None:
    """Wait for the thread that reads signals, the first that a process starts once Python runs."""
    while process.poll() is None and len(os.listdir(f"/proc/{process.pid}/task")) < 2:
        time.sleep(0.001)


def interrupt(process: subprocess.Popen, moment: float) -> None:
    wait_until_it_listens(process)
    time.sleep(moment)
    process.send_signal(signal.SIGINT)


def check(process: subprocess.Popen, moment: float) -> int:
    """Check stderr against the exit code, and return it; a process that had ended before is no failure."""
    out, err = process.communicate(timeout=100)
    said = f"after {moment:.2f} s: {process.returncode}\n{out[-200:]}\n{err}"
    assert process.returncode in (0, 130), said
    if process.returncode == 130 and "stopped and saved" not in out:
        assert err == "jaxrnn: interrupted.\n", said
    assert "Traceback" not in err, said
    return process.returncode


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_at_any_moment_is_130_and_one_line(folder, command):
    whole, began = start(folder, *COMMANDS[command]), time.monotonic()
    while whole.poll() is None and time.monotonic() < began + LONGEST:
        time.sleep(0.02)
    span = time.monotonic() - began
    whole.kill()
    whole.communicate()
    codes = []
    for pair in np.linspace(0, span, MOMENTS).reshape(-1, 2):  # one a core
        both = [start(folder, *COMMANDS[command], *(["--run", f"r{t}"] * (command == "train"))) for t in pair]
        for process, moment in zip(both, (pair[0], pair[1] - pair[0]), strict=True):
            interrupt(process, moment)
        codes += [check(process, moment) for process, moment in zip(both, pair, strict=True)]
    assert codes.count(130) > MOMENTS // 2


def test_a_second_ctrl_c_does_not_wait_for_the_update(folder):
    train = start(folder, *COMMANDS["train"], "--run", "twice", "--dispatch", "100000", "--length", "50")
    assert train.stdout is not None and train.stderr is not None
    while not train.stdout.readline().startswith("in twice"):
        assert train.poll() is None
    time.sleep(1)  # into the first dispatch, which takes minutes
    train.send_signal(signal.SIGINT)
    said = train.stderr.readline()
    train.send_signal(signal.SIGINT)
    out, err = train.communicate(timeout=20)
    assert said.startswith("stopping after this update")
    assert train.returncode == 130 and err == "jaxrnn: interrupted.\n" and "saved" not in out
