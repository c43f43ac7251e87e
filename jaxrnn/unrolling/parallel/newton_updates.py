"""The updates of Newton's method: from a guess of all h⁽ᵗ⁾ to the solution of a run.

`jaxrnn.unrolling.parallel.newtons_method` states the equations.  Each row is updated independently, until it has
converged or is no longer finite.

With `trust` an update is a Levenberg–Marquardt step (`jaxrnn.unrolling.parallel.levenberg_marquardt`), and λ is each
row's own.  The objective is S = Σₜ ‖r⁽ᵗ⁾‖²; the linear model predicts that it falls to Σₜ ‖δ⁽ᵗ⁾ − J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ − r⁽ᵗ⁾‖².
With ρ the ratio of the actual to the predicted decrease,

    S falls:       the update is accepted,  λ ← λ max(1/3, 1 − (2ρ − 1)³),   ν ← 2
    S does not:    it is rejected,        λ ← λ ν,                         ν ← 2 ν

so λ goes to 0 near the solution, where the steps become Newton's.

References: those of `jaxrnn.unrolling.parallel.newtons_method`; Nielsen 1999, "Damping parameter in Marquardt's
method" (λ and ν).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrnn.core.checks import check_choice, check_positive
from jaxrnn.machines.meshes import while_loop
from jaxrnn.unrolling.parallel.associative import solve_recurrence
from jaxrnn.unrolling.parallel.levenberg_marquardt import damped_recurrence
from jaxrnn.unrolling.parallel.newton_system import System
from jaxrnn.unrolling.parallel.packed_jacobians import LAYOUTS, MATRICES, jacobians
from jaxrnn.unrolling.scan import select


@jax.tree_util.register_static
@dataclass(frozen=True)
class Newton:
    """The options of Newton's method, none of which changes the result.

    Args:
      jacobian: "full", "blocks" (unit i of every array of the carry, (h, C) of an LSTM) or "diagonal".
      damping: J is multiplied by 1 − damping; 0 is Newton's method, 1 Jacobi's.
      trust: the initial λ of Levenberg–Marquardt steps, which keep the next guess near the current one; 0 for none.
      iterations: the largest number of updates; what has not converged then is run by the scan.
      tolerance: the largest |r⁽ᵗ⁾| of a solution, relative to 1 + max |h|; None for 100 units of rounding.
      gradient: how the recurrence of the gradient is solved: "scan", or "associative", in parallel with whole
        Jacobians.
      guess: the h⁽ᵗ⁾ to begin with: "start", h⁽⁰⁾ for every t, or "step", f⁽ᵗ⁾(h⁽⁰⁾), the run without its recurrent
        product where h⁽⁰⁾ = 0.

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
    guess: str = "start"

    def __post_init__(self):
        check_choice("jacobian", self.jacobian, LAYOUTS)
        check_choice("gradient", self.gradient, ("scan", "associative"))
        check_choice("guess", self.guess, ("start", "step"))
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
    """The convergence of Newton's method, for each row.

    >>> Convergence._fields
    ('iterations', 'residual', 'converged')
    """

    iterations: Int[Array, "*batch"]
    """The number of updates."""
    residual: Float[Array, "*batch"]
    """The largest |f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾) − h⁽ᵗ⁾| after them."""
    converged: Bool[Array, "*batch"]
    """True if the residual is small enough; otherwise the result comes from the scan."""


class _Trust(NamedTuple):
    """The trust of each row in its linear model."""

    size: Float[Array, "*batch"]
    """λ."""
    growth: Float[Array, "*batch"]
    """ν."""
    squares: Float[Array, "*batch"]
    """S of the guess."""


class _Guess(NamedTuple):
    """A guess of all h⁽ᵗ⁾."""

    count: Array
    hs: list[Array]
    """h⁽¹⁾ … h⁽τ⁾."""
    after: list[Array]
    """f⁽ᵗ⁾(h⁽ᵗ⁻¹⁾)."""
    report: Convergence
    trust: _Trust


