"""Weights without a training state, as a safetensors file that other programs can read.

    model.safetensors         the leaves by dotted names, `cell.w`
    model.safetensors.json    the hyperparameters

The metadata of the file hold a SHA-256 of each leaf, so loading detects a flipped bit.  A file written by another
program has no digests and is accepted if names, dtypes and shapes agree.

References: safetensors, https://huggingface.co/docs/safetensors.
"""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.training.saving import atomic_files
from jaxrnn.training.saving.records import (
    CheckpointError,
    Record,
    as_json,
    check_bytes,
    check_records,
    name_leaves,
    rebuild,
    record,
    stored_as,
    to_numpy,
)

__all__ = ["load_weights", "read_weights_config", "save_weights"]

_DTYPES = (
    *("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("bfloat16", "float16", "float32", "float64", "complex64"),
)
_RECORDS = "leaves"


def save_weights(path: str | os.PathLike, params: PyTree, config: dict) -> None:
    """Write the leaves to `path`, and the hyperparameters as JSON to `path` + ".json".

    Each of the two files is replaced atomically, so a reader never sees half of one.

    Args:
      path: the file, whose name usually ends in ".safetensors"; its directory must exist.
      params: a tree of arrays; its containers are not stored.
      config: the hyperparameters, as JSON.

    Returns:
      Nothing; the files are on the disk.

    Raises:
      CheckpointError: the disk is full, a file cannot be written, or the format does not support the dtype of a leaf.
      TypeError: a configuration that is not JSON.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory, "model.safetensors")
    ...     save_weights(path, {"w": jnp.ones(3, "float32")}, {"hidden_size": 3})
    ...     read_weights_config(path), load_weights(path, {"w": jnp.zeros(3, "float32")})
    ({'hidden_size': 3}, {'w': Array([1., 1., 1.], dtype=float32)})
    """
    path = Path(path)
    written = weights_bytes(params)
    hyperparameters = json.dumps(as_json(config), indent=1).encode()
    try:
        atomic_files.write(path, written)
        atomic_files.write(_beside(path), hyperparameters)
    except OSError as error:
        raise CheckpointError(f"{path} could not be written: {error}.") from error


def weights_bytes(params: PyTree) -> bytes:
    """Return the leaves as a safetensors file, with a record of each.

    Raises:
      CheckpointError: a leaf's dtype is not in the format.
    """
    from safetensors import SafetensorError
    from safetensors import numpy as safetensors

    # the format knows one order of memory; a transposed array would be written as it lies
    arrays = {name: np.asarray(to_numpy(name, leaf), order="C") for name, leaf in name_leaves(params).items()}
    for name, array in arrays.items():
        if str(array.dtype) not in _DTYPES:
            raise CheckpointError(f"`{name}` must have a dtype of the safetensors format, got {array.dtype}.")
    records = {name: record(name, array, array) for name, array in arrays.items()}
    try:
        return safetensors.save(arrays, {_RECORDS: json.dumps(records)})
    except SafetensorError as error:
        raise CheckpointError(f"the parameters cannot be written as safetensors: {error}.") from error


def load_weights(path: str | os.PathLike, like: PyTree) -> PyTree:
    """Return the parameters in a file, bit for bit.

    Args:
      path: the file of `save_weights`, or of another program with the same names.
      like: a tree of the same structure, dtypes and shapes, of arrays or `jax.ShapeDtypeStruct`, for instance
        `jax.eval_shape(cell.init, key)`.

    Returns:
      A tree like `like`.

    Raises:
      CheckpointError: the file is missing or cannot be read, or a named leaf is missing, surplus, of another
        dtype or shape, or damaged.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(folder + "/w.safetensors", {"w": jnp.ones(3)}, {})
    ...     load_weights(folder + "/w.safetensors", {"w": jnp.zeros(3)})["w"].tolist()
    [1.0, 1.0, 1.0]
    """
    arrays, records = _read(Path(path))
    stored = jax.tree.map(stored_as, like)
    check_records(stored, {name: Record(str(a.dtype), list(a.shape)) for name, a in arrays.items()}, str(path))
    check_bytes(arrays, records, str(path))
    return rebuild(like, arrays)


def read_arrays(path: str | os.PathLike, like: PyTree) -> PyTree:
    """Load the parameters in the file in the precision in which they were written.

    Args:
      path: that of `save_weights`.
      like: as for `load_weights`; its floating dtypes are ignored.

    Raises:
      CheckpointError: as `load_weights`.
    """
    arrays, _ = _read(Path(path))

    def as_written(name: str, leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        dtype = arrays[name].dtype if name in arrays else leaf.dtype
        floating = jnp.issubdtype(leaf.dtype, jnp.inexact) and jnp.issubdtype(dtype, jnp.inexact)
        return jax.ShapeDtypeStruct(leaf.shape, dtype) if floating else leaf

    leaves = [as_written(name, leaf) for name, leaf in name_leaves(like).items()]
    return load_weights(path, jax.tree.unflatten(jax.tree.structure(like), leaves))


def read_weights_config(path: str | os.PathLike) -> dict:
    """Return the hyperparameters stored beside a weights file.

    Args:
      path: the file given to `save_weights`.

    Returns:
      The hyperparameters.

    Raises:
      CheckpointError: there are none, or they are not JSON.

    >>> import tempfile, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(folder + "/w.safetensors", {"w": jnp.ones(3)}, {"hidden_size": 3})
    ...     read_weights_config(folder + "/w.safetensors")
    {'hidden_size': 3}
    """
    beside = _beside(Path(path))
    try:
        return json.loads(beside.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{beside} cannot be read: {error}.") from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Record]]:
    """Read the arrays and their records; a file of another program has no records."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            arrays = file.get_tensors()
            saved = json.loads((file.metadata() or {}).get(_RECORDS, "{}"))
        records = {name: Record(*fields) for name, fields in saved.items()}
    except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}.") from error
    if records and set(records) != set(arrays):
        raise CheckpointError(f"{path} is damaged: its list of leaves does not match its arrays.")
    return arrays, records


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")
