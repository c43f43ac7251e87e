"""The benchmark for GPUs, tested without one: it reports that there is none, and detects wrong results."""

import json

import jax
import pytest

from benchmarks import accelerator
from benchmarks.accelerator import Line, layers, measure, table, worst
from benchmarks.timing import Program
from jaxrnn import GRU, unroll_bptt


def test_without_a_gpu_it_says_so_in_one_line_and_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        accelerator.main()
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert not said.out and said.err == "no GPU: JAX finds cpu only; --tiny tries the program here\n"


def test_a_wrong_gradient_is_told_from_a_right_one():
    def wrong(cell, params, *arguments, **options):  # the values are right
        half = jax.tree.map(lambda p: (p + jax.lax.stop_gradient(p)) / 2, params)
        return unroll_bptt(cell, half, *arguments, **options)

    right, not_right = (worst(GRU(2, 3), member, "float32", "highest") for member in (unroll_bptt, wrong))
    assert right < accelerator.TOLERANCES["float32", "highest"] < not_right


def test_every_way_of_this_library_is_timed_and_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(accelerator, "CELLS", ("gru-after",))
    monkeypatch.setattr(accelerator, "DTYPES", ("bfloat16",))
    monkeypatch.setattr(accelerator, "_peers", lambda *arguments: {})
    lines = table(layers(((4, 2, 3, 4),), 0.0, 1, False), tmp_path / "layers.json")
    assert [line.name for line in lines] == ["unroll", "unroll_bptt", "unroll_fused"]
    assert all(line.forward > 0 and line.train > 0 for line in lines)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3 + 1
    kept = json.loads((tmp_path / "layers.json").read_text())["lines"]
    assert [line["train"] for line in kept] == [line.train for line in lines]


def test_nothing_new_is_begun_after_the_time_is_over(capsys):
    lines = (Line("gru", "1,1,1,1", "float32", name, 1.0, 1.0) for name in ("first", "second"))
    assert [line.name for line in accelerator.until(0.0, lines)] == ["first"]
    assert "--minutes" in capsys.readouterr().err


def test_matrix_states_are_timed_by_the_loop_and_in_chunks():
    names = [line.name for line in accelerator.matrix_states((3,), 2, 0.0, 1)]
    assert names == ["unroll_bptt", "chunks of 32", "chunks of 64", "chunks of 128"]


def test_a_contender_that_fails_is_told_and_left_out(capsys):
    def fails():
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nand more")

    one = Program(lambda: None)
    makers = {"works": lambda: {"forward": one, "train": one}, "fails": fails}
    (line,) = measure(("gru", "1,1,1,1", "float32"), makers, 0.0, 1)
    assert isinstance(line, Line) and line.name == "works"
    assert capsys.readouterr().err.endswith("RESOURCE_EXHAUSTED: out of memory\n")
