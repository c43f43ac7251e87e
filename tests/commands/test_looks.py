"""The output of the command line: help, tables, the progress bar."""

import os
import pty
import re
import sys
import time

import pytest

from jaxrnn import LSTM
from jaxrnn.__main__ import COMMANDS, main
from jaxrnn.commands.gradient_algorithms import ways
from jaxrnn.commands.gradients import Row, table
from jaxrnn.commands.runs.progress import Progress


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_has_examples_and_fits_the_terminal(monkeypatch, capsys, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "usage: jaxrnn" in out and (not command or f"jaxrnn {command[0]}" in out.split("examples:")[1])
    boxes = [line for line in out.splitlines() if not line.startswith("  jaxrnn")]  # examples are to be copied whole
    assert max(map(len, boxes)) <= columns


def test_gradients_prints_every_algorithm_in_one_table_and_the_exact_ones_agree(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["gradients", "--cell", "gru", "--length", "3", "--batch", "2", "--input", "2", "--hidden", "3"]) == 0
    text = capsys.readouterr().out.split("\n\n", 1)[1]
    assert max(map(len, text.splitlines())) <= 40
    rows = re.findall(r"^(float\d\d), (.*)\n.*? (\S+e\S+)\n.*? (\S+e\S+)\n", text, re.M)
    wide = [(name, float(a)) for dtype, name, a, _ in rows if dtype == "float64"]
    narrow = [(name, float(a), float(b)) for dtype, name, a, b in rows if dtype == "float32"]
    assert len(wide) == 8 and all(delta < 1e-13 for _, delta in wide)
    assert all(delta < 1e-14 for _, delta in wide[:3])  # jax.grad, and explicit BPTT by either rules
    assert [name for name, *_ in narrow[:8]] == [name for name, _ in wide]
    assert all(a < 1e-5 and 1e-9 < b < 1e-5 for _, a, b in narrow[:8])
    assert all(a < 1e-6 and b < 1e-6 for _, a, b in narrow[:3])
    assert [name for name, _ in wide[:3]] == [
        "jax.grad of unroll",
        "explicit, autodiff rules",
        "explicit, hand-written rules",
    ]
    approximate = dict((name.split(",")[0], b) for name, _, b in narrow[8:])
    assert set(approximate) == {"≈ truncated", "≈ SnAp-1", "≈ UORO"} and min(approximate.values()) > 1e-4
    assert "left out: e-prop: not defined" in text


def test_the_table_of_gradients_fits_80_columns():
    found, left_out = ways(LSTM(2, 3), 8, 4)
    names = [way.name if way.exact else f"≈ {way.name}" for way in found]
    rows = [Row("float64", name, 1.2e-16, 3.4e-16, 12345.67, 12345.6) for name in names]
    lines = table(rows, 80).splitlines()
    assert len(lines) == 13 and not left_out and max(map(len, lines)) <= 80
    assert all(line.index("1.2e-16") == lines[1].index("1.2e-16") for line in lines[1:])


def test_an_algorithm_that_is_too_large_is_left_out_with_its_size():
    found, left_out = ways(LSTM(64, 128), 64, 32)
    reasons = {way.name: way.reason for way in left_out}
    assert "GiB" in reasons["RTRL, forwards"] and not {way.name for way in found} & set(reasons)


def test_help_is_a_command_too(capsys):
    said = []
    for words in (["help"], ["--help"], ["help", "sample"], ["sample", "--help"]):
        assert main(words) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2] == said[3]


def test_help_says_where_compiled_programs_are_kept(capsys, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert main(["--help"]) == 0
    assert "are kept in /somewhere/jaxrnn/compiled-" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("columns", [40, 100])
def test_the_bar_fits_the_terminal(monkeypatch, columns):
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    monkeypatch.setenv("COLUMNS", str(columns))
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        with Progress(1100, 0, "characters") as progress:
            for _ in range(3):
                time.sleep(0.11)  # tqdm draws ten times a second
                progress.update(100, 204_800, 1.234, {"bits_per_character": 1.78})
            progress.say("update 300: held out 1.780 bits per character")
        drawn = os.read(master, 100_000).decode()
    os.close(master)
    frames = [frame for frame in drawn.replace("\n", "\r").split("\r") if "bpc 1.78" in frame]
    assert frames and all("loss 1.23" in frame and "00/1100" in frame and "char" in frame for frame in frames)
    assert max(map(len, frames)) <= columns
