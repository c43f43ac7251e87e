"""Context-dependent decisions: a line of slow points in each context, and the selection vector rule.

After Mante, Sussillo, Shenoy & Newsome 2013: a tanh rate network reports the sign of one of two noisy inputs, which a
context selects.  After training, with input 0 and for each context, the slow points of the network are searched for,
starting from states on its own trajectories, and the network is linearized there.  W starts with a spectral radius of ½
and has a penalty.

    points     slow and fixed points of each context, and the share of their variance along one line
    slowest    the median |λ| of the slowest mode (1 on a line attractor), and of the second
    selection  |s · b| of the relevant input over that of the irrelevant one, s the left eigenvector of the slowest
               mode, b what an input does to the state; the median over the points: above 1, the context selects

    python -m benchmarks.reproduce.context_decision
    python -m benchmarks.reproduce.context_decision --full
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn import Readout, squared_error, unroll_bptt, with_noise
from jaxrnn.cells.continuous import RateNetwork, RateNoise
from jaxrnn.constraints import Constraints, Fixed
from jaxrnn.dynamics import fixed_points
from jaxrnn.objectives import activity_penalty, weight_penalty
from jaxrnn.tasks.cognitive import Trials, context_decision, decisions

BATCH, TEST = 64, 1000
GAIN, NOISE = 0.5, 0.1
"""The spectral radius of W at the start, and the noise of each unit while it learns."""
CONTEXTS = {"motion": jnp.array([0.0, 0.0, 1.0, 0.0]), "color": jnp.array([0.0, 0.0, 0.0, 1.0])}


def plan(full: bool = False, again: bool = False, units: int = 0, updates: int = 0, seeds: int = 0) -> results.Plan:
    """Plan a case for each network.

    Args:
        full: 100 units, 5,000 updates, five networks, in place of 64, 1,500 and one.
        again: measure again what is stored; without `full` everything is measured again.
        units: another number of units.
        updates: another number of updates.
        seeds: another number of networks.
    """
    defaults = sizes(full)
    units, updates, seeds = units or defaults[0], updates or defaults[1], seeds or defaults[2]
    cases = [
        results.Case(
            "context_decision",
            {"units": units, "updates": updates, "seed": seed},
            partial(measure, units, updates, seed),
            show,
            "a line of slow points in each context; s selects",
            work=updates * units,
        )
        for seed in range(seeds)
    ]
    return results.Plan(cases, again or not full)


def sizes(full: bool) -> tuple[int, int, int]:
    """Return the number of units, of updates and of networks."""
    return (100, 5000, 5) if full else (64, 1500, 1)


def measure(units: int, updates: int, seed: int) -> dict:
    """Train a network, and analyze it in both contexts."""
    cell, readout = RateNoise(RateNetwork(4, units, dt=20.0, tau=100.0), private=NOISE), Readout(units, 1)
    constraints, keys = Constraints((Fixed(cell.cell.taus, at="tau"),)), jax.random.split(jax.random.key(seed), 6)
    start = cell.init(keys[1])
    start = start._replace(w=GAIN * start.w)
    raw = constraints.init(keys[0], (start, readout.init(keys[2])))
    raw = train(cell, readout, constraints, updates, raw, keys[3])
    params, out = constraints.apply(raw)
    trials = context_decision(keys[4], TEST)
    _, rs = unroll_bptt(cell.cell, params, trials.inputs)
    answers = np.asarray(decisions(readout.apply(out, rs), trials))[:, 0]
    right = np.sign(answers) == np.asarray(trials.conditions["choice"])
    found = {"right": float(right.mean())}
    for k, (name, x) in enumerate(CONTEXTS.items()):
        found[name] = of_context(cell.cell, params, of(trials, k), x, keys[5], relevant=k)
    return found


def of(trials: Trials, context: int) -> jax.Array:
    """Return the inputs of the trials of a context."""
    return trials.inputs[:, np.asarray(trials.conditions["context"]) == context]


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def train(cell, readout, constraints, updates: int, raw, key):
    """Train by Adam at 1e-2 with a cosine decay, after clipping at 1."""
    schedule = optax.cosine_decay_schedule(1e-2, updates)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(raw, key):
        (params, out), keys = constraints.apply(raw), jax.random.split(key)
        trials = context_decision(keys[0], BATCH)
        _, rs = unroll_bptt(cell, params, with_noise(keys[1], trials.inputs))
        error = squared_error(readout.apply(out, rs), trials.targets, mask=trials.mask)
        return error + 1e-3 * activity_penalty(rs) + 0.5 * weight_penalty((params, out))

    def update(at, key):
        raw, state = at
        grads = jax.grad(loss)(raw, key)
        changes, state = optimizer.update(grads, state, raw)
        return (optax.apply_updates(raw, changes), state), None

    return jax.lax.scan(update, (raw, optimizer.init(raw)), jax.random.split(key, updates))[0][0]


def of_context(cell, params, inputs, x, key, *, relevant: int) -> dict:
    """Return the slow points of a context, and what its slowest mode selects."""
    starts = fixed_points.sample_starts(key, cell, params, inputs, count=128, noise=0.02)
    found = fixed_points.find(cell, params, x, starts.carry, method="gradient", iterations=300, slow=1e-5, merge=0.05)
    points = fixed_points.distinct(found)
    modes = fixed_points.linearize(cell, params, points.x, points.h)
    size = np.abs(np.asarray(modes.eigenvalues))
    values = np.linalg.svd(np.asarray(points.h) - np.asarray(points.h).mean(0), compute_uv=False) ** 2
    chosen = np.abs(np.asarray(modes.selection))[:, 0, :2]
    ratio = chosen[:, relevant] / np.maximum(chosen[:, 1 - relevant], 1e-12)
    return {
        "points": len(size),
        "line": float(values[0] / max(values.sum(), 1e-30)),
        "slowest": float(np.median(size[:, 0])),
        "second": float(np.median(size[:, 1])),
        "selection": float(np.median(ratio)),
    }


def show(figures: dict) -> str:
    """Return the figures of both contexts in a few words."""
    said = [
        f"{name}: {f['points']} points, {f['line']:.0%} on a line, |λ| {f['slowest']:.3f}, {f['second']:.3f}, "
        f"selects {f['selection']:.1f} : 1"
        for name, f in figures.items()
        if name != "right"
    ]
    return "; ".join([f"{figures['right']:.1%} right", *said])


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
