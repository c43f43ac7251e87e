"""Any bad argument or damaged file gives one line that names it, and exit code 2."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.__main__ import main
from jaxrnn.commands.runs.experiments import restore
from jaxrnn.training.saving.checkpoint import latest_step
from tests.commands.small_runs import SIZES, STEPS, TEXT, TINY, leaves, metrics, refused


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
        ("train --weight-decay -1", ["--weight-decay"]),
        ("train --weight-decay 0.1 --optimizer rmsprop", ["--weight-decay"]),
        ("train --seed -1", ["--seed"]),
        ("train --learning-rate nan", ["--learning-rate", "finite", "nan"]),
        ("train --learning-rate -1", ["--learning-rate", "above 0"]),
        ("train --learning-rate 0", ["--learning-rate", "above 0"]),
        ("train --clip inf", ["--clip", "finite"]),
        ("train --cell transformer", ["--cell", "elman", "gru", "lstm"]),
        ("train --hiden 3", ["--hiden", "did you mean --hidden?"]),
        ("train --hidden", ["--hidden"]),
        ("train --steps abc", ["--steps must be an integer, got 'abc'"]),
        ("train --learning-rate fast", ["--learning-rate must be a number, got 'fast'"]),
        ("train --dropout 1", ["--dropout must lie in [0, 1)", "1.0"]),
        ("train --evaluate-characters 0", ["--evaluate-characters", "at least 1"]),
        ("train --extend-to 9", ["--extend-to", "--resume"]),
        ("train --task swim", ["no such task; there are text", "MODULE:CLASS"]),
        ("train --task nowhere:Swim", ["--task nowhere:Swim", "No module named 'nowhere'"]),
        ("train --task os:Swim", ["--task os:Swim", "has no attribute 'Swim'"]),
        ("train --task os:path", ["must be a frozen dataclass"]),
        ("train --task jaxrnn.cells.lstm:LSTM", ["has no load, describe"]),
        ("sample --top-k x", ["--top-k must be an integer, got 'x'"]),
        ("sample --top-p 0", ["--top-p must lie in (0, 1], got 0.0"]),
        ("sample --beam 0", ["--beam"]),
        ("sample --beam 2 --top-k 3", ["--beam", "without --top-k"]),
        ("translate", ["TEXT is required"]),
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
        ("train --resume --steps 7", ["--steps 7", "was begun with 6", "--extend-to"]),
        ("train --resume --extend-to 6", ["--extend-to", "at least 7, got 6"]),
        ("train --resume --file gone.txt", ["gone.txt: there is no such file", "--file NEW"]),
        ("train --resume --file other.txt", ["data has changed"]),
        ("evaluate --best", ["no best state", "--keep-best"]),
    ],
)
def test_what_does_not_fit_the_run_is_refused_and_the_run_is_untouched(finished, capsys, argv, words):
    (finished / "other.txt").write_text(TEXT[1:])
    before = leaves(finished / "runs/text")
    said = refused(capsys, argv.split())
    assert all(word in said for word in words), said
    assert leaves(finished / "runs/text") == before and sorted(os.listdir("runs")) == ["text"]


def test_a_checkpoint_that_is_not_of_this_cell_is_refused(finished, capsys):
    """A run whose config says GRU and whose arrays are an LSTM's, every digest in order."""
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


def test_a_full_disk_ends_the_run_and_loses_no_checkpoint(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be cut off
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
sys.dont_write_bytecode = True  # Python would store it cut off, and every later program would fail to load it
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
