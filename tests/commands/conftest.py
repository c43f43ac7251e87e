"""A text, a finished run of it, and real processes, for the tests of the commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jaxrnn.__main__ import main
from tests.commands.small_runs import TEXT, TINY


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Return a folder with a text and a finished run, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "beer.txt").write_text(TEXT)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", "--file", "beer.txt", *TINY]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Change to a fresh working folder with a text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beer.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def finished(here, trained):
    """Change to a fresh working folder with a text and a finished run, runs/text."""
    shutil.copytree(trained / "runs", here / "runs")
    return here


@pytest.fixture
def process(tmp_path_factory):
    """Return a function that starts real processes; kill those that are left at the end."""
    started, compiled = [], str(tmp_path_factory.getbasetemp() / "compiled")

    def start(*argv, stdout=subprocess.PIPE, x64="0"):  # x64="1" for what these tests' own process has written
        command = [sys.executable, "-m", "jaxrnn", *argv]
        env = os.environ | {"JAX_ENABLE_X64": x64, "JAX_COMPILATION_CACHE_DIR": compiled}
        started.append(subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()
