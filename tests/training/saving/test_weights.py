"""Weights are saved as safetensors that other programs read, and are restored bit for bit."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxrnn import GRU, LSTM, Elman, Stack
from jaxrnn.training.saving.records import CheckpointError
from jaxrnn.training.saving.weights import load_weights, read_weights_config, save_weights

CELLS = {
    "Elman": Elman(3, 4),
    "LSTM": LSTM(3, 4),
    "peepholes": LSTM(3, 4, peephole="previous"),
    "GRU": GRU(3, 4, reset="after"),
    "Stack": Stack((LSTM(3, 4), GRU(4, 2))),
}
PARAMS = CELLS["LSTM"].init(jax.random.key(0))


def same(a, b) -> bool:
    def bits(tree):
        return [(type(x), str(x.dtype), np.shape(x), np.asarray(x).tobytes()) for x in jax.tree.leaves(tree)]

    return jax.tree.structure(a) == jax.tree.structure(b) and bits(a) == bits(b)


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    save_weights(path, PARAMS, {"hidden_size": 4})
    return path


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_weights_come_back_bit_for_bit(cell, dtype, tmp_path):
    params = jax.tree.map(lambda x: x.astype(dtype), cell.init(jax.random.key(0)))
    save_weights(tmp_path / "w", params, {})
    assert same(load_weights(tmp_path / "w", params), params)
    assert same(load_weights(tmp_path / "w", jax.eval_shape(lambda: params)), params)


def test_numpy_s_and_python_s_numbers_come_back_as_they_were(tmp_path):
    tree = {"b": False, "f": 0.1, "n": 7, "none": None, "s": np.float32(0.1), "x": np.ones((0, 3), np.int8)}
    save_weights(tmp_path / "w", tree, {})
    loaded = load_weights(tmp_path / "w", tree)
    assert repr(loaded) == repr(tree) and [type(x) for x in loaded.values()] == [type(x) for x in tree.values()]


def test_another_program_reads_the_file_by_dotted_names(tmp_path):
    save_weights(tmp_path / "w", {"cell": PARAMS, "readout": (jnp.ones(2),)}, {})
    arrays = safetensors.numpy.load_file(tmp_path / "w")
    assert list(sorted(arrays)) == ["cell.b", "cell.u", "cell.w", "readout.0"]
    assert (arrays["cell.w"] == np.asarray(PARAMS.w)).all()


def test_a_file_of_another_program_is_read(tmp_path):
    arrays = {name: np.asarray(leaf) for name, leaf in PARAMS._asdict().items() if leaf is not None}
    safetensors.numpy.save_file(arrays, tmp_path / "w")
    assert same(load_weights(tmp_path / "w", PARAMS), PARAMS)


def test_the_hyperparameters_are_json_beside_the_file(path):
    assert json.loads(Path(f"{path}.json").read_text()) == {"hidden_size": 4}
    assert read_weights_config(path) == {"hidden_size": 4}
    Path(f"{path}.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.json cannot be read"):
        read_weights_config(path)
    Path(f"{path}.json").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.json cannot be read: .*No such file"):
        read_weights_config(path)


def test_saving_again_replaces_both_files_and_leaves_nothing_else(path):
    save_weights(path, PARAMS._replace(b=PARAMS.b + 1), {"hidden_size": 5})
    assert (load_weights(path, PARAMS).b == PARAMS.b + 1).all()
    assert read_weights_config(path) == {"hidden_size": 5}
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("like", "message"),
    [
        (PARAMS._replace(w=PARAMS.w.astype("float32")), r"`w` must be float32\[4, 16\], but .* has float64\[4, 16\]"),
        (PARAMS._replace(b=jnp.ones((16, 1))), r"`b` must be float64\[16, 1\], but .* has float64\[16\]"),
        (PARAMS._replace(peephole=jnp.ones((3, 4))), r"`peephole` is missing"),
        ((PARAMS.u, PARAMS.w), r"`0` is missing"),
        ({"u": PARAMS.u, "w": PARAMS.w}, r"`b` is unexpected"),
        (GRU(3, 4).init(jax.random.key(0)), r"`u` must be float64\[3, 12\].*another cell"),
    ],
)
def test_weights_that_are_not_those_asked_for_are_an_error_that_names_the_leaf(like, message, path):
    with pytest.raises(CheckpointError, match=message):
        load_weights(path, like)


def test_a_flipped_bit_is_an_error_that_names_the_leaf(path):
    data = bytearray(path.read_bytes())
    at = data.index(np.asarray(PARAMS.w).tobytes())
    data[at + 20] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="`w` is damaged"):
        load_weights(path, PARAMS)


def test_no_flipped_bit_anywhere_loads_other_numbers(path, tmp_path):
    data = path.read_bytes()
    for bit in range(0, 8 * len(data), 61):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            assert same(load_weights(path, PARAMS), PARAMS), bit


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_file_is_an_error_that_names_it(size, path):
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read as safetensors"):
        load_weights(path, PARAMS)


def test_a_missing_file_a_directory_and_a_pickle_are_errors_that_name_them(path):
    with pytest.raises(CheckpointError, match=r"other cannot be read as safetensors: .*No such file"):
        load_weights(path.with_name("other"), PARAMS)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_weights(path.parent, PARAMS)
    np.savez(path.with_name("x.npz"), w=np.array([object()]))
    with pytest.raises(CheckpointError, match=r"x\.npz cannot be read as safetensors"):
        load_weights(path.with_name("x.npz"), PARAMS)


def test_a_dtype_that_the_format_lacks_and_a_configuration_that_is_not_json_are_errors(path):
    with pytest.raises(CheckpointError, match=r"`x` must have a dtype of the safetensors format, got complex128"):
        save_weights(path, {"x": jnp.ones(2, "complex128")}, {})
    with pytest.raises(CheckpointError, match=r"`x` must be numbers, got str"):
        save_weights(path, {"x": "text"}, {})
    with pytest.raises(TypeError, match=r"`config` must be JSON"):
        save_weights(path, PARAMS, {"cell": CELLS["LSTM"]})
    assert same(load_weights(path, PARAMS), PARAMS)


def test_a_directory_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"could not be written: .*No such file"):
        save_weights(tmp_path / "no" / "w", PARAMS, {})


@pytest.mark.process
def test_a_file_that_may_not_grow_is_an_error_and_the_file_before_stays(path):
    program = """
