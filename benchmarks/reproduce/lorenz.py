"""The Lyapunov exponents of the Lorenz system, from networks that were fitted to a time series of it.

    x′ = 10 (y − x),      y′ = x (28 − z) − y,      z′ = x y − 8/3 z;      λ = 0.906, 0, −14.57 per unit of time

Two kinds of networks run on their own, and `jaxrnn.dynamics.lyapunov_spectrum` follows their Jacobians:

  reservoir           300 units whose read-out is fitted to the series and then read back: Pathak et al. 2017, "Using
                      machine learning to replicate chaotic attractors and calculate Lyapunov exponents from data"
  teacher forcing     the shallow piecewise linear network with 3 + 50 units, trained by gradients with its state drawn
                      toward the data by α at every step (`jaxrnn.patterns.Forced`): Hess et al. 2023, "Generalized
                      teacher forcing for learning chaotic dynamics".  α = 0 is plain training on sequences of 200
                      steps; α = 1 trains on one step at a time.

    python -m benchmarks.reproduce.lorenz                  # 1 seed, 5,000 updates
    python -m benchmarks.reproduce.lorenz --full           # 5 seeds, 40,000 updates
"""

import functools
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from scipy.integrate import solve_ivp

from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn import ESN, Readout, unroll
from jaxrnn.dynamics import lyapunov_spectrum
from jaxrnn.patterns import Feedback, Forced
from jaxrnn.reservoirs import Reservoir

PAPER = "0.90 0.00 -10.5"
UNITS, LENGTH, BATCH, RATE = 50, 200, 16, 1e-3


def plan(
    full: bool = False,
    updates: int = 0,
    seeds: int = 0,
    alphas: tuple[float, ...] = (0.0, 0.2, 1.0),
    again: bool = False,
) -> results.Plan:
    """Measure the exponents of each kind of network.

    Args:
        full: 40,000 updates and 5 seeds, in place of 5,000 and 1.
        updates: another number of updates of the networks that are trained by gradients.
        seeds: another number of seeds.
        alphas: the strengths of the forcing.
        again: with `full`, measure again what is stored.
    """
    updates, seeds = updates or (40_000 if full else 5_000), seeds or (5 if full else 1)
    reservoir = results.Case(
        "lorenz", {"network": "reservoir", "seeds": seeds}, partial(of_reservoirs, seeds), show, PAPER, seeds
    )
    forced = [
        results.Case(
            "lorenz",
            {"network": "teacher forcing", "alpha": alpha, "updates": updates, "seeds": seeds},
            partial(of_forced, alpha, updates, seeds),
            show,
            seeds=seeds,
            work=updates * seeds,
        )
        for alpha in alphas
    ]
    return results.Plan([reservoir, *forced], again or not full)


def show(figures: dict) -> str:
    """Return the median of each exponent over the seeds, and the range of the first."""
    each = figures["exponents"]
    medians = " ".join(f"{median(column):.2f}" for column in zip(*each, strict=True))
    return f"{medians} (λ₁ {min(row[0] for row in each):.3f} to {max(row[0] for row in each):.3f})"


def of_reservoirs(seeds: int) -> dict:
    """Return the exponents of reservoirs in the closed loop, each over 20,000 steps of 0.02."""
    dt = 0.02
    series = standardized(dt, 6000)
    cell = Reservoir(3, 300, connections=6, radius=0.9, input_scaling=0.3, bias_scaling=0.5)
    readout = Readout(300, 3)
    esn, network = ESN(cell, readout, feedback=True), Feedback(cell, readout, "logits")

    def exponents(seed: int) -> list[float]:
        params = esn.init(jax.random.key(seed))
        carry, params = esn.fit(params, jnp.zeros((len(series), 0)), series, penalty=1e-7, washout=200)
        return (lyapunov_spectrum(network, params, jnp.zeros((20_000, 0)), carry, count=3, skip=1000) / dt).tolist()

    return {"exponents": [exponents(seed) for seed in range(seeds)]}


