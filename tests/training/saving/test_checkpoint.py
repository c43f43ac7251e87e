"""Saved state is restored bit for bit, and any damage on the disk is an error that names the file."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxrnn import GRU, LSTM, Elman, Stack
from jaxrnn.training.saving.checkpoint import CheckpointError, latest_step, read_config, restore, save
from jaxrnn.training.saving.manifest import seal
from jaxrnn.training.train_state import init_state

LSTM_PARAMS = LSTM(3, 4).init(jax.random.key(0))

TREES = {
    "parameters": LSTM_PARAMS,
    "peepholes": LSTM(3, 4, peephole="current").init(jax.random.key(0)),
    "stack": Stack((LSTM(3, 4), GRU(4, 2, reset="after"))).init(jax.random.key(1)),
    "training": init_state(LSTM_PARAMS, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3)), (jnp.ones(4),)),
    "hyperparameters": optax.inject_hyperparams(optax.adamw)(1e-3).init(LSTM_PARAMS),
    "scaled": optax.contrib.schedule_free_adamw(1e-3).init(LSTM_PARAMS),
    "bfloat16": jax.tree.map(lambda x: x.astype(jnp.bfloat16), LSTM_PARAMS),
    "float8": jnp.ones(3, jnp.float8_e4m3fn),
    "int4": jnp.ones(3, jnp.int4),
    "float64": jnp.full((2, 3), np.pi),
    "complex": jnp.array([1 + 2j, np.nan]),
    "key": jax.random.key(7),
    "keys": jax.random.split(jax.random.key(7, impl="rbg"), 3),
    "no keys": jax.random.split(jax.random.key(7), 3)[:0],
    "weak type": {"scalar": jnp.asarray(2.0), "array": jnp.broadcast_to(jnp.asarray(2), (3,)), "strong": jnp.ones(())},
    "python": {"int": -(2**62), "float": 0.1, "bool": True, "complex": 1j, "nan": float("nan")},
    "numpy": {"scalar": np.float32(0.1), "array": np.arange(6).reshape(2, 3), "bf16": ml_dtypes.bfloat16(3)},
    "fortran order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty containers": {"tuple": (), "none": None, "list": [None, ()], "state": optax.EmptyState(), "x": jnp.ones(2)},
    "no leaf": {"none": None},
    "no containers": jnp.arange(3),
    "size 0": {"x": jnp.ones((0, 5)), "y": np.ones((3, 0), np.float16)},
    "only size 0": jnp.ones((0, 5)),
    "odd names": {"..": 1, "/etc/passwd": 2, "": 3, "α b": 4, "_METADATA": 5, "%2F": 6, "x" * 180: 7},
}


def bits(leaf) -> tuple:
    """All that a leaf is, so that two of them can be compared with ==."""
    kind = type(leaf), str(getattr(leaf, "dtype", "")), np.shape(leaf), getattr(leaf, "weak_type", None)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return *kind, np.asarray(leaf).tobytes()


def same(a, b) -> bool:
    same_leaves = [bits(x) for x in jax.tree.leaves(a)] == [bits(x) for x in jax.tree.leaves(b)]
    return jax.tree.structure(a) == jax.tree.structure(b) and same_leaves


def files(directory) -> list[Path]:
    return sorted(path for path in Path(directory).rglob("*") if path.is_file())


def file_of(directory, leaf: str) -> Path:
    """Return the file with the numbers of a leaf."""
    (path,) = (p for p in files(directory) if p.parent.name == f"leaf.{leaf}" and not p.name.startswith("."))
    return path


def blank(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


# What comes back


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
def test_a_tree_comes_back_bit_for_bit(tree, tmp_path):
    save(tmp_path, tree, step=3, config={})
    assert same(restore(tmp_path, tree), tree)


@given(st.data())
def test_any_bits_come_back(data):
    dtype = np.dtype(data.draw(st.sampled_from(["f2", "f4", "f8", "bfloat16", "i1", "u4", "i8", "c8", "?"])))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = int(np.prod(shape)) * dtype.itemsize
    raw = data.draw(st.binary(min_size=size, max_size=size))
    raw = bytes(b & 1 for b in raw) if dtype.kind == "b" else raw
    array = np.frombuffer(raw, dtype).reshape(shape)
    with tempfile.TemporaryDirectory() as directory:
        save(directory, {"x": array}, step=0, config={})
        assert same(restore(directory, {"x": array}), {"x": array})


def test_shapes_and_dtypes_alone_are_enough_to_ask_for_a_tree(tmp_path):
    tree = {"params": LSTM_PARAMS, "key": jax.random.key(1), "none": jnp.ones((0, 2))}
    save(tmp_path, tree, step=3, config={})
    assert same(restore(tmp_path, blank(tree)), tree)


def test_a_checkpoint_can_be_saved_and_restored_inside_an_event_loop(tmp_path):
    async def notebook():
        save(tmp_path, LSTM_PARAMS, step=1, config={})
        return restore(tmp_path, LSTM_PARAMS)

    assert same(asyncio.run(notebook()), LSTM_PARAMS)


def test_the_configuration_comes_back(tmp_path):
    config = {"cell": "LSTM", "sizes": [3, 4], "peephole": None, "α": 0.1, "name": "späť"}
    save(tmp_path, LSTM_PARAMS, step=1, config=config)
    save(tmp_path, LSTM_PARAMS, step=2, config={})
    assert read_config(tmp_path, 1) == config
    assert read_config(tmp_path) == {}


# Which checkpoint


def test_the_newest_is_the_one_saved_last_and_keep_are_kept(tmp_path):
    for step in (10, 20, 30, 15):
        save(tmp_path, {"step": step}, step=step, config={}, keep=2)
        assert latest_step(tmp_path) == step
    assert restore(tmp_path, {"step": 0}) == {"step": 15}
    assert restore(tmp_path, {"step": 0}, step=30) == {"step": 30}
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(CheckpointError, match=r"no complete checkpoint of step 20; there is step 30, 15"):
        restore(tmp_path, {"step": 0}, step=20)


def test_saving_a_step_again_replaces_it_and_costs_no_other_checkpoint(tmp_path):
    for step, value in ((10, 1), (20, 2), (20, 3)):
        save(tmp_path, {"x": value}, step=step, config={}, keep=2)
    assert restore(tmp_path, {"x": 0}, step=20) == {"x": 3}
    assert restore(tmp_path, {"x": 0}, step=10) == {"x": 1}
    assert len(list(tmp_path.iterdir())) == 2


def test_where_nothing_was_saved_there_is_no_step_and_nothing_to_restore(tmp_path):
    for directory in (tmp_path, tmp_path / "missing"):
        assert latest_step(directory) is None
        with pytest.raises(CheckpointError, match="no complete checkpoint"):
            restore(directory, LSTM_PARAMS)
        with pytest.raises(CheckpointError, match="no complete checkpoint"):
            read_config(directory)


def test_files_of_others_in_the_directory_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "12-step").mkdir()
    for step in range(3):
        save(tmp_path, {"x": step}, step=step, config={}, keep=1)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "12-step").is_dir()


# What is not what it should be


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (LSTM_PARAMS._replace(w=LSTM_PARAMS.w.astype(jnp.float32)), r"`w` must be float32\[4, 16\], but .* float64\["),
        (LSTM_PARAMS._replace(w=jnp.ones((5, 20))), r"`w` must be float64\[5, 20\], but .* float64\[4, 16\]"),
        (LSTM_PARAMS._replace(b=jnp.ones((16, 1))), r"`b` must be float64\[16, 1\], but .* float64\[16\]"),
        (LSTM_PARAMS._replace(b=0.0), r"`b` must be float\[\], but .* float64\[16\]"),
        (LSTM_PARAMS._replace(b=jax.random.key(0)), r"`b` must be key<fry>\[\], but"),
        (LSTM_PARAMS._replace(peephole=jnp.ones((3, 4))), r"`peephole` is missing"),
        (LSTM_PARAMS._replace(b=None), r"`b` is unexpected"),
        (LSTM_PARAMS._replace(b="b"), r"`b` of `like` must be an array, got str"),
        (Elman(3, 4).init(jax.random.key(0)), r"`u` must be float64\[3, 4\], but .* another cell"),
        (GRU(3, 4, reset="after").init(jax.random.key(0)), r"`u` must be float64\[3, 12\]"),
        ({"cell": LSTM_PARAMS}, r"`cell\.u` is missing"),
    ],
)
def test_a_tree_that_is_not_the_one_asked_for_is_an_error_that_names_the_leaf(like, message, tmp_path):
    save(tmp_path, LSTM_PARAMS, step=1, config={})
    with pytest.raises(CheckpointError, match=message):
        restore(tmp_path, like)


def test_a_key_of_another_implementation_is_an_error(tmp_path):
    save(tmp_path, {"key": jax.random.key(0, impl="rbg")}, step=1, config={})
    with pytest.raises(CheckpointError, match=r"`key` must be key<urbg>\[\], but .* key<rbg>"):
        restore(tmp_path, {"key": jax.random.key(0, impl="unsafe_rbg")})


@pytest.mark.parametrize("leaf", ["text", b"bytes", object(), 2**80, np.array(["a"]), np.array([1, None])])
def test_a_leaf_that_is_no_number_is_an_error_that_names_it(leaf, tmp_path):
    with pytest.raises(CheckpointError, match=r"`a\.x` must be numbers"):
        save(tmp_path, {"a": {"x": leaf}}, step=1, config={})
    assert latest_step(tmp_path) is None


def test_two_leaves_of_one_name_are_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"both named `a\.b`"):
        save(tmp_path, {"a.b": 1, "a": {"b": 2}}, step=1, config={})


def test_a_bad_step_keep_or_configuration_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="`step` must be an integer of at least 0, got -1"):
        save(tmp_path, LSTM_PARAMS, step=-1, config={})
    with pytest.raises(ValueError, match=r"`keep` must be .*, got 0"):
        save(tmp_path, LSTM_PARAMS, step=1, config={}, keep=0)
    with pytest.raises(TypeError, match="`config` must be JSON"):
        save(tmp_path, LSTM_PARAMS, step=1, config={"cell": LSTM(3, 4)})
    assert list(tmp_path.iterdir()) == []


# What happens to a disk

STATE = {"params": LSTM_PARAMS, "key": jax.random.key(3), "step": 4, "same": jnp.zeros(100)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("saved")
    save(directory, STATE, step=4, config={"hidden_size": 4})
    return directory


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def flip(path: Path, place: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << bit
    path.write_bytes(data)


def test_a_flipped_bit_in_any_file_is_an_error_that_names_the_file(saved, tmp_path):
    draw = random.Random(0)
    for path in files(saved):
        directory = shutil.copytree(saved, tmp_path / "copy")
        victim = directory / path.relative_to(saved)
        flip(victim, draw.randrange(victim.stat().st_size), draw.randrange(8))
        with pytest.raises(CheckpointError, match="damaged") as error:
            restore(directory, STATE)
        assert str(victim) in str(error.value)
        shutil.rmtree(directory)


@pytest.mark.parametrize("leaf", ["params.w", "key", "step", "same"])
def test_a_flipped_bit_in_a_leaf_is_an_error_that_names_it(leaf, copy):
    path = file_of(copy, leaf)
    flip(path, path.stat().st_size // 2, 0)
    with pytest.raises(CheckpointError, match=rf"`{leaf}` is damaged: .* \(SHA-256 differs\)"):
        restore(copy, STATE)


def test_a_flipped_bit_that_orbax_alone_restores_in_silence_is_an_error_that_names_the_leaf(tmp_path):
    tree = {"w": jnp.arange(4.0), "b": jnp.ones(4)}
    save(tmp_path, tree, step=1, config={})
    path = file_of(tmp_path, "w")
    flip(path, path.read_bytes().index(np.float64(3).tobytes()), 0)
    with ocp.PyTreeCheckpointer(use_ocdbt=False) as alone:
        restored = alone.restore(path.parent.parent)["leaf"]["w"]
    assert restored[3] == 3 + 2**-51
    with pytest.raises(CheckpointError, match="`w` is damaged"):
        restore(tmp_path, tree)


def test_a_leaf_that_orbax_reads_as_another_number_is_an_error_that_names_it(tmp_path):
    tree = {"w": jnp.arange(4.0), "b": jnp.ones(4)}
    save(tmp_path, tree, step=1, config={})
    (manifest,) = tmp_path.glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    assert list(content) == ["format", "step", "config", "leaves", "files", "sha256"]
    del content["sha256"]
    content["leaves"]["w"][2] = content["leaves"]["b"][2]  # as if the arrays had changed on their way to the files
    manifest.write_bytes(seal(content))
    with pytest.raises(CheckpointError, match="`w` is damaged: its bytes"):
        restore(tmp_path, tree)


@pytest.mark.parametrize("size", [0, 5, -1])
def test_a_truncated_leaf_is_an_error_that_names_it(size, copy):
    path = file_of(copy, "params.w")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"`params\.w` is damaged: .* \(SHA-256 differs\)"):
        restore(copy, STATE)


def test_a_missing_file_is_an_error_that_names_it(saved, tmp_path):
    for path in files(saved):
        directory = shutil.copytree(saved, tmp_path / "copy")
        (directory / path.relative_to(saved)).unlink()
        with pytest.raises(CheckpointError) as error:
            restore(directory, STATE)
        if path.name == "manifest.json":
            assert "no complete checkpoint" in str(error.value)
        else:
            assert str(directory / path.relative_to(saved)) in str(error.value)
            assert "is missing" in str(error.value)
        shutil.rmtree(directory)


def test_arrays_that_orbax_cannot_read_are_an_error_that_names_them(copy):
    (manifest,) = copy.glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    shutil.rmtree(manifest.parent / "arrays")
    manifest.write_bytes(seal({k: v for k, v in content.items() if k != "sha256"} | {"files": {}}))
    with pytest.raises(CheckpointError, match=r"arrays cannot be read by orbax: FileNotFoundError"):
        restore(copy, STATE)


def test_two_leaves_in_each_other_s_place_are_an_error_that_names_one(tmp_path):
    tree = {"mu": jnp.ones(4), "nu": jnp.zeros(4)}
    save(tmp_path, tree, step=1, config={})
    arrays = file_of(tmp_path, "mu").parent.parent
    (arrays / "leaf.mu").rename(arrays / "x")
    (arrays / "leaf.nu").rename(arrays / "leaf.mu")
    (arrays / "x").rename(arrays / "leaf.nu")
    with pytest.raises(CheckpointError, match="`mu` is damaged"):
        restore(tmp_path, tree)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b'{"sha256": "0"}'])
def test_a_damaged_manifest_is_an_error_that_names_the_file(content, copy):
    (manifest,) = copy.glob("*/manifest.json")
    manifest.write_bytes(content)
    for read in (lambda: restore(copy, STATE), lambda: read_config(copy)):
        with pytest.raises(CheckpointError, match=r"manifest\.json is damaged"):
            read()


def test_a_changed_configuration_is_an_error(copy):
    (manifest,) = copy.glob("*/manifest.json")
    manifest.write_text(manifest.read_text().replace('"hidden_size": 4', '"hidden_size": 5'))
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged: its SHA-256 differs"):
        read_config(copy)


def test_a_damaged_checkpoint_leaves_the_older_one_to_be_restored_and_the_step_to_be_saved_again(copy):
    save(copy, STATE, step=5, config={})
    flip(file_of(max(copy.iterdir()), "key"), 3, 0)
    with pytest.raises(CheckpointError, match="damaged"):
        restore(copy, STATE)
    assert same(restore(copy, STATE, step=4), STATE)
    save(copy, STATE, step=5, config={})
    assert same(restore(copy, STATE), STATE)


def test_a_manifest_lists_each_leaf_with_its_checksum(copy):
    (manifest,) = copy.glob("*/manifest.json")
    leaves = json.loads(manifest.read_text())["leaves"]
    assert {name: leaf[:2] for name, leaf in leaves.items()} == {
        "key": ["key<fry>", []],
        "params.b": ["float64", [16]],
        "params.u": ["float64", [3, 16]],
        "params.w": ["float64", [4, 16]],
        "same": ["float64", [100]],
        "step": ["int", []],
    }
    assert len({leaf[2] for leaf in leaves.values()}) == len(leaves)


# What happens in the middle of a save


def test_the_manifest_appears_when_all_else_has_been_synced(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def watched(descriptor):
        fsync(descriptor)
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), bool(list(tmp_path.rglob("manifest.json")))))

    monkeypatch.setattr(os, "fsync", watched)
    directory = tmp_path / "new" / "run"
    save(directory, STATE, step=1, config={})
    (path,) = directory.iterdir()
    before = {name for name, manifest in synced if not manifest}
    arrays = [p for p in (path / "arrays", *(path / "arrays").rglob("*"))]
    assert len(arrays) > 10
    assert {str(p) for p in (tmp_path, directory.parent, directory, path, *arrays)} <= before
    assert str(path / "manifest.json.unfinished") in before
    assert synced[-1] == (str(path), True)


def test_what_an_interrupted_save_has_left_is_ignored_and_then_removed(copy):
    (whole,) = copy.iterdir()
    for number, missing in enumerate(["manifest.json", "arrays"], start=1):
        half = shutil.copytree(whole, copy / f"000{number}-step-{5 + number}")
        (half / "manifest.json").unlink()
        if missing == "arrays":
            (half / "arrays").rename(half / "arrays.orbax-checkpoint-tmp")
    (copy / "0003-step-9").mkdir()
    assert latest_step(copy) == 4
    assert same(restore(copy, STATE), STATE)
    save(copy, STATE, step=5, config={})
    assert [path.name.split("-")[-1] for path in sorted(copy.iterdir())] == ["4", "5"]


SAVE_FOR_EVER = """
import sys, jax.numpy as jnp
from jaxrnn.training.saving.checkpoint import latest_step, save
step = latest_step(sys.argv[1]) or 0
while True:
    step += 1
    save(sys.argv[1], {"x": jnp.full((300, 300), step), "y": jnp.full(7, step)}, step=step, config={"step": step})
    print(step, flush=True)