import resource, sys, jax.numpy as jnp
from jaxrnn.training.saving.weights import CheckpointError, save_weights
sys.dont_write_bytecode = True  # it would be cut off
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_weights(sys.argv[1], {"x": jnp.ones(100_000)}, {})
except CheckpointError as error:
    print(error)
"""
    before = shutil.copy(path, path.parent.parent / "before")
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "could not be written: [Errno 27] File too large" in done.stdout
    assert path.read_bytes() == Path(before).read_bytes()
    assert len(list(path.parent.iterdir())) == 2


WAYS_IN_MEMORY = {
    "transposed": np.arange(6.0, dtype="f").reshape(2, 3).T,
    "fortran": np.asfortranarray(np.arange(6.0, dtype="f").reshape(2, 3)),
    "strided": np.arange(12.0, dtype="f")[::2],
    "backwards": np.arange(6.0, dtype="f")[::-1],
    "big_endian": np.arange(6.0).astype(">f8"),
    "no_axis": np.array(3.0, "f"),
    "empty": np.zeros((0, 3), "f").T,
}


def test_an_array_is_written_as_what_it_is_however_it_lies_in_memory(tmp_path):
    save_weights(tmp_path / "w", WAYS_IN_MEMORY, {"units": np.int64(3), "rate": np.float32(0.5)})
    assert read_weights_config(tmp_path / "w") == {"units": 3, "rate": 0.5}
    for read in (safetensors.numpy.load_file(tmp_path / "w"), load_weights(tmp_path / "w", WAYS_IN_MEMORY)):
        for name, array in WAYS_IN_MEMORY.items():
            np.testing.assert_array_equal(read[name], array)
            assert read[name].shape == array.shape and read[name].dtype.isnative
