"""Gradient flossing: a task over a delay that plain training does not bridge.

    y⁽ᵗ⁾ = x⁽ᵗ⁻ᵈᐟ²⁾ xor x⁽ᵗ⁻ᵈ⁾,        x⁽ᵗ⁾ 0 or 1 by a fair coin

Engelken 2023, "Gradient flossing: improving gradient descent through dynamic control of Jacobians", §4 and the program
behind it: 80 tanh units, sequences of 300 steps in batches of 16, Adam at 1e-3.  Before training, 500 updates pull
the first 75 Lyapunov exponents of runs of 55 steps to 0; "plain" omits these updates and is otherwise the same.  The
constant answer ½ has the error 0.25.

    python -m benchmarks.reproduce.flossing                  # d = 50, 1 seed, 2,000 updates
    python -m benchmarks.reproduce.flossing --full           # d = 20 to 70, 3 seeds, 4,000 updates
"""

from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import optax
import tyro

from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn import Elman, ManyToMany, Readout
from jaxrnn.training import flossing_loss

UNITS, STEPS, BATCH, RATE = 80, 300, 16, 1e-3
FLOSSED, EXPONENTS, RUN = 500, 75, 55


def plan(
    full: bool = False, delays: tuple[int, ...] = (), updates: int = 0, seeds: int = 0, again: bool = False
) -> results.Plan:
    """Train with and without flossing, for each delay.

    Args:
        full: d = 20, 40, 50, 60 and 70, 3 seeds and 4,000 updates, in place of 50, 1 and 2,000.
        delays: other values of d; even.
        updates: another number of updates.
        seeds: another number of seeds.
        again: with `full`, measure again what is stored.
    """
    delays = delays or ((20, 40, 50, 60, 70) if full else (50,))
    updates, seeds = updates or (4000 if full else 2000), seeds or (3 if full else 1)
    cases = [
        results.Case(
            "flossing",
            {"start": start, "delay": delay, "updates": updates, "seeds": seeds},
            partial(measure, start == "flossed", delay, updates, seeds),
            show,
            seeds=seeds,
            work=seeds * (updates + (FLOSSED if start == "flossed" else 0)),
        )
        for delay in delays
        for start in ("plain", "flossed")
    ]
    return results.Plan(cases, again or not full)


def measure(flossed: bool, delay: int, updates: int, seeds: int) -> dict:
    """Return the mean squared error and the share of wrong bits, on new sequences, of each seed."""
    rows = [run(flossed, delay, updates, jax.random.key(seed)) for seed in range(seeds)]
    return {name: [float(row[name]) for row in rows] for name in ("error", "wrong")}


def show(figures: dict) -> str:
    """Return the median error, and the wrong bits of each seed."""
    wrong = " ".join(f"{100 * share:.1f}" for share in figures["wrong"])
    return f"error {median(figures['error']):.4f}; wrong bits {wrong} %"


@partial(jax.jit, static_argnums=(0, 1, 2))
def run(flossed: bool, delay: int, updates: int, key: jax.Array) -> dict[str, jax.Array]:
    """Train and test one network."""
    cell = Elman(1, UNITS)
    model = ManyToMany(cell, Readout(UNITS, 1), target="values")
    init, flossing, training, testing = jax.random.split(key, 4)
    optimizer = optax.adam(RATE)

    def floss(params, key):
        xs, _ = problem(key, RUN, BATCH, delay)
        return flossing_loss(cell, params, xs[:, 0], count=EXPONENTS)

    def loss(params, key):
        xs, ys = problem(key, STEPS, BATCH, delay)
        return jnp.mean((model.logits(params, xs)[delay:] - ys[delay:]) ** 2)

    params = model.init(init)
    params = params._replace(cell=params.cell._replace(w=jax.random.normal(init, (UNITS, UNITS)) / UNITS**0.5))
    if flossed:
        start = descend(floss, optimizer, params.cell, jax.random.split(flossing, FLOSSED))
        params = params._replace(cell=start)
    params = descend(loss, optimizer, params, jax.random.split(training, updates))
    xs, ys = problem(testing, STEPS, 128, delay)
    answers, counted = model.logits(params, xs)[delay:], ys[delay:]
    return {"error": jnp.mean((answers - counted) ** 2), "wrong": jnp.mean((answers > 0.5) != (counted > 0.5))}


def descend(loss, optimizer: optax.GradientTransformation, params, keys: jax.Array):
    """Return the parameters after one update for each key."""

    def update(pair, key):
        params, state = pair
        updates, state = optimizer.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(update, (params, optimizer.init(params)), keys)
    return params


def problem(key: jax.Array, steps: int, batch: int, delay: int) -> tuple[jax.Array, jax.Array]:
    """Draw x and y, `[time, batch, 1]`; the first d answers refer to steps before the start."""
    xs = jax.random.bernoulli(key, 0.5, (steps, batch, 1)).astype(float)
    return xs, jnp.abs(jnp.roll(xs, delay // 2, axis=0) - jnp.roll(xs, delay, axis=0))


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
