"""Masks from the lengths of the rows, and boundaries between episodes in the order of a run.

mask[t, b] = (t < lengths[b])
"""

from typing import SupportsIndex

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxrnn.core.checks import known_values


def mask_from_lengths(lengths: Int[Array, "*batch"], time: int) -> Bool[Array, "time *batch"]:
    """mask[t, b] = (t < lengths[b]).

    Args:
      lengths: `[*batch]`, integers from 0 to `time`.
      time: the number of steps, a Python integer.

    Raises:
      TypeError: lengths or a time that are not integers.
      ValueError: a length below 0 or above `time` (checked where the values are known, not under `jit`).

    >>> mask_from_lengths(jnp.array([2, 0, 3]), time=3).astype(int)
    Array([[1, 0, 1],
           [1, 0, 1],
           [0, 0, 1]], dtype=int32)
    """
    known, lengths = known_values(lengths), jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"`lengths` must be integers, got {lengths.dtype}.")
    if not isinstance(time, SupportsIndex):
        raise TypeError(f"`time` must be an integer, got {time!r}.")
    if known is not None and (wrong := (known < 0) | (known > time)).any():
        row = f" in row {', '.join(map(str, np.argwhere(wrong)[0]))}" if known.ndim else ""
        raise ValueError(f"`lengths` must lie in 0 … time={time}, got {known[wrong][0]}{row}.")
    return jnp.arange(time).reshape(-1, *[1] * lengths.ndim) < lengths


def boundaries(reset: Bool[Array, "time *batch"], *, reverse: bool) -> Bool[Array, "time *batch"]:
    """Return for every step whether a boundary is crossed on the way into it.

    `reset[t]` lies between t − 1 and t.  Forwards it is crossed into step t; backwards it is crossed into step t − 1,
    so nothing is crossed into the last step.

    >>> boundaries(jnp.array([True, False, True]), reverse=True).tolist()
    [False, True, False]
    """
    return jnp.concatenate([reset[1:], jnp.zeros_like(reset[:1])]) if reverse else reset
