"""A pytree as named arrays with checksums, and back: what `checkpoint` and `weights` put on disk.

A leaf's name is its path with dots, `params.cell.w`.  Its record is its dtype, its shape and

    SHA-256(name, dtype, shape, bytes),

so that a flipped bit, another dtype or shape, and one leaf in the place of another are all noticed, and
known by name.  The tree's containers (NamedTuples, optax's states, None, empty tuples) are not stored: they
come from `like`, the tree that is asked for, so nothing has to be unpickled.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class CheckpointError(ValueError):
    """A checkpoint or a weights file cannot be written, cannot be read, or is not what is asked for."""


def brief(error: Exception) -> str:
    """What went wrong, in one line; of tensorstore's long ones the system's own words alone."""
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number:
        return f"{os.strerror(int(number[1]))}."
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first[:300]}."


class Record(NamedTuple):
    """What is known of a leaf without its bytes, and by what its bytes are known."""

    dtype: str
    """`float32`, `key<fry>` for a typed key, or `int`, `float`, `bool`, `complex` for Python's own."""
    shape: list[int]
    """The leaf's own shape; () for a single key."""
    sha256: str = ""
    """Of name, dtype, shape and bytes; empty where the bytes are not known."""


_PYTHON = (bool, int, float, complex)
_KEY_IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")


def name_leaves(tree: PyTree) -> dict[str, Any]:
    """The tree's leaves by their dotted names, in the tree's order.

    Raises:
      CheckpointError: two leaves of the same name, as in `{"a.b": 1, "a": {"b": 2}}`.

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
    """The leaf's bytes: numbers as they are, a typed key as its `jax.random.key_data`.

    Raises:
      CheckpointError: a leaf that is not made of numbers, or is too long for any dtype.
    """
    if _is_key(leaf):
        if dtype_name(leaf) not in _key_implementations():
            raise CheckpointError(
                f"`{name}` must be a key of one of JAX's own implementations, {', '.join(_KEY_IMPLEMENTATIONS)}, "
                f"got {leaf.dtype}."
            )
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    is_number = jnp.issubdtype(array.dtype, np.number) or array.dtype == np.bool_
    if not is_number or not array.dtype.isnative:
        raise CheckpointError(f"`{name}` must be numbers, got {type(leaf).__name__} of dtype {array.dtype}.")
    return array


def stored_as(like: Any) -> Any:
    """What has the dtype and the shape of `to_numpy` of a leaf like this one."""
    if type(like) in _PYTHON:
        return np.asarray(like)
    return jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like


def dtype_name(leaf: Any) -> str:
    """The dtype as a `Record` states it.

    >>> dtype_name(7), dtype_name(np.float32(7)), dtype_name(jnp.ones(3, jnp.bfloat16)), dtype_name(jax.random.key(0))
    ('int', 'float32', 'bfloat16', 'key<fry>')
    """
    return type(leaf).__name__ if type(leaf) in _PYTHON else str(leaf.dtype)


def record(name: str, leaf: Any, array: np.ndarray) -> Record:
    """The record of a leaf whose bytes are `array`."""
    dtype, shape = dtype_name(leaf), list(np.shape(leaf))
    return Record(dtype, shape, checksum(name, dtype, shape, array))


def checksum(name: str, dtype: str, shape: list[int], array: np.ndarray) -> str:
    """SHA-256 of all that a leaf is; `array` says how it is stored, which for a key is another dtype and shape."""
    digest = hashlib.sha256(repr((name, dtype, shape, str(array.dtype), array.shape)).encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check_records(like: PyTree, records: Mapping[str, Record], source: str) -> None:
    """Raises CheckpointError unless `source` holds exactly the leaves of `like`, of the same dtypes and shapes."""
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
            raise CheckpointError(f"`{name}` is too many: {source} has it, the tree asked for does not. {_OTHER}")


_OTHER = "Was it written by another cell, another optimizer or other sizes?"


def check_bytes(arrays: Mapping[str, np.ndarray], records: Mapping[str, Record], source: str) -> None:
    """Raises CheckpointError unless each array is, bit for bit, the one that was recorded."""
    for name, (dtype, shape, sha256) in records.items():
        if checksum(name, dtype, shape, arrays[name]) != sha256:
            raise CheckpointError(
                f"`{name}` is damaged: its bytes in {source} are not those that were written (SHA-256 differs). "
                "Take an older checkpoint or another copy."
            )


def rebuild(like: PyTree, arrays: Mapping[str, np.ndarray]) -> PyTree:
    """The tree of the structure and the kinds of leaves of `like`, with these bytes."""
    leaves = [_as(leaf, arrays[name], name) for name, leaf in name_leaves(like).items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _as(like: Any, array: np.ndarray, name: str) -> Any:
    """`array` as a leaf of the kind of `like`; what is neither Python's nor numpy's becomes a `jax.Array`."""
    if type(like) in _PYTHON:
        return type(like)(array.item())
    if isinstance(like, np.generic):
        return array[()]
    if isinstance(like, np.ndarray):
        return array
    leaf = jnp.asarray(array)
    if leaf.dtype != array.dtype:
        raise CheckpointError(
            f"`{name}` is {array.dtype}, which this process cannot hold: set jax_enable_x64, as the writer had."
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
    """`key<fry>` → threefry2x32, and so on."""
    keys = {name: jax.eval_shape(lambda name=name: jax.random.key(0, impl=name)) for name in _KEY_IMPLEMENTATIONS}
    return {str(key.dtype): name for name, key in keys.items()}
