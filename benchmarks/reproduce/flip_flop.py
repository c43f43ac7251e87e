"""The 3-bit flip-flop, trained and analyzed: Sussillo & Barak 2013, §3.

A GRU, an LSTM and a rate network of 24 units learn to remember the sign of the last pulse in each of three channels.
The search for fixed points has input 0 and starts from 512 states of the network's trajectories, with noise.  A second
search starts on the lines between the stable points, because no trajectory comes near a saddle by itself.  The paper
finds 8 stable fixed points, one for each state of the memory, and between neighbors, which differ in one bit, saddles
with one unstable direction.

A saddle belongs to an edge of the cube if the network, pushed both ways along the unstable direction, ends at the two
neighbors.

    python -m benchmarks.reproduce.flip_flop                 # one seed each, minutes
    python -m benchmarks.reproduce.flip_flop --full          # five seeds each
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn import GRU, LSTM, Readout, unroll, unroll_bptt
from jaxrnn.cells.continuous import RateNetwork
from jaxrnn.core import Cell
from jaxrnn.dynamics.fixed_points import Modes, Points, as_carries, distinct, find, linearize, sample_starts
from jaxrnn.dynamics.states import as_vectors
from jaxrnn.tasks.cognitive import flip_flop

BITS, HIDDEN, TIME, ROWS, PULSES, NOISE = 3, 24, 40, 32, 0.05, 0.1
STARTS, BETWEEN, SETTLE, PUSH = 512, 21, 2000, 1e-2
CELLS = {
    "GRU": GRU(BITS, HIDDEN),
    "LSTM": LSTM(BITS, HIDDEN),
    "rate network": RateNetwork(BITS, HIDDEN, dt=20.0, tau=40.0),
}
PAPER = "8 stable, one-dimensional saddles between neighbors"


def plan(full: bool = False, again: bool = False) -> results.Plan:
    """Plan one case for each cell.

    Args:
        full: five seeds in place of one, and what is stored is not measured again.
        again: with `full`, measure again what is stored.
    """
    seeds = 5 if full else 1
    cases = [case(name, seed) for name in CELLS for seed in range(seeds)]
    return results.Plan(cases, again or not full)


def case(name: str, seed: int, updates: int = 1500) -> results.Case:
    """Train a network and count its fixed points."""
    settings = {"cell": name, "updates": updates, "seed": seed}
    return results.Case("flip_flop", settings, partial(run, name, seed, updates), show, PAPER, work=updates)


def show(figures: dict[str, Any]) -> str:
    """Return what was found, in a few words."""
    saddles = figures["saddles"]
    others = "".join(f", {count} of {k}" for k, count in saddles.items() if k != "1")
    return (
        f"{figures['correct']:.2%} of the bits right; {figures['stable']} stable for {figures['states']} states, "
        f"{saddles.get('1', 0)} saddles of one direction on {figures['edges']} of 12 edges{others}"
    )


def run(name: str, seed: int, updates: int) -> dict[str, Any]:
    """Train, search, and determine where each saddle leads."""
    with jax.enable_x64(True):
        cell = CELLS[name]
        params, readout, losses = train(cell, jax.random.key(seed), updates)
        trials = flip_flop(jax.random.key(seed + 1000), 256, bits=BITS, time=TIME, pulses=PULSES)
        answers = jnp.sign(readout_of(cell).apply(readout, unroll(cell, params, trials.inputs)[1]))
        points, modes = search(cell, params, trials.inputs, jax.random.key(seed + 2000))
        unstable = np.asarray(modes.unstable)
        ends = memory_states(cell, params, readout, points.h[unstable == 0])
        counts = {str(k): int((unstable == k).sum()) for k in sorted(set(unstable.tolist())) if k}
        return {
            "correct": float(jnp.mean(answers == trials.targets)),
            "loss": float(losses[-1]),
            "stable": int((unstable == 0).sum()),
            "states": len(set(ends)),
            "saddles": counts,
            "edges": len(edges(cell, params, readout, points.h[unstable == 1], modes.right[unstable == 1, :, 0])),
        }


def search(cell, params, inputs, key) -> tuple[Points, Modes]:
    """Search from trajectories, and again from the lines between the stable points too."""
    starts = as_vectors(sample_starts(key, cell, params, inputs, count=STARTS, noise=2 * NOISE).carry, 1)
    points, modes = linearized(cell, params, starts)
    settled = points.h[modes.unstable == 0]
    i, j = np.triu_indices(len(settled), 1)
    share = jnp.linspace(0, 1, BETWEEN + 2)[1:-1, None, None]
    between = (settled[i] + share * (settled[j] - settled[i])).reshape(-1, starts.shape[-1])
    return linearized(cell, params, jnp.concatenate([starts, between]))


def linearized(cell, params, starts) -> tuple[Points, Modes]:
    """Return the distinct fixed points without input, and their modes."""
    points = distinct(find(cell, params, jnp.zeros(BITS), as_carries(cell, params, starts), merge=1e-2))
    return points, linearize(cell, params, points.x, points.h)


def edges(cell, params, readout, saddles, directions) -> set[frozenset[int]]:
    """Return the pairs of neighboring states at which the two ways down from each saddle end."""
    if not len(saddles):
        return set()
    push = PUSH * jnp.real(directions)
    ways = [memory_states(cell, params, readout, saddles + way * push) for way in (1, -1)]
    pairs = {frozenset(pair) for pair in zip(*ways, strict=True)}
    return {pair for pair in pairs if len(pair) == 2 and bin(min(pair) ^ max(pair)).count("1") == 1}


def memory_states(cell, params, readout, points) -> list[int]:
    """Let the network run without input from points, and return the memory's final state as a number of 3 bits."""
    if not len(points):
        return []
    carry = as_carries(cell, params, points)
    hold = jnp.zeros((SETTLE, len(points), BITS))
    carry, _ = unroll(cell, params, hold, carry)
    answers = readout_of(cell).apply(readout, unroll(cell, params, hold[:1], carry)[1][0])
    return np.asarray(jnp.sum((answers > 0) * 2 ** jnp.arange(BITS), axis=-1)).tolist()


