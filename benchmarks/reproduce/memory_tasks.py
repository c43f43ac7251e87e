"""The adding problem and the copy problem, for every kind of network, at T = 100, 200, 400.

Adding is scored by the squared error on new sequences; the constant answer 1 has 1/6 = 0.167.  Copy is scored by the
cross-entropy in nats per step; without a memory the best is 10 ln 8 / (T + 20).  Adam at 1e-3 after clipping at 1,
batches of 20; hidden 60.  A network has learned when the mean loss of 250 updates is a tenth of that of having no
memory; training ends at a fiftieth of it, or after the given number of updates.

Papers: Hochreiter & Schmidhuber 1997 (an LSTM learns adding), Le, Jaitly & Hinton 2015 (so does an identity relu, to
T = 300), Arjovsky, Shah & Bengio 2016 (a unitary network learns copy, an LSTM stays near its baseline for long),
Lezcano-Casado & Martínez-Rubio 2019 (an orthogonal W by the exponential map learns copy at T = 1,000).

    python -m benchmarks.reproduce.memory_tasks                # four networks, T = 100, 2 seeds, 2,000 updates: minutes
    python -m benchmarks.reproduce.memory_tasks --updates 2000 # the same with every network
    python -m benchmarks.reproduce.memory_tasks --full         # T = 100, 200, 400, 5 seeds, 20,000 updates: hours
"""

import math
from functools import partial
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.networks import Network, networks
from benchmarks.reproduce.problems import SYMBOLS, adding, copy, copy_baseline

BATCH, TEST, HIDDEN, EVERY = 20, 200, 60, 250
FAST = ("relu, identity", "modReLU, orthogonal", "LSTM", "GRU")
"""The networks of the fast version."""
PROBLEMS = {
    # name: (generator, features, outputs, the score of having no memory)
    "adding": (adding, 2, 1, lambda length: 1 / 6),
    "copy": (copy, SYMBOLS + 2, SYMBOLS + 1, copy_baseline),
}
OPTIMIZER = optax.apply_if_finite(optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(1e-3)), 2**31 - 1)
PAPERS = {
    ("adding", "relu, identity"): "learned at T = 150 to 300 (Le et al. 2015)",
    ("adding", "LSTM"): "learned, after more sequences (Hochreiter & Schmidhuber 1997)",
    ("copy", "modReLU, orthogonal"): "learned at T = 1,000 (Lezcano-Casado & Martínez-Rubio 2019)",
    ("copy", "LSTM"): "stays near no memory (Arjovsky et al. 2016)",
}


def plan(
    full: bool = False,
    again: bool = False,
    lengths: tuple[int, ...] = (),
    seeds: int = 0,
    first_seed: int = 0,
    updates: int = 0,
    cells: tuple[str, ...] = (),
    problems: tuple[str, ...] = tuple(PROBLEMS),
    jobs: int = 1,
) -> results.Plan:
    """Plan a case for each problem, length and network.

    Args:
        full: T = 100, 200, 400, 5 seeds and 20,000 updates, in place of 100, 2 and 2,000.
        again: measure again what is stored; without `full` everything is measured again.
        lengths: other lengths.
        seeds: another number of seeds.
        first_seed: the first of them.
        updates: another number of updates.
        cells: which networks; by default all, but four in the fast version.
        problems: which problems.
        jobs: how many cases at a time, each in a process with one thread.
    """
    lengths = lengths or ((100, 200, 400) if full else (100,))
    chosen = tuple(networks(1, HIDDEN)) if full or updates else FAST
    seeds, updates = seeds or (5 if full else 2), updates or (20_000 if full else 2_000)
    cases = [
        results.Case(
            "memory_tasks",
            {
                "problem": problem,
                "length": length,
                "network": name,
                "updates": updates,
                "seeds": seeds,
                "first_seed": first_seed,
            },
            partial(measure, problem, name, length, updates, range(first_seed, first_seed + seeds)),
            show,
            PAPERS.get((problem, name), "-"),
            seeds,
            length * updates * seeds,
        )
        for problem in problems
        for length in lengths
        for name in cells or chosen
    ]
    return results.Plan(cases, again or not full, jobs)


