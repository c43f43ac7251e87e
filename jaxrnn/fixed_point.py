"""All h⁽ᵗ⁾ of a run as the solution of one system of equations, and the derivatives of that solution.

    h⁽ᵗ⁾ = f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾; θ, z⁽ᵗ⁾),        t = 1 … τ

`fixed_point` finds h⁽⁰⁾ … h⁽τ⁻¹⁾ by the updates of `jaxrnn.newton`, with the scan behind them, and is differentiated at
the solution, where

    dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + (∂f⁽ᵗ⁾/∂θ) dθ + (∂f⁽ᵗ⁾/∂z⁽ᵗ⁾) dz⁽ᵗ⁾,        J⁽ᵗ⁾ = ∂f⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾

whichever J the updates had.  The direct parts are taken for all t at once, and only J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ is in a loop; JAX
transposes the rule, and what comes of it is the recursion of 2.2.2 and, outside it, the sums of 2.2.3.

A row is one sequence of the batch.  Each has its own updates: it is left alone once it has converged, so that it
depends on no other row.

References: Lim et al. 2024, §3.3 (the implicit derivative).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.associative import linear_recurrence
from jaxrnn.cells.autodiff_rules import tangent
from jaxrnn.checks import check_choice, check_positive
from jaxrnn.elk import damped_recurrence
from jaxrnn.jacobians import LAYOUTS, MATRICES, Layout, jacobians
from jaxrnn.types import Carry, Cell, Inputs, Params
from jaxrnn.unroll import gated, select, zeros


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """How the updates are made; none of it changes the result.

    Args:
      jacobian: "full", "blocks" (unit i of every array of the carry, (h, C) of an LSTM) or "diagonal".
      damping: J is multiplied by 1 − damping; 0 is Newton's method, 1 Jacobi's.
      trust: λ of a Levenberg–Marquardt step, which keeps the next guess near the last one; 0 for none.
      iterations: after so many updates the rest is left to the scan.
      tolerance: the largest |r⁽ᵗ⁾| of a solution, relative to 1 + max |h|; None is 100 units of rounding.
      gradient: how its recurrence is solved: "scan", or "associative", in parallel with whole Jacobians.

    Raises:
      ValueError: a value outside its range.

    >>> Newton("diagonal", damping=0.5).jacobian
    'diagonal'
    """

    jacobian: str = "full"
    damping: float = 0.0
    trust: float = 0.0
    iterations: int = 100
    tolerance: float | None = None
    gradient: str = "scan"

    def __post_init__(self):
        check_choice("jacobian", self.jacobian, LAYOUTS)
        check_choice("gradient", self.gradient, ("scan", "associative"))
        check_positive(iterations=self.iterations)
        if not 0 <= self.damping <= 1:
            raise ValueError(f"`damping` must lie in 0 … 1, got {self.damping}.")
        if not 0 <= self.trust < math.inf:
            raise ValueError(f"`trust` must be finite and at least 0, got {self.trust}.")
        if self.tolerance is not None and not 0 <= self.tolerance < math.inf:
            raise ValueError(f"`tolerance` must be finite and at least 0, or None, got {self.tolerance}.")


FULL = Newton()
"""Newton's method itself: whole Jacobians, undamped."""


class Convergence(NamedTuple):
    """How the updates went, for each row."""

    iterations: Int[Array, "*batch"]
    """How many updates were made."""
    residual: Float[Array, "*batch"]
    """The largest |f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) − h⁽ᵗ⁾| after them."""
    converged: Bool[Array, "*batch"]
    """Whether that was small enough; where False, the result is the scan's."""


class Shared(NamedTuple):
    """What every step reads."""

    params: Params
    initial: Carry | None
    """What a reset goes back to."""


class OverTime(NamedTuple):
    """What a step reads of its own: of one t, or `[time, ...]`."""

    z: Inputs
    mask: Array | None
    reset: Array | None


def everywhere(cell: Cell, shared: Shared, before: Carry, over_t: OverTime):
    """f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) and y⁽ᵗ⁾ for all t, given h⁽⁰⁾ … h⁽τ⁻¹⁾."""
    return jax.vmap(partial(_step, cell, shared))(before, over_t)


