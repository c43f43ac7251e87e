"""A run as a system of equations for all h⁽ᵗ⁾ together.

    h⁽ᵗ⁾ = f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾; θ, z⁽ᵗ⁾),        t = 1 … τ

A mask and a reset are a part of f⁽ᵗ⁾.  The unknowns are the floating arrays of the carries; integers, booleans and
keys follow from them, step by step.  `jaxrnn.unrolling.parallel.newton_updates` solves the equations,
`jaxrnn.unrolling.parallel.newtons_method` differentiates the solution.

A row is one sequence of the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.pytrees import combine, partition
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.unrolling.parallel.packed_jacobians import Layout
from jaxrnn.unrolling.parallel.time_axis import Time
from jaxrnn.unrolling.scan import gated


class Run(NamedTuple):
    """The static facts of a run."""

    cell: Cell
    rows: tuple[int, ...]
    """The shape of the batch."""
    time: Time
    """The order of the steps, and the devices that hold them."""


class Shared(NamedTuple):
    """The arrays that every step reads."""

    params: Params
    initial: Carry | None
    """The carry after a reset; None without resets."""


class OverTime(NamedTuple):
    """The inputs of one step, or of all steps: `[time, ...]`."""

    z: Inputs
    mask: Array | None
    reset: Array | None


def everywhere(cell: Cell, shared: Shared, before: Carry, over_t: OverTime):
    """Return f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) and y⁽ᵗ⁾ for all t, given h⁽⁰⁾ … h⁽τ⁻¹⁾."""
    return jax.vmap(partial(one_step, cell, shared))(before, over_t)


def one_step(cell: Cell, shared: Shared, carry: Carry, at_t: OverTime):
    """Run one step under its mask and reset, and return f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) and y⁽ᵗ⁾."""

    def step(carry, z):
        return cell.step(shared.params, carry, z), None

    return gated(step, shared.initial, carry, at_t.z, at_t.mask, at_t.reset)[0]


class System(NamedTuple):
    """The equations of a run, in the floating arrays of its carries."""

    run: Run
    shared: Shared
    over_t: OverTime
    start: Carry
    """h⁽⁰⁾."""

    def floats(self, tree: Carry) -> list[Array]:
        """Return the floating arrays, which have derivatives."""
        return partition(tree)[0]

    def others(self, tree: Carry) -> list[Array]:
        """Return the other arrays: integers, booleans, keys."""
        return partition(tree)[1]

    def join(self, floats: list[Array], others: list[Array]) -> Carry:
        """Join both kinds of arrays into a carry."""
        return combine(floats, others, self.start)

    def layout(self, kind: str) -> Layout:
        """Return the packing of the floating arrays for a Jacobian."""
        leaves = self.floats(self.start)
        return Layout(kind, tuple(a.shape[len(self.run.rows) :] for a in leaves), tuple(a.dtype for a in leaves))

    def before(self, hs: list[Array]) -> Carry:
        """Return h⁽⁰⁾ … h⁽τ⁻¹⁾, given the floating arrays of h⁽¹⁾ … h⁽τ⁾; a loop over t computes the other arrays."""
        floats = self.shifted(hs, self.floats(self.start))
        others = self.others(self.start)
        if not others:
            return self.join(floats, [])

        def body(others, at):
            floats, at_t = at
            return self.others(self.one_step(self.join(floats, others), at_t)), others

        return self.join(floats, self.scan(body, others, (floats, self.over_t)))

    def step(self, before: Carry) -> Callable[[list[Array]], list[Array]]:
        """Return the function from the floating arrays of all h⁽ᵗ⁻¹⁾ to those of all h⁽ᵗ⁾."""
        others, run = self.others(before), self.run
        return lambda floats: self.floats(everywhere(run.cell, self.shared, self.join(floats, others), self.over_t)[0])

    def one_step(self, carry: Carry, at_t: OverTime) -> Carry:
        """Return f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) of one t."""
        return one_step(self.run.cell, self.shared, carry, at_t)[0]

    def scan(self, body: Callable, start, over_t):
        """Run a loop over t in the order of the run, and return its outputs."""
        return self.run.time.scan(body, start, over_t)

    def shifted(self, hs: list[Array], start: list[Array]) -> list[Array]:
        """Return h⁽⁰⁾ … h⁽τ⁻¹⁾, given h⁽¹⁾ … h⁽τ⁾ and h⁽⁰⁾."""
        return self.run.time.shift(hs, start)

    def over_time(self, rows: Array) -> Array:
        """Broadcast a flag per row to one per step and row."""
        time = jax.tree.leaves(self.over_t.z)[0].shape[0]
        return jnp.broadcast_to(rows, (time, *rows.shape))
