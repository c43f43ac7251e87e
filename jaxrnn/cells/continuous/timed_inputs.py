"""Inputs with Δt, the time since the previous step: `Timed(x, dt)`, for every cell that reads time.

    xs = with_dt(x, dt)                x: [time, *batch, features],   dt: [time], [time, *batch] or one number
    carry, ys = unroll(cell, params, xs)

A plain array has equal steps, of the cell's own `dt`.  The first Δt is the time since the start of the carry; at the
beginning of a series, use any typical step.  In a reverse run, step t follows step t + 1, so its Δt is the time between
these two.

`mask` and Δt mean different things.  A masked step does not happen and holds the carry, which is right for padding.  In
a gap, time passes: omit the missing steps and let the next Δt be longer, or keep them and mark the missing values
(`GRUD`).

Δt ≤ 0, NaN and infinity are errors on valid steps wherever the values are known; under `jit` nothing is checked.

References: Che et al. 2018, §2.1; Hasani et al. 2022.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.arguments import as_array, as_numbers
from jaxrnn.core.checks import check_dt, check_features, check_steps, leading_axes
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Inputs, Timed


def with_dt(
    xs: PyTree[Shaped[Array, "..."]],
    dt: float | int | Float[Array, "..."],
    *,
    mask: Bool[Array, "..."] | None = None,
) -> Timed:
    """Return the inputs with the time between two steps.

    Args:
      xs: inputs `[time, *batch, features]`.
      dt: Δt, the time since the previous step: a number, `[time]`, or `[time, *batch]`.
      mask: `[time, *batch]`; Δt may be anything where it is False.

    Returns:
      `Timed(xs, dt)`, an input like any other; noise goes around it, `with_noise(key, with_dt(xs, dt))`.

    Raises:
      TypeError: `dt` is not a number or an array of numbers.
      ValueError: a wrong shape; Δt ≤ 0, NaN or infinite on a valid step, where the values are known.

    >>> times = jnp.array([0.0, 0.5, 2.0])
    >>> timed = with_dt(jnp.ones((3, 2, 4)), jnp.diff(times, prepend=-1.0))
    >>> timed.dt[..., 0].tolist()
    [[1.0, 1.0], [0.5, 0.5], [1.5, 1.5]]
    """
    leading = leading_axes(xs)
    dt = as_numbers("dt", dt)
    if dt.shape not in ((), leading[:1], leading):
        raise ValueError(
            f"`dt` must be a number, or have shape {leading[:1]} ([time]) or {leading} ([time, *batch]), "
            f"got shape {dt.shape}."
        )
    mask = check_steps("mask", mask, leading)
    dt = jnp.broadcast_to(dt.reshape(dt.shape + (1,) * (len(leading) - dt.ndim)), leading)
    check_dt("dt", dt, mask)
    return Timed(xs, dt[..., None])


def as_timed(xs: Inputs, dt: float, **input_size: int) -> Timed:
    """Return `Timed` inputs, checked, with Δt in at least float32; an array gets equal steps `dt`.

    Raises:
      TypeError, ValueError: `xs.x` of another size, `xs.dt` that is not `[time, *batch, 1]`, or not floating.
    """
    if not isinstance(xs, Timed):
        xs = as_array("xs", xs, "floating numbers, or Timed(x, dt)")
        check_features("xs", xs, **input_size)
        return Timed(xs, jnp.full_like(xs[..., :1], dt, accumulator(xs.dtype)))
    check_features("xs", xs.x, **input_size)
    check_features("xs.dt", xs.dt, one=1)
    return Timed(jnp.asarray(xs.x), jnp.asarray(xs.dt, accumulator(jnp.result_type(xs.dt))))


def check_step_length(dt: float) -> None:
    """Raise ValueError unless a cell's own Δt is a finite number above 0."""
    if isinstance(dt, bool) or not isinstance(dt, int | float) or not 0 < dt < float("inf"):
        raise ValueError(f"`dt` must be a finite number above 0, got {dt!r}.")