def _step(cell: Cell, shared: Shared, carry: Carry, at_t: OverTime):
    """f⁽ᵗ⁾: one step under its mask and its reset."""

    def step(carry, z):
        return cell.step(shared.params, carry, z), None

    return gated(step, shared.initial, carry, at_t.z, at_t.mask, at_t.reset)[0]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def fixed_point(cell: Cell, solver: Newton, rows: tuple[int, ...], shared: Shared, over_t: OverTime, start: Carry):
    """h⁽⁰⁾ … h⁽τ⁻¹⁾, each array with `[time]` in front, and a `Convergence`; `rows` is the shape of the batch."""
    system = _System(cell, solver, rows, shared, over_t, start)
    hs, convergence = _updates(system)
    before = system.before(hs)

    def patched():
        carries = lax.scan(lambda h, at_t: (_step(cell, shared, h, at_t)[0], h), start, over_t)[1]
        return select(system.over_time(convergence.converged), before, carries)

    return lax.cond(jnp.all(convergence.converged), lambda: before, patched), convergence


@fixed_point.defjvp
def _fixed_point_jvp(cell, solver, rows, primals, tangents):
    before, convergence = fixed_point(cell, solver, rows, *primals)
    system = _System(cell, solver, rows, *primals)
    dshared, dover_t, dstart = tangents

    def after(shared, over_t):
        return system.floats(everywhere(cell, shared, before, over_t)[0])

    _, direct = jax.jvp(after, (system.shared, system.over_t), (dshared, dover_t))
    solve = _tangents_in_parallel if solver.gradient == "associative" else _tangents_by_scan
    dbefore = system.join(solve(system, before, direct, system.floats(dstart)), system.others(zeros(before)))
    return (before, convergence), (tangent(before, dbefore), tangent(convergence, zeros(convergence)))


class _System(NamedTuple):
    """The equations, and what of a carry they are about: its floating arrays."""

    cell: Cell
    solver: Newton
    rows: tuple[int, ...]
    shared: Shared
    over_t: OverTime
    start: Carry

    def floats(self, tree: Carry) -> list[Array]:
        """The arrays that have derivatives."""
        return [a for a, s in zip(jax.tree.leaves(tree), jax.tree.leaves(self.start), strict=True) if _moves(s)]

    def others(self, tree: Carry) -> list[Array]:
        """The rest: integers, booleans, keys."""
        return [a for a, s in zip(jax.tree.leaves(tree), jax.tree.leaves(self.start), strict=True) if not _moves(s)]

    def join(self, floats: list[Array], others: list[Array]) -> Carry:
        """The carry again."""
        leaves, structure = jax.tree.flatten(self.start)
        parts = iter(floats), iter(others)
        return structure.unflatten([next(parts[0] if _moves(leaf) else parts[1]) for leaf in leaves])

    def layout(self, kind: str) -> Layout:
        """How the floating arrays are laid out for a Jacobian."""
        leaves = self.floats(self.start)
        return Layout(kind, tuple(a.shape[len(self.rows) :] for a in leaves), tuple(a.dtype for a in leaves))

    def before(self, hs: list[Array]) -> Carry:
        """h⁽⁰⁾ … h⁽τ⁻¹⁾ from the floating arrays of h⁽¹⁾ … h⁽τ⁾; the others follow from them, step by step."""
        floats = _shift_in(self.floats(self.start), hs)
        others = self.others(self.start)
        if not others:
            return self.join(floats, [])

        def body(others, at):
            floats, at_t = at
            return self.others(_step(self.cell, self.shared, self.join(floats, others), at_t)[0]), others

        return self.join(floats, lax.scan(body, others, (floats, self.over_t))[1])

    def step(self, before: Carry):
        """The floating arrays of all h⁽ᵗ⁾ as a function of those of all h⁽ᵗ⁻¹⁾."""
        others = self.others(before)
        return lambda floats: self.floats(everywhere(self.cell, self.shared, self.join(floats, others), self.over_t)[0])

    def over_time(self, rows: Array) -> Array:
        """A flag for each row as one for each step and row."""
        time = jax.tree.leaves(self.over_t.z)[0].shape[0]
        return jnp.broadcast_to(rows, (time, *rows.shape))


class _Guess(NamedTuple):
    """Where the updates stand."""

    count: Array
    hs: list[Array]
    """h⁽¹⁾ … h⁽τ⁾."""
    after: list[Array]
    """f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾)."""
    report: Convergence