def readout_of(cell) -> Readout:
    """Return the read-out, one output for each bit."""
    return Readout(cell.hidden_size, BITS)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Shaken:
    """A cell whose state is displaced before each step by the last features of its input."""

    cell: Cell
    inputs: int

    def project(self, params, xs):
        """Return z⁽ᵗ⁾ of the cell, and the displacement."""
        return self.cell.project(params, xs[..., : self.inputs]), xs[..., self.inputs :]

    def initial_carry(self, params, batch_shape=()):
        """Return the initial carry of the cell."""
        return self.cell.initial_carry(params, batch_shape)

    def init(self, key):
        """Draw the parameters of the cell."""
        return self.cell.init(key)

    def step(self, params, carry, z):
        """Displace the state, and run the cell's step."""
        z, e = z
        return self.cell.step(params, carry + e, z)


@partial(jax.jit, static_argnums=(0, 2, 3))
def train(cell, key, updates: int, state_noise: float = 0.0):
    """Train by Adam at a decaying rate on fresh trials with input noise; return the parameters and every loss.

    With noise on the state, of cells whose carry is h, what is learned are attractors that withstand it.
    """
    first, second, key = jax.random.split(key, 3)
    params = cell.init(first), readout_of(cell).init(second)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(4e-3, updates)))

    def loss(params, key):
        trials_key, noise_key = jax.random.split(key)
        trials = flip_flop(trials_key, ROWS, bits=BITS, time=TIME, pulses=PULSES)
        noise = NOISE * jax.random.normal(noise_key, trials.inputs.shape)
        xs = trials.inputs + noise
        if state_noise:
            shakes = jax.random.normal(jax.random.fold_in(noise_key, 1), (*xs.shape[:-1], cell.hidden_size))
            ys = unroll_bptt(Shaken(cell, BITS), params[0], jnp.concatenate([xs, state_noise * shakes], axis=-1))[1]
        else:
            ys = unroll_bptt(cell, params[0], xs)[1]
        return jnp.mean((readout_of(cell).apply(params[1], ys) - trials.targets) ** 2)

    def update(pair, key):
        params, state = pair
        value, grads = jax.value_and_grad(loss)(params, key)
        updates, state = optimizer.update(grads, state, params)
        return (optax.apply_updates(params, updates), state), value

    (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), jax.random.split(key, updates))
    return *params, losses


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
