"""Descent of the speed q(h) = ½‖F(h)‖², F(h) = f(h, x) − h, from one start.

With the Jacobian A = ∂F/∂h, one step of Newton's method is damped as Levenberg and Marquardt do it:

    δ = −A⁻¹ F                        where λ is 0
    δ = −(AᵀA + λ I)⁻¹ Aᵀ F           elsewhere
    h ← h + 2⁻ᵏ δ                     for the k that gives the least q, if that is less than q(h)

λ falls tenfold after a whole step and rises tenfold where no step helps, so λ is 0 near a fixed point, where
convergence is quadratic, and the descent ends in a local minimum of q, a slow point, where there is no fixed point.
A⁻¹ is applied to F itself near the solution: with AᵀA the condition of A counts twice, and slow directions are lost.

Without Jacobians q is minimized by L-BFGS, whose memory is linear in the size of the state.

References: Sussillo & Barak 2013 (q); Marquardt 1963; Nocedal & Wright 2006, §10.3 and §7.2.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

HALVINGS = 8
"""The number of step lengths that are tried; they cost one evaluation each, the Jacobian as many as there are units."""


class Descended(NamedTuple):
    """Where a descent ended."""

    h: Float[Array, " n"]
    q: Float[Array, ""]
    updates: Int[Array, ""]
    damping: Float[Array, ""]
    """λ, relative to the mean square of a column of A."""


Step = Callable[[Float[Array, " n"]], Float[Array, " n"]]
"""h ↦ f(h, x)."""


def speed(step: Step, h: Float[Array, " n"]) -> Float[Array, ""]:
    """q(h) = ½‖f(h, x) − h‖²."""
    return 0.5 * jnp.sum((step(h) - h) ** 2)


def by_newton(step: Step, start: Float[Array, " n"], tolerance, iterations: int) -> Descended:
    """Descend by damped Newton steps until q ≤ tolerance, no step helps, or `iterations` is reached."""
    rounding = jnp.finfo(start.dtype).eps
    lengths = (0.5 ** jnp.arange(HALVINGS)).astype(start.dtype)

    def running(at: Descended):
        return (at.q > tolerance) & jnp.isfinite(at.q) & (at.updates < iterations) & (at.damping < 1 / rounding)

    def update(at: Descended) -> Descended:
        delta = _direction(jax.jacfwd(step)(at.h), step(at.h) - at.h, at.damping)
        tried = at.h + lengths[:, None] * jnp.where(jnp.all(jnp.isfinite(delta)), delta, 0)
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
        )

    first = Descended(start, speed(step, start), jnp.zeros((), jnp.int32), jnp.full((), 1e-2, start.dtype))
    return lax.while_loop(running, update, first)


def _direction(jacobian: Float[Array, "n n"], f: Float[Array, " n"], damping) -> Float[Array, " n"]:
    """δ, by one factorization: of A, or of AᵀA + λ I."""
    eye = jnp.eye(f.size, dtype=f.dtype)
    a = jacobian - eye
    square = a.T @ a
    whole = damping == 0
    matrix = jnp.where(whole, a, square + damping * (jnp.trace(square) / f.size) * eye)
    return -jnp.linalg.solve(matrix, jnp.where(whole, f, a.T @ f))


def by_gradient(step: Step, start: Float[Array, " n"], tolerance, iterations: int) -> Descended:
    """Descend by L-BFGS until q ≤ tolerance, q no longer changes, or `iterations` is reached."""
    optimizer = optax.lbfgs()

    def q_of(h):
        return speed(step, h)

    value_and_grad = optax.value_and_grad_from_state(q_of)

    def running(loop):
        at, _ = loop
        return (at.q > tolerance) & jnp.isfinite(at.q) & (at.updates < iterations) & (at.damping < 1)

    def update(loop):
        at, state = loop
        value, grad = value_and_grad(at.h, state=state)
        change, state = optimizer.update(grad, state, at.h, value=value, grad=grad, value_fn=q_of)
        h = at.h + change
        q = q_of(h)
        better = q < at.q
        ended = jnp.where(better, 0, 1).astype(at.damping.dtype)
        return Descended(jnp.where(better, h, at.h), jnp.where(better, q, at.q), at.updates + 1, ended), state

    first = Descended(start, q_of(start), jnp.zeros((), jnp.int32), jnp.zeros((), start.dtype))
    return lax.while_loop(running, update, (first, optimizer.init(start)))[0]
