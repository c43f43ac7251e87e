"""Starts of a search for fixed points: states that the network itself visits, plus noise.

    h = h⁽ᵗ⁾ of row i + ε,        (t, i) drawn from all valid steps,  ε ~ N(0, noise²)

A trained network performs its task in a small part of its state space.  Starts from its own trajectories lie there, and
the noise helps to find points that no trajectory visits, such as saddles between them.

References: Sussillo & Barak 2013; Golub & Sussillo 2018 (FixedPointFinder).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree, Shaped

from jaxrnn.core.arguments import check_key
from jaxrnn.core.checks import check_positive, check_unroll, leading_axes
from jaxrnn.core.pytrees import is_floating
from jaxrnn.core.types import Carry, Cell, Key, Params
from jaxrnn.dynamics.states import trajectory


class Starts(NamedTuple):
    """States drawn from trajectories, and where each comes from.

    >>> Starts._fields
    ('carry', 'xs', 'steps', 'rows')
    """

    carry: Carry
    """h, with a leading axis `[starts]`."""
    xs: PyTree
    """The input of the step that led to h, `[starts, features]`."""
    steps: Int[Array, " starts"]
    """t."""
    rows: Int[Array, " starts"]
    """i, an index into all rows of the batch as one axis."""


def sample_starts(
    key: Key,
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    count: int,
    mask: Bool[Array, "..."] | None = None,
    noise: float = 0.0,
) -> Starts:
    """Run a cell and draw states from all steps of all rows, with replacement.

    Args:
      key: from `jax.random.key`.
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      count: the number of starts.
      mask: `[time, *batch]`; states come only from steps where it is True.
      noise: the standard deviation of the noise that is added to each floating number of a state.

    Returns:
      `Starts(carry, xs, steps, rows)`.

    Raises:
      TypeError, ValueError: as `unroll`; a count below 1, a noise below 0, and no valid step.

    >>> from jaxrnn import LSTM
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> starts = sample_starts(
    ...     jax.random.key(1), cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)), count=40, noise=0.1
    ... )
    >>> starts.carry.c.shape, starts.xs.shape
    ((40, 5), (40, 3))

    References: Golub & Sussillo 2018.
    """
    check_key(key=key)
    check_positive(count=count)
    if not isinstance(noise, jax.Array) and not 0 <= noise < float("inf"):
        raise ValueError(f"`noise` must be finite and at least 0, got {noise}.")
    xs, carry, mask, _ = check_unroll(cell, params, xs, carry, mask, None)
    nothing = mask is not None and not isinstance(mask, jax.core.Tracer) and not bool(mask.any())
    if nothing or 0 in leading_axes(xs):
        raise ValueError(f"`xs` must have at least one valid step, got none in the axes {leading_axes(xs)}.")
    return _sample(key, cell, params, xs, carry, mask, noise, count)


@partial(jax.jit, static_argnums=(1, 7))
def _sample(key, cell, params, xs, carry, mask, noise, count) -> Starts:
    run = trajectory(cell, params, xs, carry, mask=mask)
    axes = leading_axes(xs)
    weights = jnp.ones(axes) if mask is None else mask.astype(float)
    pick, *keys = jax.random.split(key, 1 + len(jax.tree.leaves(run.after)))
    chosen = jax.random.choice(pick, weights.size, (count,), p=weights.ravel() / weights.sum())

    def drawn(leaf):
        return leaf.reshape(-1, *leaf.shape[len(axes) :])[chosen]

    leaves, structure = jax.tree.flatten(jax.tree.map(drawn, run.after))
    noisy = [
        h + noise * jax.random.normal(key, h.shape, h.dtype) if is_floating(h) else h
        for key, h in zip(keys, leaves, strict=True)
    ]
    noisy = [new.astype(old.dtype) for new, old in zip(noisy, leaves, strict=True)]
    rows = weights.size // axes[0]
    return Starts(structure.unflatten(noisy), jax.tree.map(drawn, xs), chosen // rows, chosen % rows)
