"""The forward pass of an explicit gradient: a run, with a record of what the backward pass reads.

    ((h⁽ᵗ⁾, y⁽ᵗ⁾), residual⁽ᵗ⁾) = step_fwd(h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾),        t = 1, …, τ

The results are those of `unroll`.  A residual that is the same array twice is stored once, and an array of the carry
that no step changes is not stored at all (`jaxrnn.unrolling.time_blocks`).

References: chapter 2.2.1; Werbos 1990.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from jaxrnn.core.carry_facts import carry_parts
from jaxrnn.core.checks import leading_axes
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.machines.meshes import scan
from jaxrnn.unrolling.scan import gated, prepare
from jaxrnn.unrolling.time_blocks import Shared, projection, shared, turns


class Saved(NamedTuple):
    """The arguments of a run, and the record of its steps."""

    params: Params
    xs: Inputs
    carry: Carry
    """h⁽⁰⁾."""
    mask: Array | None
    reset: Array | None
    residuals: Shared
    """The residuals of all steps, `[time, *batch, ...]`, without the constants of the carry."""

    def whole(self, cell: Cell) -> PyTree:
        """Return the residuals, with the constants repeated for every t."""
        time = leading_axes(self.xs)[0]
        constants = constants_of(cell, self.carry, self.reset)
        return self.residuals.whole([jnp.broadcast_to(c, (time, *c.shape)) for c in constants])


def forward(cell, params, xs, carry, mask, reset, reverse):
    """Return the results of `unroll`, and the record that the backward pass needs."""
    results, residuals = _forward(cell, params, xs, carry, mask, reset, reverse)
    # saved here and not by the jitted function, whose results `jax_debug_nans` looks at: padding may be NaN
    return results, Saved(params, xs, carry, mask, reset, residuals)


@partial(jax.jit, static_argnums=(0, 6))
def _forward(cell, params, xs, carry, mask, reset, reverse):
    rules = rules_of(cell)
    clean_xs, start, initial, boundary = prepare(cell, params, xs, carry, mask, reset, reverse)
    read, project = projection(cell, params, clean_xs)

    def body(carry, at_t):
        x, mask, boundary = at_t
        (after, y), residual = gated(partial(rules.step_fwd, params), initial, carry, project(x), mask, boundary)
        return after, shared((y, residual), constants_of(cell, carry, reset))

    unroll = turns(leading_axes(xs)[0], start)
    carry_out, record = scan(body, start, (read, mask, boundary), reverse=reverse, unroll=unroll)
    constants = constants_of(cell, start, reset)
    ys, residuals = record.whole(constants)
    return (carry_out, ys), shared(residuals, constants)


def constants_of(cell: Cell, carry: Carry, reset) -> list[Array]:
    """Return the arrays of a carry that no step changes; there are none under a reset."""
    return [] if reset is not None else jax.tree.leaves(carry_parts(cell, carry).constants)
