"""A pytree as named arrays with checksums, and back: the form that checkpoints and weights are stored in.

The name of a leaf is its path with dots, `params.cell.w`.  Its record is its dtype, its shape and

    SHA-256(name, dtype, shape, bytes),

so a flipped bit, another dtype or shape, and two swapped leaves are all detected by name.  The containers of the tree
(NamedTuples, optax states, None, empty tuples) are not stored.  They come from `like`, the tree passed on loading, so
nothing is unpickled.

References: FIPS 180-4 (SHA-256).
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class CheckpointError(ValueError):
    """The error raised if a checkpoint or a weights file cannot be written, cannot be read, or does not match."""


def brief(error: Exception) -> str:
    """Return an error in one line; of tensorstore's long messages only the words of the system."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number:
        return f"{os.strerror(int(number[1]))}."
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first[:300]}."


class Record(NamedTuple):
    """The metadata of a leaf: dtype, shape and checksum."""

    dtype: str
    """`float32`, `key<fry>` for a typed key, or `int`, `float`, `bool`, `complex` for Python numbers."""
    shape: list[int]
    """The shape of the leaf; () for a single key."""
    sha256: str = ""
    """The checksum of name, dtype, shape and bytes; empty if the bytes are not known."""


_PYTHON = (bool, int, float, complex)
_KEY_IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")


def name_leaves(tree: PyTree) -> dict[str, Any]:
    """Return the leaves by their dotted names, in the order of the tree.

    Raises:
      CheckpointError: two leaves have the same name, as in `{"a.b": 1, "a": {"b": 2}}`.

    >>> name_leaves({"cell": (jnp.ones(3, "float32"), None, {"step": 7})})
    {'cell.0': Array([1., 1., 1.], dtype=float32), 'cell.2.step': 7}
    """
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "leaf"
        if name in named:
            raise CheckpointError(f"Two leaves of the tree are both named `{name}`; rename a key of the dict.")
        named[name] = leaf
    return named


def to_numpy(name: str, leaf: Any) -> np.ndarray:
    """Return a leaf as a NumPy array, a typed key as its `jax.random.key_data`.

    Raises:
      CheckpointError: the leaf is not numeric, or is an integer too large for any dtype.
    """
    if _is_key(leaf):
        if dtype_name(leaf) not in _key_implementations():
            raise CheckpointError(
                f"`{name}` must be a key of one of JAX's own implementations, {', '.join(_KEY_IMPLEMENTATIONS)}, "
                f"got {leaf.dtype}."
            )
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise CheckpointError(f"`{name}` must be numbers, got {type(leaf).__name__} of dtype {array.dtype}.")
    # a writer that looks at the buffer alone must find it in the order of the indices and in this machine's bytes
    return np.asarray(array, _native(array.dtype), order="C")


def stored_as(like: Any) -> Any:
    """Return the dtype and shape of `to_numpy` of a leaf like this one."""
    if type(like) in _PYTHON:
        return np.asarray(like)
    if _is_key(like):
        return jax.eval_shape(jax.random.key_data, like)
    return like if _native(like.dtype) == like.dtype else jax.ShapeDtypeStruct(like.shape, _native(like.dtype))


def dtype_name(leaf: Any) -> str:
    """Return the dtype as a `Record` states it.

    >>> dtype_name(7), dtype_name(np.float32(7)), dtype_name(jnp.ones(3, jnp.bfloat16)), dtype_name(jax.random.key(0))
    ('int', 'float32', 'bfloat16', 'key<fry>')
    """
    return type(leaf).__name__ if type(leaf) in _PYTHON else str(_native(leaf.dtype))


def as_json(config: Any) -> Any:
    """Return the configuration as JSON holds it: tuples as lists, NumPy's and JAX's numbers and arrays as Python's.

    Raises:
      TypeError: it holds something else.

    >>> as_json({"sizes": (3, np.int64(5)), "rate": np.float32(0.5)})
    {'sizes': [3, 5], 'rate': 0.5}
    """

    def plain(value):
        if hasattr(value, "dtype") and not _is_key(value):
            return np.asarray(value).tolist()
        raise TypeError(f"{type(value).__name__} is not JSON")

    try:
        return json.loads(json.dumps(config, default=plain))
    except (TypeError, ValueError) as error:
        raise TypeError(f"`config` must be JSON (dicts, lists, strings, numbers, None): {error}.") from error


