"""The small algorithms of the Neural Turing machine, trained as in the paper: one episode per update.

Graves, Wayne & Danihelka 2014 train with RMSProp, momentum 0.9, and clip every entry of the gradient at 10; their
tables 1 to 3 have the sizes.  `--optimizer adam` and `--batch-size 16` show the effect of these choices.

All seeds are trained in one program, by `jax.vmap`.  The score is the share of wrong bits on 64 held-out episodes
within the training lengths, and on 16 of each longer length; for n-grams it is the bits per scored bit.

    python -m benchmarks.reproduce.turing_machine            # copy, 1 seed
    python -m benchmarks.reproduce.turing_machine --full     # all five, 5 seeds: hours
    python -m benchmarks.reproduce.turing_machine --problems associative-recall --seeds 3
"""

from functools import partial
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from tqdm import trange

from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn.tasks.memory import Copy
from jaxrnn.tasks.memory.algorithms import Episode

TOGETHER = 50
"""Updates in one dispatch."""


class Trial(NamedTuple):
    """A problem with the sizes of the paper, for a feed-forward controller."""

    heads: int
    hidden: int
    learning_rate: float
    episodes: int
    """As many as the paper's curves need to come near 0, or to level off."""
    paper: str


TRIALS = {
    "copy": Trial(1, 100, 1e-4, 50_000, "near 0 after about 50,000 episodes (figure 3)"),
    "associative-recall": Trial(4, 256, 1e-4, 30_000, "near 0 after about 30,000 episodes (figure 10)"),
    "repeat-copy": Trial(1, 100, 1e-4, 100_000, "near 0 (figure 7)"),
    "n-grams": Trial(1, 100, 3e-5, 200_000, "close to the best predictor (figure 13)"),
    "priority-sort": Trial(8, 512, 3e-5, 200_000, "far below an LSTM (figure 18)"),
}


def plan(
    full: bool = False,
    again: bool = False,
    problems: tuple[str, ...] = (),
    seeds: int = 0,
    first_seed: int = 0,
    episodes: int = 0,
    optimizer: str = "rmsprop",
    batch_size: int = 1,
) -> results.Plan:
    """Plan a case for each problem.

    Args:
        full: all problems with 5 seeds and the paper's episodes, in place of copy with one seed and 10,000.
        again: measure again what is stored; without `full` everything is measured again.
        problems: which problems.
        seeds: another number of seeds.
        first_seed: the first of them.
        episodes: another number of episodes.
        optimizer: rmsprop, as in the paper, or adam.
        batch_size: episodes in an update.
    """
    seeds = seeds or (5 if full else 1)
    cases = []
    for problem in problems or (tuple(TRIALS) if full else ("copy",)):
        trial = TRIALS[problem]
        count = episodes or (trial.episodes if full else 10_000)
        settings = {
            "problem": problem,
            "episodes": count,
            "optimizer": optimizer,
            "batch": batch_size,
            "seeds": seeds,
            "first_seed": first_seed,
        }
        run = partial(measure, problem, count, optimizer, batch_size, range(first_seed, first_seed + seeds))
        cases.append(results.Case("turing_machine", settings, run, show, trial.paper, seeds, count * seeds))
    return results.Plan(cases, again or not full)


def show(figures: dict) -> str:
    """Return the best and the median score within the training lengths, and beyond."""
    said = [f"{min(scores):.4f}, median {median(scores):.4f}{name}" for name, scores in _named(figures)]
    return "; ".join(said)


def _named(figures: dict) -> list[tuple[str, list[float]]]:
    if "best_bits" in figures:
        return [(f" bits (best {figures['best_bits']:.4f})", figures["bits"])]
    return [("", figures["wrong"]), *((f" at {n}", scores) for n, scores in figures["beyond"].items())]


def measure(problem: str, episodes: int, optimizer: str, batch_size: int, seeds: range) -> dict:
    """Train one machine for each seed and return their scores."""
    trial = TRIALS[problem]
    task = Copy(problem=problem, heads=trial.heads, hidden=trial.hidden, batch=batch_size)
    params = train(task, chosen(optimizer, trial.learning_rate), episodes // batch_size, seeds)
    metrics = [
        task.evaluate(task.model({}), jax.tree.map(lambda a, i=i: a[i], params), None) for i in range(len(seeds))
    ]
    beyond = [name for name in metrics[0] if name.startswith("bit_error_at_")]
    figures = {
        "wrong": [m["bit_error"] for m in metrics],
        "bits": [m["bits_per_step"] for m in metrics],
        "beyond": {name.removeprefix("bit_error_at_"): [m[name] for m in metrics] for name in beyond},
    }
    return figures | ({"best_bits": metrics[0]["best_bits_per_step"]} if problem == "n-grams" else {})


def chosen(optimizer: str, learning_rate: float) -> optax.GradientTransformation:
    """Return the optimizer of the paper, or Adam."""
    rule = {
        "rmsprop": partial(optax.rmsprop, decay=0.95, momentum=0.9),
        "adam": optax.adam,
    }[optimizer]
    return optax.chain(optax.clip(10.0), rule(learning_rate))


def train(task: Copy, optimizer: optax.GradientTransformation, updates: int, seeds: range):
    """Return the parameters of every seed, `[seeds, …]`."""
    model = task.model({})
    params = jax.vmap(lambda seed: model.init(jax.random.key(seed)))(jnp.arange(seeds.start, seeds.stop))

    def update(params, state, episodes: Episode):
        loss, gradient = jax.value_and_grad(lambda params: task.loss(model, params, None, episodes, None)[0])(params)
        changes, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, changes), state, loss

    @jax.jit
    def several(params, state, episodes: Episode):
        def body(pair, episodes):
            *pair, loss = jax.vmap(update)(*pair, episodes)
            return tuple(pair), loss

        return jax.lax.scan(body, (params, state), episodes)

    state = jax.vmap(optimizer.init)(params)
    progress = trange(0, updates, TOGETHER, disable=None)
    for start in progress:
        (params, state), losses = several(params, state, drawn(task, range(start, start + TOGETHER), seeds))
        progress.set_postfix_str(" ".join(f"{loss:.3f}" for loss in np.asarray(losses).mean(0) / np.log(2)))
    return params


def drawn(task: Copy, steps: range, seeds: range) -> Episode:
    """Return the episodes of several updates, `[steps, seeds, time, batch, …]`."""
    rows = [[task.batch_at(None, seed, step) for seed in seeds] for step in steps]
    return jax.tree.map(
        lambda *each: np.stack(each), *[jax.tree.map(lambda *each: np.stack(each), *row) for row in rows]
    )


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
