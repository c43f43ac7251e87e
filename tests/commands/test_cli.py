"""The command line as a user meets it: real arguments, files, processes, signals and terminals."""

import contextlib
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn import LSTM
from jaxrnn.__main__ import COMMANDS, main
from jaxrnn.commands.gradients import Row, table
from jaxrnn.commands.runs.gradient_algorithms import ways
from jaxrnn.commands.runs.progress import Progress
from jaxrnn.commands.runs.run_folder import append_metrics, rewind_metrics
from jaxrnn.commands.runs.signals import stop_wishes
from jaxrnn.training.saving.checkpoint import latest_step

TEXT = "".join(f"{n} bottles of beer on the wall, {n} bottles of beer.\n" for n in range(99, 0, -1))
SIZES = {"--hidden": "4", "--embedding": "3", "--batch": "2", "--length": "5"}
STEPS = {"--steps": "6", "--every": "2", "--dispatch": "2", "--warmup": "0"}
TINY = [word for pair in (SIZES | STEPS).items() for word in pair]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a text and a finished run, trained once."""
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
    """A fresh working folder with a text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beer.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def finished(here, trained):
    """A fresh working folder with a text and a finished run, runs/text."""
    shutil.copytree(trained / "runs", here / "runs")
    return here


def refused(capsys, argv):
    """The one line on stderr with which bad input is refused."""
    capsys.readouterr()
    code = main(list(argv))
    out, err = capsys.readouterr()
    assert code == 2, (code, out, err)
    *before, said = err.splitlines(keepends=True)
    assert all(line.startswith("update ") for line in before), err  # what a run had already said
    assert said.startswith("jaxrnn: ") and said.endswith("\n")
    return said


@pytest.fixture
def process():
    """Starts real ones, and leaves none behind."""
    started = []

    def start(*argv, stdout=subprocess.PIPE, x64="0"):  # x64="1" for what these tests' own process has written
        command = [sys.executable, "-m", "jaxrnn", *argv]
        env = os.environ | {"JAX_ENABLE_X64": x64}
        started.append(subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=env))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_speed(records):
    return [{name: value for name, value in r.items() if "per_second" not in name} for r in records]


def leaves(run):
    """The SHA-256 of every array in the newest checkpoint."""
    (manifest,) = (run / "checkpoints").glob(f"*-step-{latest_step(run / 'checkpoints')}/manifest.json")
    return json.loads(manifest.read_text())["leaves"]


# what a run leaves behind


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


# stopping and going on, in real processes


def wait_for(run, lines, process):
    """Returns when the run has written so many lines."""
    end = time.monotonic() + 300  # a busy machine
    while not (run / "metrics.jsonl").exists() or (run / "metrics.jsonl").read_bytes().count(b"\n") < lines:
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"the run does not get on: {process.communicate()}")
        time.sleep(0.01)


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