def updates(system: System, solver: Newton) -> tuple[list[Array], Convergence]:
    """Update until every row has converged or is not finite, or until the updates run out.

    Returns:
      The floating arrays of h⁽¹⁾ … h⁽τ⁾, and the report.
    """
    layout, rows = system.layout(solver.jacobian), system.run.rows

    def measured(count, hs, iterations, trust: _Trust) -> _Guess:
        before = system.before(hs)
        after = system.step(before)(system.floats(before))
        residual, converged = _residual(system, solver, after, hs)
        if solver.trust:
            trust = trust._replace(squares=_squares(system, jax.tree.map(jnp.subtract, after, hs)))
        return _Guess(count, hs, after, Convergence(iterations, residual, converged), trust)

    def running(guess: _Guess):
        return ~guess.report.converged & jnp.isfinite(guess.report.residual)

    def update(guess: _Guess) -> _Guess:
        before = system.before(guess.hs)
        kept = jacobians(layout, system.step(before), system.floats(before))
        kept = tuple((1 - solver.damping) * j for j in kept)
        r = layout.pack(jax.tree.map(jnp.subtract, guess.after, guess.hs))
        deltas = tuple(_solve(system, solver, *each, guess.trust.size) for each in zip(kept, r, strict=True))
        moved = [
            jnp.where(jnp.isfinite(h + delta), h + delta, after)  # where the recurrence overflows: Jacobi's update
            for h, delta, after in zip(guess.hs, layout.unpack(deltas), guess.after, strict=True)
        ]
        hs, runs = select(system.over_time(running(guess)), moved, guess.hs), running(guess)
        new = measured(guess.count + 1, hs, guess.report.iterations + runs, guess.trust)
        return _judged(system, guess, new, _promised(system, kept, deltas, r)) if solver.trust else new

    first = [jnp.broadcast_to(h, system.over_time(h).shape) for h in system.floats(system.start)]
    if solver.guess == "step":
        before = system.before(first)
        first = system.step(before)(system.floats(before))
    trust = _Trust(*(jnp.full(rows, value) for value in (solver.trust, 2.0, 0.0)))
    guess = while_loop(
        lambda guess: (guess.count < solver.iterations) & jnp.any(running(guess)),
        update,
        measured(jnp.zeros((), jnp.int32), first, jnp.zeros(rows, jnp.int32), trust),
    )
    return guess.hs, guess.report


def _solve(system: System, solver: Newton, jacobian: Array, r: Array, trust: Array) -> Array:
    """Return one update, δ⁽ᵗ⁾ = J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ + r⁽ᵗ⁾, damped as the solver says."""
    time = system.run.time
    if solver.trust:
        return damped_recurrence(jacobian, r, trust[..., None], time=time)
    return solve_recurrence(time, MATRICES, jacobian, r, jnp.zeros_like(r[0]))


def _promised(system: System, kept: tuple[Array, ...], deltas: tuple[Array, ...], r: tuple[Array, ...]) -> Array:
    """Return Σₜ ‖δ⁽ᵗ⁾ − J⁽ᵗ⁾ δ⁽ᵗ⁻¹⁾ − r⁽ᵗ⁾‖² for each row."""
    left = [
        delta - MATRICES.apply(jacobian, before) - r
        for jacobian, delta, before, r in zip(
            kept, deltas, system.shifted([*deltas], [jnp.zeros_like(d[0]) for d in deltas]), r, strict=True
        )
    ]
    return _squares(system, left)


def _judged(system: System, old: _Guess, new: _Guess, promised: Array) -> _Guess:
    """Accept the new guess in the rows where it is better, and update λ."""
    was, now = old.trust.squares, new.trust.squares
    better = now < was  # is False of NaN
    ratio = (was - now) / (was - promised)
    ratio = jnp.where(jnp.isfinite(ratio), ratio, 1)
    size = old.trust.size * jnp.where(better, jnp.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3), old.trust.growth)
    rounding = jnp.finfo(size.dtype).eps
    trust = _Trust(
        size=jnp.clip(size, rounding**2, 1 / rounding),
        growth=jnp.where(better, 2, jnp.minimum(2 * old.trust.growth, 1 / rounding)),
        squares=jnp.where(better, now, was),
    )
    hs, after = select(system.over_time(better), (new.hs, new.after), (old.hs, old.after))
    report = select(better, new.report, old.report)._replace(iterations=new.report.iterations)
    return _Guess(new.count, hs, after, report, trust)


def _squares(system: System, arrays: list[Array]) -> Array:
    """Return Σₜ ‖r⁽ᵗ⁾‖² for each row."""
    rows = system.run.rows
    at_t = [jnp.sum(a**2, axis=tuple(range(len(rows) + 1, a.ndim))) for a in arrays]
    return sum(map(system.run.time.total, at_t), start=jnp.zeros(rows))


def _residual(system: System, solver: Newton, after: list[Array], hs: list[Array]) -> tuple[Array, Array]:
    """Return the largest |f(h) − h| of each row, and whether it is small enough for a finite solution."""
    rows, nothing = system.run.rows, jnp.zeros(system.run.rows)

    def largest(arrays):
        at_t = [jnp.max(jnp.abs(a), axis=tuple(range(len(rows) + 1, a.ndim)), initial=0) for a in arrays]
        return sum(map(system.run.time.largest, at_t), start=nothing)

    residual, scale = largest(jax.tree.map(jnp.subtract, after, hs)), 1 + largest(after)
    rounding = max((jnp.finfo(a.dtype).eps for a in hs), default=0.0)
    tolerance = 100 * rounding if solver.tolerance is None else solver.tolerance
    return residual, jnp.isfinite(scale) & (residual <= tolerance * scale)
