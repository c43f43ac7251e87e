"""Descent of the speed q(h) = ½‖F(h)‖², F(h) = f(h, x) − h, from one start.

With the Jacobian A = ∂F/∂h, each update is a Newton step with Levenberg-Marquardt damping:

    δ = −A⁻¹ F                        where λ is 0
    δ = −(AᵀA + λ I)⁻¹ Aᵀ F           elsewhere
    h ← h + 2⁻ᵏ δ                     for the k that gives the least q, if that is less than q(h)

δ is shortened to at most the spread of the starts: a longer step ends where no trajectory goes, for example where gates
saturate and every state is nearly fixed.  λ falls tenfold after a full step and rises tenfold if no step lowers q, so λ
is 0 near a fixed point, where convergence is quadratic.  If there is no fixed point nearby, the descent ends in a local
minimum of q, a slow point, after PATIENCE updates that hardly lower q.

Near the solution, A⁻¹ is applied to F itself, because AᵀA squares the condition number of A and loses slow directions.
Without Jacobians, L-BFGS minimizes q, with memory linear in the size of the state.

References: Sussillo & Barak 2013 (q); Marquardt 1963; Nocedal & Wright 2006, §10.3 and §7.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int

HALVINGS = 8
"""The number of step lengths to try; each costs one evaluation, while the Jacobian costs one per unit."""

PATIENCE, PROGRESS = 10, 0.95
"""The descent ends after PATIENCE updates in a row that each leave at least the share PROGRESS of q."""


class Descended(NamedTuple):
    """The end of a descent."""

    h: Float[Array, " n"]
    q: Float[Array, ""]
    updates: Int[Array, ""]
    damping: Float[Array, ""]
    """λ, relative to the mean square of a column of A."""
    idle: Int[Array, ""]
    """The number of updates in a row that have hardly lowered q."""


Step = Callable[[Float[Array, " n"]], Float[Array, " n"]]
"""h ↦ f(h, x)."""


def speed(step: Step, h: Float[Array, " n"]) -> Float[Array, ""]:
    """Return q(h) = ½‖f(h, x) − h‖²."""
    return 0.5 * jnp.sum((step(h) - h) ** 2)


def by_newton(step: Step, start: Float[Array, " n"], tolerance, iterations: int, spread) -> Descended:
    """Descend by damped Newton steps until q ≤ tolerance, q hardly falls, or `iterations` is reached."""
    lengths = (0.5 ** jnp.arange(HALVINGS)).astype(start.dtype)

    def update(at: Descended) -> Descended:
        delta = _direction(jax.jacfwd(step)(at.h), step(at.h) - at.h, at.damping)
        delta = jnp.where(jnp.all(jnp.isfinite(delta)), delta, 0)
        size = jnp.linalg.norm(delta)
        tried = at.h + lengths[:, None] * delta * jnp.where(size > spread, spread / size, 1)
        q = jax.vmap(lambda h: speed(step, h))(tried)
        q = jnp.where(jnp.isfinite(q), q, jnp.inf)
        best = jnp.argmin(q)
        better = q[best] < at.q
        lower = jnp.where(best == 0, at.damping / 10, at.damping)
        lower = jnp.where(lower < 1e-6, 0, lower)
        higher = jnp.maximum(10 * at.damping, 1e-3)
        return Descended(
            h=jnp.where(better, tried[best], at.h),
            q=jnp.where(better, q[best], at.q),
            updates=at.updates + 1,
            damping=jnp.where(better, lower, higher),
            idle=jnp.where(q[best] < PROGRESS * at.q, 0, at.idle + 1),
        )

    return lax.while_loop(_running(tolerance, iterations), update, _first(step, start))


def _first(step: Step, start: Float[Array, " n"]) -> Descended:
    nothing = jnp.zeros((), jnp.int32)
    return Descended(start, speed(step, start), nothing, jnp.full((), 1e-2, start.dtype), nothing)


def _running(tolerance, iterations: int) -> Callable[[Descended], Bool[Array, ""]]:
    def running(at: Descended):
        return (at.q > tolerance) & jnp.isfinite(at.q) & (at.updates < iterations) & (at.idle < PATIENCE)

    return running


def _direction(jacobian: Float[Array, "n n"], f: Float[Array, " n"], damping) -> Float[Array, " n"]:
    """Return δ, by one factorization: of A, or of AᵀA + λ I."""
    eye = jnp.eye(f.size, dtype=f.dtype)
    a = jacobian - eye
    square = a.T @ a
    whole = damping == 0
    matrix = jnp.where(whole, a, square + damping * (jnp.trace(square) / f.size) * eye)
    return -jnp.linalg.solve(matrix, jnp.where(whole, f, a.T @ f))


def by_gradient(step: Step, start: Float[Array, " n"], tolerance, iterations: int, spread) -> Descended:
    """Descend by L-BFGS until q ≤ tolerance, q hardly falls, or `iterations` is reached; no step is shortened."""
    optimizer = optax.lbfgs()

    def q_of(h):
        return speed(step, h)

    value_and_grad = optax.value_and_grad_from_state(q_of)

    def update(loop):
        at, state = loop
        value, grad = value_and_grad(at.h, state=state)
        change, state = optimizer.update(grad, state, at.h, value=value, grad=grad, value_fn=q_of)
        h = at.h + change
        q = q_of(h)
        better = q < at.q
        idle = jnp.where(q < PROGRESS * at.q, 0, at.idle + 1)
        h, q = jnp.where(better, h, at.h), jnp.where(better, q, at.q)
        return at._replace(h=h, q=q, updates=at.updates + 1, idle=idle), state

    running = _running(tolerance, iterations)
    first = (_first(step, start), optimizer.init(start))
    return lax.while_loop(lambda loop: running(loop[0]), update, first)[0]
