"""The washout: the first steps of a series, in which the state of a reservoir still depends on h⁽⁰⁾.

A reservoir with the echo-state property forgets h⁽⁰⁾.  Until then h⁽ᵗ⁾ tells less about the input than later, so the
read-out is fitted without these steps.

References: Jaeger 2001 (GMD report 148), §3.1; Lukoševičius 2012, §4.5; chapter 6.1.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_shape


def washout_mask(
    mask: Bool[Array, "time *batch"],
    washout: int | Int[Array, "*batch"],
    *,
    reset: Bool[Array, "time *batch"] | None = None,
) -> Bool[Array, "time *batch"]:
    """Return the mask of the valid steps of each series, without its first `washout` ones.

    Args:
      mask: the valid steps, `[time, *batch]`.
      washout: the number of steps to drop from each series: one number, or one per row.
      reset: `[time, *batch]`; if given, each episode of a row is a series.

    Returns:
      A boolean mask, `[time, *batch]`.

    Raises:
      TypeError: a washout that is not an integer.
      ValueError: a negative washout, or one that leaves no step of a row (checked outside `jit`).

    >>> washout_mask(jnp.array([[True], [False], [True], [True]]), 1)[:, 0].tolist()
    [False, False, True, True]
    """
    if not jnp.issubdtype(jnp.result_type(washout), jnp.integer):
        raise TypeError(f"`washout` must be integers, got {jnp.result_type(washout)}.")
    if jnp.shape(washout):
        check_shape("washout", jnp.asarray(washout), jnp.shape(mask)[1:], "one for each row")
    _check_length(known_values(mask), known_values(washout))
    return _late(mask, washout, reset)


@jax.jit
def _late(mask, washout, reset):
    count = jnp.cumsum(mask, axis=0)  # of valid steps in the row, this one included
    if reset is not None:
        count = count - lax.cummax(jnp.where(reset, count - mask, 0), axis=0)
    return mask & (count > washout)


def _check_length(mask, washout) -> None:
    if washout is None:
        return
    if (washout < 0).any():
        raise ValueError(f"`washout` must be at least 0, got {washout.min()}.")
    if mask is not None and ((lengths := mask.sum(axis=0)) <= washout).any():
        row = np.unravel_index(np.argmax(lengths <= washout), lengths.shape)
        raise ValueError(
            f"`washout` must be shorter than each series, got {np.broadcast_to(washout, lengths.shape)[row]} "
            f"for one of {lengths[row]} valid steps."
        )
