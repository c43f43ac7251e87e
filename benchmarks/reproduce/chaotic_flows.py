"""Chaotic flows as series: Lorenz' equations, and Kuramoto-Sivashinsky's on a ring of length 22.

References: Lorenz 1963; Kassam & Trefethen 2005 (the integrator); Cvitanović, Davidchack & Siminos 2010 (the exponent
at L = 22).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Flow(NamedTuple):
    """A chaotic flow."""

    run: Callable[[int], np.ndarray]
    """The series of so many steps, `[steps, size]`."""
    dt: float
    """A step."""
    exponent: float
    """The largest Lyapunov exponent."""


def lorenz(steps: int, dt: float = 0.02) -> np.ndarray:
    """Integrate Lorenz' equations by Runge-Kutta, and subtract the mean: `[steps, 3]`."""

    def slope(s):
        x, y, z = s
        return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    def step(s, _):
        a = slope(s)
        b = slope(s + dt / 2 * a)
        c = slope(s + dt / 2 * b)
        s = s + dt / 6 * (a + 2 * b + 2 * c + slope(s + dt * c))
        return s, s

    series = lax.scan(step, jnp.array([1.0, 1.0, 20.0]), None, length=steps + 1000)[1][1000:]
    return np.asarray(series - series.mean(axis=0))


def kuramoto_sivashinsky(steps: int, start=None, length: float = 22.0, points: int = 64, finer: int = 4) -> np.ndarray:
    """Integrate u_t = −u u_x − u_xx − u_xxxx on a ring, every 0.25, by steps of ETDRK4: `[steps, points]`.

    Start from `start`, or after a transient.
    """
    dt = 0.25 / finer
    k = 2 * np.pi / length * np.r_[0 : points // 2, 0]  # of a real series
    linear, advect = k**2 - k**4, -0.5j * k
    around = dt * linear[:, None] + np.exp(1j * np.pi * (np.arange(1, 33) - 0.5) / 32)  # Kassam & Trefethen, §3
    e, half = np.exp(dt * linear), np.exp(dt * linear / 2)
    q = dt * np.mean((np.exp(around / 2) - 1) / around, axis=1).real
    grown = np.exp(around)
    f1 = dt * np.mean((-4 - around + grown * (4 - 3 * around + around**2)) / around**3, axis=1).real
    f2 = dt * np.mean((2 + around + grown * (-2 + around)) / around**3, axis=1).real
    f3 = dt * np.mean((-4 - 3 * around - around**2 + grown * (4 - around)) / around**3, axis=1).real

    def nonlinear(v):
        return advect * jnp.fft.rfft(jnp.fft.irfft(v) ** 2)

    def step(v):
        n = nonlinear(v)
        a = half * v + q * n
        at_a = nonlinear(a)
        b = half * v + q * at_a
        at_b = nonlinear(b)
        c = half * a + q * (2 * at_b - n)
        return e * v + n * f1 + 2 * (at_a + at_b) * f2 + nonlinear(c) * f3

    def shown(v, _):
        v = lax.fori_loop(0, finer, lambda _, v: step(v), v)
        return v, jnp.fft.irfft(v)

    def run(u, steps):
        return jax.jit(lambda v: lax.scan(shown, v, None, length=steps)[1])(jnp.fft.rfft(u))

    if start is None:
        x = 2 * np.pi * np.arange(points) / points
        start = run(np.cos(x) * (1 + np.sin(x)), 3000)[-1]
    return np.asarray(run(start, steps))


LORENZ = Flow(lorenz, 0.02, 0.906)
KS = Flow(kuramoto_sivashinsky, 0.25, 0.048)
