"""All states of a run, and states as vectors: chapter 三.

    h⁽⁰⁾ → h⁽¹⁾ → … → h⁽τ⁾

`unroll` gives the last carry and the outputs; the Jacobians ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ of 3.1 and the regularizer of 3.4
need every carry and z⁽ᵗ⁾ as each step read them.  A carry of several arrays (an LSTM's h and C) is one state: the
vector of all its floating numbers.
"""

from functools import partial
from typing import NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree, Shaped

from jaxrnn.core.checks import check_unroll
from jaxrnn.core.pytrees import partition, ravel_floating
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.unrolling.scan import gated, prepare


class Trajectory(NamedTuple):
    """A run with everything that its steps read and returned.

    >>> Trajectory._fields
    ('carry', 'ys', 'before', 'zs', 'after')
    """

    carry: Carry
    """h⁽τ⁾, as `unroll` returns it."""
    ys: PyTree
    """y⁽ᵗ⁾, as `unroll` returns them."""
    before: Carry
    """h⁽ᵗ⁻¹⁾ as step t read it (the initial carry after a reset): `[time, *batch, …]`."""
    zs: Inputs
    """z⁽ᵗ⁾ as step t read it: of x = 0 where the mask is False."""
    after: Carry
    """h⁽ᵗ⁾ after step t (held where the mask is False): `[time, *batch, …]`."""


def trajectory(
    cell: Cell,
    params: Params,
    xs: PyTree[Shaped[Array, "..."]],
    carry: Carry | None = None,
    *,
    mask: Bool[Array, "..."] | None = None,
    reset: Bool[Array, "..."] | None = None,
) -> Trajectory:
    """Run a cell over a sequence and keep every carry.

    Args:
      cell: any cell.
      params: its parameters.
      xs: inputs `[time, *batch, input]`.
      carry: h⁽⁰⁾; None is the cell's initial carry.
      mask: `[time, *batch]`; False where the step does not happen.
      reset: `[time, *batch]`; True where a new episode begins.

    Returns:
      `Trajectory(carry, ys, before, zs, after)`; all of it can be differentiated.

    Raises:
      TypeError, ValueError: as `unroll`.

    >>> import jax.numpy as jnp
    >>> from jaxrnn import LSTM
    >>> cell = LSTM(input_size=3, hidden_size=5)
    >>> run = trajectory(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> run.after.c.shape, bool((run.before.h[1:] == run.after.h[:-1]).all())
    ((7, 2, 5), True)
    """
    return _trajectory(cell, params, *check_unroll(cell, params, xs, carry, mask, reset))


@partial(jax.jit, static_argnums=0)
def _trajectory(cell, params, xs, carry, mask, reset) -> Trajectory:
    xs, carry, initial, reset = prepare(cell, params, xs, carry, mask, reset, False)
    zs = cell.project(params, xs)

    def body(carry, at_t):
        z, mask, reset = at_t

        def step(carry, z):
            return cell.step(params, carry, z), carry

        (after, y), before = gated(step, initial, carry, z, mask, reset)
        return after, (y, before, after)

    carry, (ys, before, after) = lax.scan(body, carry, (zs, mask, reset))
    return Trajectory(carry, ys, before, zs, after)


def as_vectors(carry: Carry, batch_axes: int) -> Float[Array, "*leading n"]:
    """Return a carry as vectors: all floating entries after the first `batch_axes` axes, array after array.

    Raises:
      TypeError: there is no floating array to differentiate.

    >>> import jax.numpy as jnp
    >>> from jaxrnn.cells import LSTMCarry
    >>> as_vectors(LSTMCarry(jnp.zeros((2, 3)), jnp.ones((2, 3))), 1).shape
    (2, 6)
    """
    if not partition(carry)[0]:
        kinds = jax.tree.map(lambda a: a.dtype, carry)
        raise TypeError(f"`cell` must have a carry with a floating array, to have a derivative; it carries {kinds}.")
    return ravel_floating(carry, batch_axes)
