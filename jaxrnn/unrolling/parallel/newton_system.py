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
    """Where the steps lie, and their order."""


class Shared(NamedTuple):
    """The arrays that every step reads."""

    params: Params
    initial: Carry | None
    """What a reset goes back to."""


class OverTime(NamedTuple):
    """The inputs of a step: of one t, or `[time, ...]`."""

    z: Inputs
    mask: Array | None
    reset: Array | None


def everywhere(cell: Cell, shared: Shared, before: Carry, over_t: OverTime):
    """f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) and y⁽ᵗ⁾ for all t, given h⁽⁰⁾ … h⁽τ⁻¹⁾."""
    return jax.vmap(partial(one_step, cell, shared))(before, over_t)


def one_step(cell: Cell, shared: Shared, carry: Carry, at_t: OverTime):
    """f⁽ᵗ⁾ and y⁽ᵗ⁾: one step under its mask and its reset."""

    def step(carry, z):
        return cell.step(shared.params, carry, z), None

    return gated(step, shared.initial, carry, at_t.z, at_t.mask, at_t.reset)[0]


class System(NamedTuple):
    """The equations, and what of a carry they are about."""

    run: Run
    shared: Shared
    over_t: OverTime
    start: Carry
    """h⁽⁰⁾."""

    def floats(self, tree: Carry) -> list[Array]:
        """The arrays that have derivatives."""
        return partition(tree)[0]

    def others(self, tree: Carry) -> list[Array]:
        """The rest: integers, booleans, keys."""
        return partition(tree)[1]

    def join(self, floats: list[Array], others: list[Array]) -> Carry:
        """The carry again."""
        return combine(floats, others, self.start)

    def layout(self, kind: str) -> Layout:
        """Return the packing of the floating arrays for a Jacobian."""
        leaves = self.floats(self.start)
        return Layout(kind, tuple(a.shape[len(self.run.rows) :] for a in leaves), tuple(a.dtype for a in leaves))

    def before(self, hs: list[Array]) -> Carry:
        """h⁽⁰⁾ … h⁽τ⁻¹⁾ from the floating arrays of h⁽¹⁾ … h⁽τ⁾; the others follow from them, step by step."""
        floats = self.shifted(hs, self.floats(self.start))
        others = self.others(self.start)
        if not others:
            return self.join(floats, [])

        def body(others, at):
            floats, at_t = at
            return self.others(self.one_step(self.join(floats, others), at_t)), others

        return self.join(floats, self.scan(body, others, (floats, self.over_t)))

    def step(self, before: Carry) -> Callable[[list[Array]], list[Array]]:
        """The floating arrays of all h⁽ᵗ⁾ as a function of those of all h⁽ᵗ⁻¹⁾."""
        others, run = self.others(before), self.run
        return lambda floats: self.floats(everywhere(run.cell, self.shared, self.join(floats, others), self.over_t)[0])

    def one_step(self, carry: Carry, at_t: OverTime) -> Carry:
        """f⁽ᵗ⁾ of one t."""
        return one_step(self.run.cell, self.shared, carry, at_t)[0]

    def scan(self, body: Callable, start, over_t):
        """The outputs of a loop over t, in the order of the run."""
        return self.run.time.scan(body, start, over_t)

    def shifted(self, hs: list[Array], start: list[Array]) -> list[Array]:
        """h⁽⁰⁾ … h⁽τ⁻¹⁾ from h⁽¹⁾ … h⁽τ⁾ and h⁽⁰⁾."""
        return self.run.time.shift(hs, start)

    def over_time(self, rows: Array) -> Array:
        """A flag for each row as one for each step and row."""
        time = jax.tree.leaves(self.over_t.z)[0].shape[0]
        return jnp.broadcast_to(rows, (time, *rows.shape))