"""


@pytest.mark.process
def test_a_kill_at_any_moment_of_a_save_leaves_a_checkpoint_that_is_whole(tmp_path):
    draw, reported = random.Random(0), 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, tmp_path], stdout=subprocess.PIPE) as process:
            reported = int(process.stdout.readline())
            time.sleep(draw.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            reported = int((process.stdout.read().split() or [reported])[-1])
        step = latest_step(tmp_path)
        assert step in (reported, reported + 1)  # one that was saved and not yet reported
        like = {"x": jax.ShapeDtypeStruct((300, 300), jnp.int32), "y": jax.ShapeDtypeStruct((7,), jnp.int32)}
        tree = restore(tmp_path, like)
        assert (tree["x"] == step).all() and (tree["y"] == step).all()
        assert read_config(tmp_path) == {"step": step}


FILL_THE_DISK = """
import resource, sys, jax, jax.numpy as jnp
from jaxrnn.training.saving.checkpoint import CheckpointError, latest_step, restore, save
directory, largest = sys.argv[1], int(sys.argv[2])
sys.dont_write_bytecode = True  # it would be cut off
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
small, noise = {"x": jnp.arange(3)}, {"x": jax.random.normal(jax.random.key(0), (1000, 1000))}
save(directory, small, step=1, config={})
try:
    save(directory, noise, step=2, config={})