# bad input: one line, exit code 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("train --file missing.txt", ["missing.txt", "no such file"]),
        ("train --file empty.txt", ["empty.txt", "is empty"]),
        ("train --file latin.txt", ["latin.txt", "not UTF-8", "iconv"]),
        ("train --file short.txt", ["short.txt", "has 12 characters", "--length 64"]),
        ("train --file .", ["not a regular file"]),
        ("train --hidden 0", ["--hidden", "at least 1", "got 0"]),
        ("train --batch -3", ["--batch", "at least 1", "-3"]),
        ("train --layers 0", ["--layers"]),
        ("train --hidden 1000000000", ["GiB", "--hidden"]),
        ("train --batch 2000000000", ["GiB", "--batch"]),
        ("train --hidden 99999999999999999999", ["--hidden"]),
        ("train --layers 101", ["--layers", "at most 100"]),
        ("train --steps 0", ["--steps", "at least 1"]),
        ("train --every 0", ["--every"]),
        ("train --dispatch 0", ["--dispatch"]),
        ("train --warmup -1", ["--warmup"]),
        ("train --seed -1", ["--seed"]),
        ("train --learning-rate nan", ["--learning-rate", "finite", "nan"]),
        ("train --learning-rate -1", ["--learning-rate", "above 0"]),
        ("train --learning-rate 0", ["--learning-rate", "above 0"]),
        ("train --clip inf", ["--clip", "finite"]),
        ("train --cell transformer", ["--cell", "elman", "gru", "lstm"]),
        ("train --hiden 3", ["--hiden", "did you mean --hidden?"]),
        ("train --hidden", ["--hidden"]),
        ("train --hidden x", ["--hidden", "x"]),
        ("train --run beer.txt", ["beer.txt", "exists already"]),
        ("train --run beer.txt/deeper", ["beer.txt"]),
        ("train --run /proc/nowhere/r", ["/proc/nowhere"]),
        ("train --resume", ["no run with a checkpoint", "jaxrnn train"]),
        ("train --resume --run nowhere", ["nowhere", "no such run"]),
        ("sample", ["no run with a checkpoint"]),
        ("sample --length 0", ["--length"]),
        ("sample --temperature -1", ["--temperature", "at least 0"]),
        ("sample --temperature nan", ["--temperature", "finite"]),
        ("sample --top-k 0", ["--top-k"]),
        ("evaluate --run .", ["no complete checkpoint"]),
        ("evaluate --tyro-print-completion x", ["unrecognized"]),
        ("gradients --cell lstm --length 0", ["--length"]),
        ("gradients --hidden 10000000", ["GiB"]),
        ("swim", ["'swim' is not a command", "train"]),
    ],
)
def test_bad_input_is_one_line_that_names_it(here, capsys, argv, words):
    (here / "empty.txt").touch()
    (here / "latin.txt").write_bytes("déjà vu".encode("latin1"))
    (here / "short.txt").write_text("Hello world!")
    said = refused(capsys, argv.split())
    assert all(word in said for word in words), said
    assert not (here / "runs").exists()  # nothing is left behind by a run that cannot begin


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("sample --prompt Größe", ["never saw", "'G'", "'ß'", "'ö'"]),
        ("train --run runs/text", ["exists already", "--resume"]),
        ("train --resume --cell gru", ["--cell gru", "was begun with lstm"]),
        ("train --resume --hidden 5", ["--hidden 5", "was begun with 4"]),
        ("train --resume --steps 7", ["--steps 7", "was begun with 6"]),
    ],
)
def test_what_does_not_fit_the_run_is_refused_and_the_run_is_untouched(finished, capsys, argv, words):
    before = leaves(finished / "runs/text")
    said = refused(capsys, argv.split())
    assert all(word in said for word in words), said
    assert leaves(finished / "runs/text") == before and sorted(os.listdir("runs")) == ["text"]


def test_a_checkpoint_that_is_not_of_this_cell_is_refused(finished, capsys):
    """A run whose config says GRU and whose arrays are an LSTM's, every digest in order."""
    from jaxrnn.commands.runs.experiments import restore
    from jaxrnn.training.saving import checkpoint

    begun, state = restore(Path("runs/text"))
    config = begun.config()
    config["options"]["cell"] = "gru"
    checkpoint.save("runs/text/checkpoints", state, step=7, config=config)
    assert "cell" in refused(capsys, ["evaluate"])
    config["options"]["cell"] = "unheard of"
    checkpoint.save("runs/text/checkpoints", state, step=8, config=config)
    assert "config" in refused(capsys, ["sample"])


def test_data_that_has_changed_is_refused(finished, capsys):
    (finished / "beer.txt").write_text(TEXT.replace("9", "8"))
    assert "data has changed" in refused(capsys, ["evaluate"])
    assert main(["sample", "--length", "5"]) == 0  # that needs no data