def _updates(system: _System) -> tuple[list[Array], Convergence]:
    """Updates until every row has converged, or has met what is not finite, or until there are no more.

    Returns:
      The floating arrays of h⁽¹⁾ … h⁽τ⁾ as they stand, and the report.
    """
    solver, layout = system.solver, system.layout(system.solver.jacobian)

    def measured(count, hs, iterations) -> _Guess:
        before = system.before(hs)
        after = system.step(before)(system.floats(before))
        residual, converged = _residual(system, after, hs)
        return _Guess(count, hs, after, Convergence(iterations, residual, converged))

    def running(guess: _Guess):
        return ~guess.report.converged & jnp.isfinite(guess.report.residual)

    def update(guess: _Guess) -> _Guess:
        before = system.before(guess.hs)
        jacobian = jacobians(layout, system.step(before), system.floats(before))
        r = layout.pack(jax.tree.map(jnp.subtract, guess.after, guess.hs))
        deltas = layout.unpack(tuple(_solve(solver, j, r) for j, r in zip(jacobian, r, strict=True)))
        moved = [
            jnp.where(jnp.isfinite(h + delta), h + delta, after)  # where the recurrence overflows: Jacobi's update
            for h, delta, after in zip(guess.hs, deltas, guess.after, strict=True)
        ]
        hs = select(system.over_time(running(guess)), moved, guess.hs)
        return measured(guess.count + 1, hs, guess.report.iterations + running(guess))

    first = [jnp.broadcast_to(h, system.over_time(h).shape) for h in system.floats(system.start)]
    guess = lax.while_loop(
        lambda guess: (guess.count < solver.iterations) & jnp.any(running(guess)),
        update,
        measured(jnp.zeros((), jnp.int32), first, jnp.zeros(system.rows, jnp.int32)),
    )
    return guess.hs, guess.report


def _solve(solver: Newton, jacobian: Array, r: Array) -> Array:
    """One update: δ⁽ᵗ⁾ = J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ + r⁽ᵗ⁾, damped as the solver says."""
    jacobian = (1 - solver.damping) * jacobian
    if solver.trust:
        return damped_recurrence(jacobian, r, solver.trust)
    return linear_recurrence(jacobian, r, jnp.zeros_like(r[0]), algebra=MATRICES)


def _residual(system: _System, after: list[Array], hs: list[Array]) -> tuple[Array, Array]:
    """The largest |f(h) − h| of each row, and whether it is a solution's; nothing that is not finite is one."""

    def largest(arrays):
        rows = len(system.rows)
        return [jnp.max(jnp.abs(a), axis=(0, *range(rows + 1, a.ndim)), initial=0) for a in arrays]

    residual = sum(largest(jax.tree.map(jnp.subtract, after, hs)), start=jnp.zeros(system.rows))
    scale = 1 + sum(largest(after), start=jnp.zeros(system.rows))
    rounding = max((jnp.finfo(a.dtype).eps for a in hs), default=0.0)
    tolerance = 100 * rounding if system.solver.tolerance is None else system.solver.tolerance
    return residual, jnp.isfinite(scale) & (residual <= tolerance * scale)


def _tangents_by_scan(system: _System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """dh⁽⁰⁾ … dh⁽τ⁻¹⁾ of dh⁽ᵗ⁾ = J⁽ᵗ⁾ dh⁽ᵗ⁻¹⁾ + direct⁽ᵗ⁾, one t at a time."""
    floats, others = system.floats(before), system.others(before)

    def body(dh, at):
        floats, others, at_t, direct = at

        def step(floats):
            return system.floats(_step(system.cell, system.shared, system.join(floats, others), at_t)[0])

        _, through = jax.jvp(step, (floats,), (dh,))
        return jax.tree.map(jnp.add, through, direct), dh

    return lax.scan(body, dstart, (floats, others, system.over_t, direct))[1]


def _tangents_in_parallel(system: _System, before: Carry, direct: list[Array], dstart: list[Array]) -> list[Array]:
    """The same, with whole Jacobians."""
    layout = system.layout("full")
    (jacobian,) = jacobians(layout, system.step(before), system.floats(before))
    (r,), (start,) = layout.pack(direct), layout.pack(dstart)
    return _shift_in(dstart, layout.unpack((linear_recurrence(jacobian, r, start, algebra=MATRICES),)))


def _shift_in(start: list[Array], hs: list[Array]) -> list[Array]:
    """h⁽⁰⁾ … h⁽τ⁻¹⁾ from h⁽⁰⁾ and h⁽¹⁾ … h⁽τ⁾."""
    return [jnp.concatenate([s[None], h[:-1]]) for s, h in zip(start, hs, strict=True)]


def _moves(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
