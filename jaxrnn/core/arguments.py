"""Arguments as arrays, numbers and keys, whatever library they come from.

NumPy's numbers, JAX's and Python's are taken alike.  What is none, such as text, or a carry in the place of an array,
is refused with the name of the argument.
"""

import operator
import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.core.types import Noisy


def check_one_array(name: str, value: Any) -> None:
    """Raise TypeError for a carry, or any other tuple of arrays, in the place of an array: it would be stacked.

    >>> from jaxrnn.cells.lstm import LSTMCarry
    >>> check_one_array("ys", LSTMCarry(jnp.ones(3), jnp.ones(3)))
    Traceback (most recent call last):
    TypeError: `ys` must be one array, got LSTMCarry(h, c). Probably `ys.h` is meant.
    """
    if isinstance(value, Noisy):
        raise TypeError(f"`{name}` must be one array, got with_noise(key, {name}), but its reader draws no noise.")
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields:
        raise TypeError(
            f"`{name}` must be one array, got {type(value).__name__}({', '.join(fields)}). "
            f"Probably `{name}.{fields[0]}` is meant."
        )
    parts = value if isinstance(value, tuple | list) else ()
    if any(isinstance(part, tuple if isinstance(value, list) else tuple | jax.Array | np.ndarray) for part in parts):
        raise TypeError(
            f"`{name}` must be one array, got a {type(value).__name__} of {len(value)}. "
            f"Probably one of them is meant, such as `{name}[0]`; jnp.stack makes one array of several."
        )


def as_array(name: str, array, what: str) -> Array:
    """Return the argument as one array; raise TypeError for several arrays and for text or other values."""
    check_one_array(name, array)
    refused = f"`{name}` must be an array of {what}, got {reprlib.repr(array)}."
    if isinstance(array, str | bytes):
        raise TypeError(refused)
    try:
        return jnp.asarray(array)
    except (TypeError, ValueError) as error:
        raise TypeError(refused) from error


def as_numbers(name: str, value: Any, *, kind: Any = float) -> Array:
    """Return one or more real numbers as a floating array, or raise a TypeError that names the argument.

    >>> as_numbers("penalty", 2).dtype
    dtype('float32')
    """
    array = as_array(name, value, "numbers")
    if not jnp.issubdtype(array.dtype, jnp.number) or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"`{name}` must be real numbers, got {reprlib.repr(value)}.")
    return array.astype(jnp.result_type(kind))


def whole_number(name: str, value: Any, *, least: int = 0) -> int:
    """Return an integer of any kind, NumPy's and JAX's included, as a Python integer of at least `least`.

    >>> whole_number("step", np.int64(3)), whole_number("step", jnp.int32(3))
    (3, 3)
    """
    try:
        number = least - 1 if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}, got {value!r}.")
    return number


def known_values(array) -> np.ndarray | None:
    """Return the values as a NumPy array, or None under a transformation.

    NumPy, because inside `jit` any `jnp` operation turns even a known array into a tracer.
    """
    return None if isinstance(array, jax.core.Tracer) else np.asarray(array)


def check_boolean(name: str, array: Array) -> None:
    """Raise TypeError unless the array is boolean; integers in the place of a mask may be lengths."""
    dtype = as_array(name, array, "booleans").dtype
    if not jnp.issubdtype(dtype, jnp.bool_):
        remedy = f"Write `{name} != 0` if it holds zeros and ones"
        if name == "mask":
            remedy += ", and mask_from_lengths(lengths, time) if it holds the lengths of the rows"
        raise TypeError(f"`{name}` must be boolean, got {dtype}. {remedy}.")


def check_typed_key(**keys: Any) -> None:
    """Raise TypeError unless each is a key, or several, of `jax.random.key` or `jax.random.split`."""
    for name, key in keys.items():
        if not hasattr(key, "dtype") or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            got = f"an array of {key.dtype}" if hasattr(key, "dtype") else reprlib.repr(key)
            raise TypeError(f"`{name}` must come from jax.random.key or jax.random.split, got {got}.")


def check_key(**keys: Any) -> None:
    """Raise TypeError unless each is a key of `jax.random.key`; an old `jax.random.PRNGKey` will do."""
    for name, key in keys.items():
        if not (hasattr(key, "dtype") and key.dtype == jnp.uint32 and key.ndim and key.shape[-1] == 2):
            check_typed_key(**{name: key})