except CheckpointError as error:
    print(error)
assert latest_step(directory) == 1
assert (restore(directory, small)["x"] == small["x"]).all()
save(directory, small, step=3, config={})
assert latest_step(directory) == 3
"""


@pytest.mark.process
def test_a_file_that_may_not_grow_is_an_error_and_the_checkpoint_before_stays(tmp_path):
    command = [sys.executable, "-c", FILL_THE_DISK, tmp_path, "1000000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    expected = f"The checkpoint of step 2 could not be written to {tmp_path}: File too large."
    assert (done.returncode, done.stderr, done.stdout.startswith(expected)) == (0, "", True), done
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.process
def test_a_full_disk_is_an_error_and_the_checkpoint_before_stays(tmp_path):
    alone, mount = ["unshare", "-rm", "sh", "-c"], f"mount -t tmpfs -o size=1m none {tmp_path}"
    if subprocess.run([*alone, mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    command = [*alone, f'{mount} && exec "$0" "$@"', sys.executable, "-c", FILL_THE_DISK, tmp_path, "9999999"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    expected = f"The checkpoint of step 2 could not be written to {tmp_path}: No space left on device."
    assert (done.returncode, done.stderr, done.stdout.startswith(expected)) == (0, "", True), done


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written to"):
        save(tmp_path / "file" / "run", LSTM_PARAMS, step=1, config={})


@pytest.mark.process
def test_nothing_is_unpickled_and_nothing_is_printed(saved):
    program = """
