"""Masks from the lengths of the rows, boundaries between episodes in the order of a run, and sums over valid steps.

mask[t, b] = (t < lengths[b])

A function can be undefined on padding, where y = 0.  Then 0 · ∞ = NaN reaches its parameters even if its value is
masked afterwards.  So `sum_over_valid` masks before and after: on padding the function sees a harmless value.

References: chapter 2.4; Goodfellow et al. 2016, §10.2.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from jaxrnn.core.arguments import as_array, known_values


def mask_from_lengths(lengths: Int[Array, "*batch"], time: int) -> Bool[Array, "time *batch"]:
    """Return the mask of rows of unequal length, mask[t, b] = (t < lengths[b]).

    Args:
      lengths: `[*batch]`, integers from 0 to `time`.
      time: the number of steps, a Python integer.

    Returns:
      A boolean array, `[time, *batch]`, True on valid steps.

    Raises:
      TypeError: lengths or a time that are not integers.
      ValueError: a length below 0 or above `time` (checked where the values are known, not under `jit`).

    >>> mask_from_lengths(jnp.array([2, 0, 3]), time=3).astype(int)
    Array([[1, 0, 1],
           [1, 0, 1],
           [0, 0, 1]], dtype=int32)
    """
    lengths = as_array("lengths", lengths, "integers")
    known = known_values(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"`lengths` must be integers, got {lengths.dtype}.")
    if not isinstance(time, SupportsIndex):
        raise TypeError(f"`time` must be an integer, got {time!r}.")
    if known is not None and (wrong := (known < 0) | (known > time)).any():
        row = f" in row {', '.join(map(str, np.argwhere(wrong)[0]))}" if known.ndim else ""
        raise ValueError(f"`lengths` must lie in 0 … time={time}, got {known[wrong][0]}{row}.")
    return jnp.arange(time).reshape(-1, *[1] * lengths.ndim) < lengths


class Padded(NamedTuple):
    """Series of unequal length as one array, and the mask that says where each ends.

    >>> Padded(xs="xs", mask="mask").mask
    'mask'
    """

    xs: Shaped[Array, "time rows *features"]
    """The series side by side, 0 where `mask` is False."""
    mask: Bool[Array, "time rows"]
    """True on valid steps."""


def pad(series: Sequence[Shaped[Array | np.ndarray, "..."]], time: int | None = None) -> Padded:
    """Return series of unequal length side by side, with their mask.

    Args:
      series: arrays `[length, *features]`, one for each row.
      time: the number of steps of the result; None for the longest length.  A few round numbers, such as
        multiples of 64, let few programs be compiled.

    Returns:
      `Padded(xs, mask)`: `[time, rows, *features]` and `[time, rows]`.

    Raises:
      TypeError: `series` is one array, or contains something other than arrays.
      ValueError: no series, or no step in any series; different features; a series longer than `time`.

    >>> xs, mask = pad([jnp.ones((2, 3)), jnp.ones((4, 3))])
    >>> xs.shape, mask.astype(int).T.tolist()
    ((4, 2, 3), [[1, 1, 0, 0], [1, 1, 1, 1]])

    References: chapter 2.4.
    """
    if isinstance(series, jax.Array | np.ndarray):
        raise TypeError(f"`series` must be a list of arrays, one for each row, got one array of shape {series.shape}.")
    rows = [as_array(f"series[{i}]", row, "numbers") for i, row in enumerate(series)]
    lengths = [row.shape[0] if row.ndim else 0 for row in rows]
    if not rows or not any(lengths):
        raise ValueError(f"`series` must hold at least one step, got {len(rows)} series without any.")
    features = {row.shape[1:] for row in rows}
    if len(features) > 1:
        raise ValueError(f"`series` must agree in their features, [length, *features], got {sorted(features)}.")
    longest = max(lengths)
    time = longest if time is None else operator.index(time)
    if time < longest:
        raise ValueError(
            f"`time` must be at least {longest}, the length of series {lengths.index(longest)}, got {time}."
        )
    xs = np.zeros((time, len(rows), *features.pop()), jnp.result_type(*rows))
    for i, row in enumerate(rows):  # by NumPy: a program for every length would be compiled otherwise
        xs[: len(row), i] = row
    return Padded(jnp.asarray(xs), mask_from_lengths(jnp.array(lengths), time))


def boundaries(reset: Bool[Array, "time *batch"], *, reverse: bool) -> Bool[Array, "time *batch"]:
    """Return for every step whether a boundary is crossed on the way into it.

    `reset[t]` lies between t − 1 and t.  A forward run crosses it into step t, a reverse run into step t − 1, so a
    reverse run crosses nothing into the last step.

    >>> boundaries(jnp.array([True, False, True]), reverse=True).tolist()
    [False, True, False]
    """
    return jnp.concatenate([reset[1:], jnp.zeros_like(reset[:1])]) if reverse else reset


def sum_over_valid(
    losses: Callable[..., Float[Array, "*steps"]], mask: Bool[Array, "*steps"] | None, *arrays: PyTree
) -> Float[Array, ""]:
    """Return the sum of `losses(*arrays)` over the valid steps; padding reaches neither the value nor any gradient.

    Args:
      losses: one number for every step: arrays `[*steps, ...]` → `[*steps]`.  It may close over parameters.
      mask: True on valid steps; None where all are.
      arrays: what `losses` reads, pytrees of arrays `[*steps, ...]`.

    >>> def norms(ys):  # undefined at 0
    ...     return jnp.sqrt(jnp.sum(ys**2, axis=-1))
    >>> mask, ys = jnp.array([True, False]), jnp.array([[3.0, 4.0], [0.0, 0.0]])
    >>> jax.grad(lambda scale: sum_over_valid(lambda ys: norms(scale * ys), mask, ys))(1.0)
    Array(5., dtype=float32, weak_type=True)
    """
    if mask is None:
        return jnp.sum(losses(*arrays))
    filled = jax.tree.map(lambda a: jnp.where(_over(mask, a), a, lax.stop_gradient(_typical(mask, a))), arrays)
    return jnp.sum(jnp.where(mask, losses(*filled), 0))


def bucket(size: int, parts: int = 2) -> int:
    """Round a size up to one of 1, 2, 3, 4, 6, 8, 12, 16, 24, …, so that few sizes are compiled.

    These are the powers of two, with `parts` − 1 sizes between two of them.

    >>> [bucket(n) for n in (5, 9, 100, 128)], bucket(9, parts=4)
    ([6, 12, 128, 128], 10)
    """
    step = max((1 << size.bit_length() >> 1) // parts, 1)
    return -(-size // step) * step


def valid_steps(mask: Bool[Array, "*steps"] | None, leading: tuple[int, ...]) -> int | Int[Array, ""]:
    """Return the number of valid steps, the divisor of a mean over them: at least 1, so that a mean of none is 0.

    >>> int(valid_steps(jnp.array([True, False]), (2,))), valid_steps(None, (7, 2)), valid_steps(None, (0, 2))
    (1, 14, 1)
    """
    return max(math.prod(leading), 1) if mask is None else jnp.maximum(jnp.sum(mask), 1)


def _typical(mask: Bool[Array, "*steps"], array: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """Return a value like those of the valid steps: their mean, or their largest integer; ½ and 0 where there are none.

    A mean stays inside any convex domain in which all of them are.
    """
    steps, valid = tuple(range(mask.ndim)), _over(mask, array)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return jnp.max(jnp.where(valid, array, 0), axis=steps, initial=0)
    count = jnp.sum(mask)
    mean = jnp.sum(jnp.where(valid, array, 0), axis=steps) / jnp.maximum(count, 1)
    return jnp.where(count == 0, 0.5, mean).astype(array.dtype)


def _over(mask: Bool[Array, "*steps"], array: Shaped[Array, "..."]) -> Bool[Array, "..."]:
    """Return the mask with an axis of 1 for each feature axis of the array."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - mask.ndim))
