"""Newton's updates of a guess of all h⁽ᵗ⁾, until it solves the equations of a run: `jaxrnn.newton` says which.

Each row has its own updates: it is left alone once it has converged, or has met what is not finite, so that it
depends on no other row.

References: those of `jaxrnn.newton`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.associative import linear_recurrence
from jaxrnn.checks import check_choice, check_positive
from jaxrnn.elk import damped_recurrence
from jaxrnn.equations import System
from jaxrnn.jacobians import LAYOUTS, MATRICES, jacobians
from jaxrnn.unroll import select


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


class _Guess(NamedTuple):
    """Where the updates stand."""

    count: Array
    hs: list[Array]
    """h⁽¹⁾ … h⁽τ⁾."""
    after: list[Array]
    """f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾)."""
    report: Convergence


def updates(system: System, solver: Newton) -> tuple[list[Array], Convergence]:
    """Updates until every row has converged, or has met what is not finite, or until there are no more.

    Returns:
      The floating arrays of h⁽¹⁾ … h⁽τ⁾ as they stand, and the report.
    """
    layout = system.layout(solver.jacobian)

    def measured(count, hs, iterations) -> _Guess:
        before = system.before(hs)
        after = system.step(before)(system.floats(before))
        residual, converged = _residual(system, solver, after, hs)
        return _Guess(count, hs, after, Convergence(iterations, residual, converged))

    def running(guess: _Guess):
        return ~guess.report.converged & jnp.isfinite(guess.report.residual)

    def update(guess: _Guess) -> _Guess:
        before = system.before(guess.hs)
        jacobian = jacobians(layout, system.step(before), system.floats(before))
        r = layout.pack(jax.tree.map(jnp.subtract, guess.after, guess.hs))
        deltas = layout.unpack(tuple(_solve(system, solver, j, r) for j, r in zip(jacobian, r, strict=True)))
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
        measured(jnp.zeros((), jnp.int32), first, jnp.zeros(system.run.rows, jnp.int32)),
    )
    return guess.hs, guess.report


def _solve(system: System, solver: Newton, jacobian: Array, r: Array) -> Array:
    """One update: δ⁽ᵗ⁾ = J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ + r⁽ᵗ⁾, damped as the solver says."""
    jacobian = (1 - solver.damping) * jacobian
    reverse, time = system.run.reverse, system.run.time
    if solver.trust:
        return damped_recurrence(jacobian, r, solver.trust, reverse=reverse, time=time)
    return linear_recurrence(jacobian, r, jnp.zeros_like(r[0]), reverse=reverse, algebra=MATRICES, time=time)


def _residual(system: System, solver: Newton, after: list[Array], hs: list[Array]) -> tuple[Array, Array]:
    """The largest |f(h) − h| of each row, and whether it is a solution's; nothing that is not finite is one."""
    rows, nothing = system.run.rows, jnp.zeros(system.run.rows)

    def largest(arrays):
        at_t = [jnp.max(jnp.abs(a), axis=tuple(range(len(rows) + 1, a.ndim)), initial=0) for a in arrays]
        return sum(map(system.run.time.largest, at_t), start=nothing)

    residual, scale = largest(jax.tree.map(jnp.subtract, after, hs)), 1 + largest(after)
    rounding = max((jnp.finfo(a.dtype).eps for a in hs), default=0.0)
    tolerance = 100 * rounding if solver.tolerance is None else solver.tolerance
    return residual, jnp.isfinite(scale) & (residual <= tolerance * scale)
