"""The adding problem and the copy problem, for every kind of network, at T = 100, 200, 400.

Adding is scored by the squared error on new sequences; the constant answer 1 has 1/6 = 0.167.  Copy is scored by the
cross-entropy in nats per step; without a memory the best is 10 ln 8 / (T + 20).  Adam at 1e-3 after clipping at 1,
batches of 20; hidden 60.

Papers: Hochreiter & Schmidhuber 1997 (an LSTM learns adding), Le, Jaitly & Hinton 2015 (so does an identity relu, to
T = 300), Arjovsky, Shah & Bengio 2016 (an LSTM stays near the copy baseline for long).

    python -m benchmarks.reproduce.memory_tasks                # T = 100, 2 seeds, 2,000 updates: minutes
    python -m benchmarks.reproduce.memory_tasks --full         # T = 100, 200, 400, 5 seeds, 20,000 updates: hours
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

import jax
import jax.numpy as jnp
import optax
import tyro

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from benchmarks.reproduce.networks import networks
from benchmarks.reproduce.problems import SYMBOLS, adding, copy, copy_baseline

BATCH, TEST, HIDDEN = 20, 200, 60
PROBLEMS = {
    # name: (generator, features, outputs, the score of having no memory)
    "adding": (adding, 2, 1, lambda length: 1 / 6),
    "copy": (copy, SYMBOLS + 2, SYMBOLS + 1, copy_baseline),
}
OPTIMIZER = optax.apply_if_finite(optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(1e-3)), 2**31 - 1)
PAPERS = {
    ("adding", "relu, identity"): "learned at T = 150 to 300 (Le et al. 2015)",
    ("adding", "LSTM"): "learned, after more sequences (Hochreiter & Schmidhuber 1997)",
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
        cells: which networks; all of them if none is named.
        problems: which problems.
        jobs: how many runs at a time. More than one is untested since each gate is drawn by a separate QR.
    """
    lengths = lengths or ((100, 200, 400) if full else (100,))
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
            partial(measure, problem, name, length, updates, range(first_seed, first_seed + seeds), jobs),
            show,
            PAPERS.get((problem, name), "-"),
            seeds,
            length * updates * seeds,
        )
        for problem in problems
        for length in lengths
        for name in cells or networks(1, HIDDEN)
    ]
    return results.Plan(cases, again or not full)


def measure(problem: str, name: str, length: int, updates: int, seeds: range, jobs: int) -> dict:
    """Return the score of each seed, and that of having no memory."""
    with ThreadPoolExecutor(jobs) as pool:
        scores = list(pool.map(partial(score, problem, name, length, updates), seeds))
    return {"scores": [float(f"{score:.4g}") for score in scores], "no_memory": PROBLEMS[problem][3](length)}


def show(figures: dict) -> str:
    """Return the best and the median score, and that of having no memory."""
    scores = [math.inf if score is None else score for score in figures["scores"]]  # None: it diverged
    return f"{min(scores):.4f}, median {median(scores):.4f} (no memory {figures['no_memory']:.4f})"


def score(problem: str, name: str, length: int, updates: int, seed: int) -> float:
    """Return the score of one network on new sequences, after training."""
    return float(run(problem, name, length, updates, jax.random.split(jax.random.key(0), seed + 1)[seed]))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def run(problem: str, name: str, length: int, updates: int, key):
    """Train and test, in one program."""
    generate, features, outputs, _ = PROBLEMS[problem]
    cell, init = networks(features, HIDDEN)[name]
    readout = jaxrnn.Readout(HIDDEN, outputs)

    def loss(params, key, batch):
        xs, targets = generate(key, length, batch)
        _, ys = jaxrnn.unroll_bptt(cell, params[0], xs)
        if problem == "adding":
            return jnp.mean((readout.apply(params[1], ys[-1])[:, 0] - targets) ** 2)
        return jaxrnn.cross_entropy(readout.apply(params[1], ys), targets)

    def update(pair, key):
        params, state = pair
        updates, state = OPTIMIZER.update(jax.grad(loss)(params, key, BATCH), state, params)
        return (optax.apply_updates(params, updates), state), None

    cell_key, out_key, train_key, test_key = jax.random.split(key, 4)
    params = init(cell_key), readout.init(out_key)
    keys = jax.random.split(train_key, updates)
    (params, _), _ = jax.lax.scan(update, (params, OPTIMIZER.init(params)), keys)
    return loss(params, test_key, TEST)


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