def measure(problem: str, name: str, length: int, updates: int, seeds: range) -> dict:
    """Return the score of each seed, that of having no memory, and the losses of the training, a mean of each 250."""
    runs = [run(problem, name, length, updates, seed) for seed in seeds]
    return {
        "scores": [rounded(score) for score, _ in runs],
        "no_memory": PROBLEMS[problem][3](length),
        "curves": [[rounded(loss) for loss in curve] for _, curve in runs],
        "every": EVERY,
    }


def rounded(score: float) -> float | None:
    """Return the score with four digits; None where it is no number."""
    return float(f"{score:.4g}") if math.isfinite(score) else None


def show(figures: dict) -> str:
    """Return the best and the median score, and that of having no memory; when each seed had learned."""
    scores = [math.inf if score is None else score for score in figures["scores"]]  # None: it diverged
    said = f"{min(scores):.4f}, median {median(scores):.4f} (no memory {figures['no_memory']:.4f})"
    after = learned_after(figures)
    return said + (f", learned after {' '.join(f'{n:,}' if n else '-' for n in after)}" if after else "")


def learned_after(figures: dict) -> list[int | None]:
    """Return after how many updates the loss of each seed was a tenth of that of having no memory; None for never."""
    enough, every = figures["no_memory"] / 10, figures.get("every", 0)
    found = [
        [k for k, loss in enumerate(curve, 1) if loss is not None and loss < enough]
        for curve in figures.get("curves", [])
    ]
    return [below[0] * every if below else None for below in found]


def run(problem: str, name: str, length: int, updates: int, seed: int) -> tuple[float, list[float]]:
    """Train until the loss is a fiftieth of that of having no memory; return the score on new sequences, the losses."""
    *keys, train_key, test_key = jax.random.split(jax.random.split(jax.random.key(0), seed + 1)[seed], 4)
    pair, losses = start(problem, name, *keys), []
    train_keys = jax.random.split(train_key, updates)
    for k in range(0, updates, EVERY):
        pair, loss = train(problem, name, length, pair, train_keys[k : k + EVERY])
        losses.append(float(loss))
        if losses[-1] < PROBLEMS[problem][3](length) / 50:
            break
    return float(test(problem, name, length, pair[0], test_key)), losses


@partial(jax.jit, static_argnums=(0, 1))
def start(problem: str, name: str, cell_key, readout_key):
    """Return the first parameters of the network and its read-out, and the state of the optimizer."""
    network, readout = model(problem, name)
    params = network.init(cell_key), readout.init(readout_key)
    return params, OPTIMIZER.init(params)


@partial(jax.jit, static_argnums=(0, 1, 2))
def train(problem: str, name: str, length: int, pair, keys):
    """Return the parameters and the state of the optimizer after an update for each key, and the mean loss."""

    def update(pair, key):
        params, state = pair
        loss, grads = jax.value_and_grad(partial(error, problem, name, length, BATCH))(params, key)
        updates, state = OPTIMIZER.update(grads, state, params)
        return (optax.apply_updates(params, slower(updates, model(problem, name)[0].rate)), state), loss

    pair, losses = jax.lax.scan(update, pair, keys)
    return pair, jnp.mean(losses)


def slower(updates: Any, rate: float) -> Any:
    """Multiply the update of W by the network's rate."""
    cell, readout = updates
    return (cell if rate == 1 else cell._replace(w=rate * cell.w)), readout


@partial(jax.jit, static_argnums=(0, 1, 2))
def test(problem: str, name: str, length: int, params, key):
    """Return the score on new sequences."""
    return error(problem, name, length, TEST, params, key)


def error(problem: str, name: str, length: int, batch: int, params, key):
    """Return the squared error of the last output, or the cross-entropy of all of them."""
    network, readout = model(problem, name)
    xs, targets = PROBLEMS[problem][0](key, length, batch)
    _, ys = jaxrnn.unroll_bptt(network.cell, network.params(params[0]), xs)
    if problem == "adding":
        return jnp.mean((readout.apply(params[1], ys[-1])[:, 0] - targets) ** 2)
    return jaxrnn.cross_entropy(readout.apply(params[1], ys), targets)


def model(problem: str, name: str) -> tuple[Network, jaxrnn.Readout]:
    """Return the network and its read-out."""
    _, features, outputs, _ = PROBLEMS[problem]
    return networks(features, HIDDEN)[name], jaxrnn.Readout(HIDDEN, outputs)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