def test_a_full_disk_ends_the_run_and_loses_no_checkpoint(here, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, hard))
    try:
        said = refused(
            capsys, ["train", "--file", "beer.txt", *TINY, *["--steps", "300", "--every", "100", "--dispatch", "1"]]
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "metrics.jsonl" in said and "File too large" in said
    step = latest_step(here / "runs/text/checkpoints")
    assert step == 100
    assert main(["train", "--resume"]) == 0  # there is room again
    assert latest_step(here / "runs/text/checkpoints") == 300
    assert [r["step"] for r in metrics(here / "runs/text") if r["split"] == "train"] == list(range(1, 301))


LIMITED = """
import resource, sys
from jaxrnn.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.process
def test_a_checkpoint_that_does_not_fit_on_the_disk_is_one_line(here):
    command = [sys.executable, "-c", LIMITED, "train", "--file", "beer.txt", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("jaxrnn: The checkpoint of step 2") and "File too large" in done.stderr


@pytest.mark.process
def test_output_that_cannot_be_written_is_one_line(finished, process):
    with open("/dev/full", "w") as full:
        run = process("sample", "--length", "5", stdout=full, x64="1")
        _, err = run.communicate(timeout=60)
    assert run.returncode == 2 and err == "jaxrnn: No space left on device.\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(("command", "code"), [(["--version"], 0), (["train", "--steps", "0"], 2)])
def test_a_stream_that_was_closed_before_is_no_error(stream, command, code, monkeypatch, capsys):
    monkeypatch.setattr(sys, stream, None)
    assert main(command) == code
    getattr(sys, stream).close()
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.process
def test_a_reader_that_has_seen_enough_is_no_error(finished, process):
    run = process("sample", "--length", "100000", x64="1")
    assert run.stdout is not None and run.stderr is not None
    run.stdout.read(10)
    run.stdout.close()
    assert run.stderr.read() == "" and run.wait(timeout=60) == 141
    run.stdout = None  # for communicate


ODD = st.sampled_from(
    ["0", "-1", "nan", "inf", "1e400", "", "x", "None", "--", "-", "９", "1" * 5000, "a\0b", "\udcff", "."]
)
COUNT = st.integers(1, 3).map(str)
FILES = st.one_of(st.just(TEXT.encode()), st.binary(max_size=80), st.text(max_size=200).map(str.encode))
JUNK = st.one_of(st.text(max_size=8), st.sampled_from(["--resume", "--help", "-h", "text", "train", "--no-resume"]))


@st.composite
def command_lines(draw):
    """Mostly right, somewhere wrong; sizes stay tiny unless they are impossible."""
    options = {name: COUNT for name in (*SIZES, *STEPS)} | {"--file": st.sampled_from(["any.txt", ".", "gone"])}
    command = draw(st.sampled_from(["train", "train", "sample", "evaluate", "gradients"]))
    if command != "train":
        own = {
            "sample": ("--length", "--top-k", "--prompt", "--temperature"),
            "evaluate": (),
            "gradients": ("--length",),
        }
        options = {name: COUNT for name in own[command]} | {"--run": st.sampled_from(["gone", "."])}
    words = {name: draw(value) for name, value in options.items()}
    for name in draw(st.lists(st.sampled_from(sorted(words)), min_size=1, max_size=2)):
        words[name] = draw(st.one_of(ODD, JUNK))
    argv = [command, *[word for pair in words.items() for word in pair]]
    for word in draw(st.lists(JUNK, max_size=1)):
        argv.insert(draw(st.integers(0, len(argv))), word)
    return argv


@given(argv=command_lines(), content=FILES)
@settings(max_examples=50)
def test_whatever_is_typed_the_exit_code_is_0_or_2_and_there_is_no_traceback(argv, content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    (folder / "any.txt").write_bytes(content)
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(argv) in (0, 2)
    finally:
        os.chdir(before)


@pytest.mark.process
@pytest.mark.parametrize(
    "argv", [["train", "--file", "gone"], ["swim"], ["sample", "--run", "\udcff"], ["train", "--hidden", "0"]]
)
def test_a_real_process_ends_with_2_and_one_line(here, process, argv):
    run = process(*argv)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 2 and out == "" and err.count("\n") == 1 and err.startswith("jaxrnn: ")


# what it looks like


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


def test_the_task_is_an_option_and_a_resumed_run_knows_its_own(finished, capsys):
    assert "there is no such task; there are text" in refused(capsys, ["train", "--task", "nonsense"])
    assert "--task" in refused(capsys, ["train", "--task"])
    assert main(["train", "--task=text", "--resume", "--run", "runs/text"]) == 0
    assert main(["train", "--resume"]) == 0
    assert capsys.readouterr().out.count("is finished") == 2