import sys, warnings
warnings.simplefilter("error")
unpickled = []
sys.addaudithook(lambda event, args: unpickled.append(args) if event == "pickle.find_class" else None)
import jax
jax.config.update("jax_enable_x64", True)
from jaxrnn import LSTM
from jaxrnn.training.saving.checkpoint import restore, save
params = LSTM(3, 4).init(jax.random.key(0))
like = {"params": params, "key": jax.random.key(3), "step": 4, "same": jax.numpy.zeros(100)}
save(sys.argv[1], restore(sys.argv[2], like), step=1, config={})
restore(sys.argv[1], like)
assert not unpickled, unpickled
import pickle
pickle.loads(pickle.dumps(LSTM(3, 4)))
assert unpickled
"""
    with tempfile.TemporaryDirectory() as other:
        done = subprocess.run(
            [sys.executable, "-c", program, other, saved], capture_output=True, text=True, timeout=100
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_float64_cannot_come_back_as_float32_in_silence(tmp_path):
    save(tmp_path, {"w": np.ones(3)}, step=1, config={})
    like = {"w": jax.ShapeDtypeStruct((3,), np.float64)}
    jax.config.update("jax_enable_x64", False)
    try:
        assert restore(tmp_path, {"w": np.zeros(3)})["w"].dtype == np.float64
        with pytest.raises(CheckpointError, match="`w` is float64, which this process cannot hold: set jax_enable_x64"):
            restore(tmp_path, like)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_numpy_s_and_jax_s_steps_and_arrays_of_any_memory_order_are_taken(tmp_path):
    tree = {"t": np.arange(6.0).reshape(2, 3).T, "b": np.arange(3).astype(">i4"), "s": np.arange(8.0)[::2]}
    for step in (np.int64(3), jnp.int32(4)):
        save(tmp_path, tree, step=step, config={"units": np.int64(5)})
        assert latest_step(tmp_path) == int(step) and read_config(tmp_path) == {"units": 5}
        for name, leaf in restore(tmp_path, tree).items():
            np.testing.assert_array_equal(leaf, tree[name])