def of_forced(alpha: float, updates: int, seeds: int) -> dict:
    """Return the exponents of networks trained with a forcing of α, each over 40,000 free steps of 0.01."""
    dt = 0.01
    series, cell = standardized(dt, 20_000), ShallowPLRNN(3, UNITS)
    params = jax.lax.map(partial(train, alpha, updates, series), jax.random.split(jax.random.key(0), seeds))
    free = jnp.zeros((40_000, 0))
    spectrum = partial(lyapunov_spectrum, cell, count=3, skip=2000)
    return {"exponents": (jax.vmap(lambda p: spectrum(p, free, series[-1]))(params) / dt).tolist()}


@functools.cache
def standardized(dt: float, steps: int) -> jax.Array:
    """Return a run of the system on its attractor, `[time, 3]`, each variable with mean 0 and variance 1."""
    skipped = 1000
    times = dt * np.arange(steps + skipped)
    run = solve_ivp(velocity, (0, times[-1]), [1.0, 1.0, 1.0], t_eval=times, rtol=1e-9, atol=1e-9).y.T[skipped:]
    return jnp.asarray((run - run.mean(0)) / run.std(0), jnp.float32)


def velocity(_, state: np.ndarray) -> np.ndarray:
    """Return the right-hand side of the equations."""
    x, y, z = state
    return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


@partial(jax.jit, static_argnums=(0, 1))
def train(alpha: float, updates: int, series: jax.Array, key: jax.Array) -> "ShallowPLRNNParams":
    """Train one network on sequences that begin at random."""
    cell = Forced(ShallowPLRNN(3, UNITS), observed=3, alpha=alpha)
    init, training = jax.random.split(key)
    params = cell.init(init)
    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0), optax.radam(optax.exponential_decay(RATE, updates, decay_rate=0.03))
    )

    def loss(free: ShallowPLRNNParams, data: jax.Array) -> jax.Array:
        _, states = unroll(cell, params._replace(cell=free), data[:-1], data[0])
        return jnp.mean((states - data[1:]) ** 2)

    def update(pair, key):
        free, state = pair
        begins = jax.random.randint(key, (BATCH,), 0, len(series) - LENGTH)
        data = series[begins + jnp.arange(LENGTH + 1)[:, None]]
        updates, state = optimizer.update(jax.grad(loss)(free, data), state)
        return (optax.apply_updates(free, updates), state), None

    start = params.cell, optimizer.init(params.cell)
    (free, _), _ = jax.lax.scan(update, start, jax.random.split(training, updates))
    return free


class ShallowPLRNNParams(NamedTuple):
    """A, W₁, W₂, h₁ and h₂."""

    a: jax.Array
    w1: jax.Array
    w2: jax.Array
    h1: jax.Array
    h2: jax.Array


@jax.tree_util.register_static
@dataclass(frozen=True)
class ShallowPLRNN:
    """The cell h⁽ᵗ⁾ = a ⊙ h⁽ᵗ⁻¹⁾ + W₁ relu(W₂ h⁽ᵗ⁻¹⁾ + h₂) + h₁, without inputs: Hess et al. 2023, equation 3."""

    hidden_size: int
    units: int
    input_size: int = 0

    def init(self, key: jax.Array) -> ShallowPLRNNParams:
        """Draw W and h₂; a starts near 1, so that the state persists."""
        n, units, uniform = self.hidden_size, self.units, partial(jax.random.uniform, minval=-1, maxval=1)
        w1, w2, h2 = jax.random.split(key, 3)
        return ShallowPLRNNParams(
            a=jnp.full(n, 0.9),
            w1=uniform(w1, (units, n)) / units**0.5,
            w2=uniform(w2, (n, units)) / n**0.5,
            h1=jnp.zeros(n),
            h2=uniform(h2, (units,)),
        )

    def initial_carry(self, params: ShallowPLRNNParams, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return 0."""
        return jnp.zeros((*batch_shape, self.hidden_size))

    def project(self, params: ShallowPLRNNParams, xs: jax.Array) -> jax.Array:
        """Return the inputs, which have no features."""
        return xs

    def step(self, params: ShallowPLRNNParams, h: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Run one step."""
        h = params.a * h + jax.nn.relu(h @ params.w2 + params.h2) @ params.w1 + params.h1
        return h, h


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