def _native(dtype: Any) -> Any:
    """Return the dtype in the byte order of this machine; a dtype that is not NumPy's has no other."""
    return dtype.newbyteorder("=") if isinstance(dtype, np.dtype) and not dtype.isnative else dtype


def record(name: str, leaf: Any, array: np.ndarray) -> Record:
    """Return the record of a leaf stored as `array`."""
    dtype, shape = dtype_name(leaf), list(np.shape(leaf))
    return Record(dtype, shape, checksum(name, dtype, shape, array))


def checksum(name: str, dtype: str, shape: list[int], array: np.ndarray) -> str:
    """Return the SHA-256 of a leaf stored as `array`, whose dtype and shape differ from the leaf's for a key."""
    digest = hashlib.sha256(repr((name, dtype, shape, str(array.dtype), array.shape)).encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check_records(like: PyTree, records: Mapping[str, Record], source: str) -> None:
    """Raise CheckpointError unless `source` holds exactly the leaves of `like`, with the same dtypes and shapes."""
    named = name_leaves(like)
    for name, leaf in named.items():
        if not hasattr(leaf, "dtype") and type(leaf) not in _PYTHON:
            raise CheckpointError(f"`{name}` of `like` must be an array, got {type(leaf).__name__}.")
        if name not in records:
            raise CheckpointError(f"`{name}` is missing: {source} has no such leaf. {_OTHER}")
        want, got = Record(dtype_name(leaf), list(np.shape(leaf))), records[name]
        if (got.dtype, got.shape) != (want.dtype, want.shape):
            raise CheckpointError(
                f"`{name}` must be {want.dtype}{want.shape}, but {source} has {got.dtype}{got.shape}. {_OTHER}"
            )
    for name in records:
        if name not in named:
            raise CheckpointError(f"`{name}` is unexpected: {source} has it, but `like` does not. {_OTHER}")


_OTHER = "Was it written by another cell, another optimizer or other sizes?"


def check_bytes(arrays: Mapping[str, np.ndarray], records: Mapping[str, Record], source: str) -> None:
    """Raise CheckpointError unless each array matches its record, bit for bit."""
    for name, (dtype, shape, sha256) in records.items():
        if checksum(name, dtype, shape, arrays[name]) != sha256:
            raise CheckpointError(
                f"`{name}` is damaged: its bytes in {source} are not those that were written (SHA-256 differs). "
                "Take an older checkpoint or another copy."
            )


def rebuild(like: PyTree, arrays: Mapping[str, np.ndarray]) -> PyTree:
    """Return a tree with the structure and kinds of leaves of `like` and the given arrays."""
    leaves = [_as(leaf, arrays[name], name) for name, leaf in name_leaves(like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _as(like: Any, array: np.ndarray, name: str) -> Any:
    """Return `array` as a leaf of the kind of `like`: a Python number, a NumPy array or a `jax.Array`."""
    if type(like) in _PYTHON:
        return type(like)(array.item())
    if isinstance(like, np.generic):
        return array[()]
    if isinstance(like, np.ndarray):
        return array
    leaf = jnp.asarray(array)
    if leaf.dtype != array.dtype:
        raise CheckpointError(
            f"`{name}` is {array.dtype}, which this process cannot hold: set jax_enable_x64, as the writer did."
        )
    if _is_key(like):
        leaf = jax.random.wrap_key_data(leaf, impl=_key_implementations()[dtype_name(like)])
    elif like.weak_type and leaf.dtype == (weak := jnp.asarray(array.dtype.type(0).item())).dtype:
        leaf = jnp.broadcast_to(weak, leaf.shape).at[...].set(leaf)  # a weak type is part of what jit sees
    sharding = getattr(like, "sharding", None)
    return leaf if sharding is None or len(sharding.device_set) == 1 else jax.device_put(leaf, sharding)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_implementations() -> dict[str, str]:
    """Return the implementations of keys by their dtype names: `key<fry>` → threefry2x32."""
    keys = {name: jax.eval_shape(lambda name=name: jax.random.key(0, impl=name)) for name in _KEY_IMPLEMENTATIONS}
    return {str(key.dtype): name for name, key in keys.items()}
