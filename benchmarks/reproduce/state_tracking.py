"""State tracking and recall: which cells learn groups and other regular languages, and recall stored pairs.

Every problem asks about the prefix at each step, so a training sequence contains all lengths up to its own.  Training
uses 40 steps; the score is the accuracy over the last quarter of 40, 256 and 2,048 steps.  Recall is trained on 16
pairs of a key and a value and scored at 8, 16 and 32 (24, 48 and 96 steps).  The tables show the best and the median
over the seeds.  Words over S₃ and A₅, cycle navigation and modular arithmetic
are learned from short prefixes on: the loss counts two steps at first, and all 40 from half of the updates on.  There
DeltaNet and DeltaProduct have no convolution over time; `--convolution` gives them one.

A cell that is linear in its state solves parity only if its transitions have eigenvalues below 0 (Grazzi et al. 2025);
n reflections a step can track permutations of n + 1 things (Siems et al. 2025); A₅ is not solvable, and its word
problem is complete for NC¹ (Barrington 1989).  For associative recall the size of the state counts instead, and a
matrix state is larger.

    python -m benchmarks.reproduce.state_tracking                      # parity and recall: minutes
    python -m benchmarks.reproduce.state_tracking --full               # every problem, 5 seeds, 20,000 updates: hours
    python -m benchmarks.reproduce.state_tracking --problems s3 --cells elman lstm --seeds 3 --updates 8000
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import jaxrnn
from benchmarks.reproduce import on_one_thread_each, results
from jaxrnn.tasks import tracking
from jaxrnn.tasks.tracking import KINDS, Tagger
from jaxrnn.tasks.tracking.state_tracking import last_quarter
from jaxrnn.tasks.tracking.training import tagging_loss

BATCH, TEST, RATE = 32, 32, 5e-3


class Trial(NamedTuple):
    """A problem with the lengths of its training and of its tests."""

    make: Callable[[], tracking.Problem]
    trained: int = 40
    tested: tuple[int, ...] = (40, 256, 2048)
    hidden: int = 32
    growing: bool = False
    """Whether the loss counts two steps at first, and all of them from half of the updates on."""
    conv: int | None = 4
    """The width of the convolution over time in DeltaNet and DeltaProduct."""


TRIALS = {
    "parity": Trial(partial(tracking.words, "parity")),
    "s3": Trial(partial(tracking.words, "s3"), hidden=64, growing=True, conv=None),
    "a5": Trial(partial(tracking.words, "a5"), hidden=128, growing=True, conv=None),
    "even pairs": Trial(tracking.even_pairs),
    "cycle navigation": Trial(tracking.cycle_navigation, hidden=64, growing=True, conv=None),
    "modular arithmetic": Trial(tracking.modular_arithmetic, hidden=64, growing=True, conv=None),
    "recall": Trial(partial(tracking.associative_recall, 256), 48, (24, 48, 96), 64),
    "selective copying": Trial(tracking.selective_copying),
}
FAST = {"parity": 1_500, "recall": 1_000}
"""The problems of the fast version, and the updates; words over S₃ are not learned by the LSTM or the GRU in so few."""
FAST_CELLS = {
    "parity": ("elman", "lstm", "slstm", "min-gru", "lru", "mlstm", "deltanet", "deltanet-negative"),
    "recall": ("lstm", "min-gru", "mamba2", "deltanet"),
}
"""The cells of the fast version: gated and linear, with vector and matrix states."""
PAPERS = {
    ("parity", "slstm"): "1.00 (Grazzi et al. 2025)",
    ("parity", "mlstm"): "0.09 (Grazzi et al. 2025)",
    ("parity", "deltanet"): "0.02 (Grazzi et al. 2025)",
    ("parity", "deltanet-negative"): "1.00 (Grazzi et al. 2025)",
    ("modular arithmetic", "slstm"): "0.79 (Grazzi et al. 2025)",
    ("modular arithmetic", "mlstm"): "0.04 (Grazzi et al. 2025)",
    ("modular arithmetic", "deltanet"): "0.31 (Grazzi et al. 2025)",
    ("modular arithmetic", "deltanet-negative"): "0.97 (Grazzi et al. 2025)",
}
"""Table 3: the best of 3 seeds, 0 a guess and 1 perfect; trained to 40 steps and tested from 40 to 256."""


def plan(
    full: bool = False,
    again: bool = False,
    problems: tuple[str, ...] = (),
    cells: tuple[str, ...] = (),
    seeds: int = 0,
    first_seed: int = 0,
    updates: int = 0,
    convolution: bool = False,
) -> results.Plan:
    """Plan a case for each problem and cell.

    Args:
        full: every problem, 5 seeds and 20,000 updates, in place of two problems, 2 seeds and 1,000 or 1,500
          updates.
        again: measure again what is stored; without `full` everything is measured again.
        problems: some of "parity", "s3", "a5", "even pairs", "cycle navigation", "modular arithmetic", "recall",
          "selective copying".
        cells: which cells; by default all, but some in the fast version.
        seeds: another number of seeds.
        first_seed: the first of them.
        updates: another number of updates.
        convolution: give DeltaNet and DeltaProduct a convolution over four steps in every problem.
    """
    conv = {"conv": 4} if convolution else {}
    fast = {} if full or problems else FAST_CELLS
    problems = problems or (tuple(TRIALS) if full else tuple(FAST))
    seeds = seeds or (5 if full else 2)
    planned = {problem: updates or (20_000 if full else FAST.get(problem, 1_000)) for problem in problems}
    cases = [
        results.Case(
            "state_tracking",
            {"problem": problem, "cell": kind, "updates": planned[problem], "seeds": seeds, "first_seed": first_seed}
            | conv,
            partial(measure, problem, kind, planned[problem], range(first_seed, first_seed + seeds), **conv),
            show,
            PAPERS.get((problem, kind), "-"),
            seeds,
            planned[problem] * seeds,
        )
        for problem in problems
        for kind in cells or fast.get(problem, tuple(KINDS))
    ]
    return results.Plan(cases, again or not full)


def measure(problem: str, kind: str, updates: int, seeds: range, conv: int | None = None) -> dict:
    """Return the accuracy of each seed by length, and that of a guess; `conv` replaces the trial's None."""
    trial = TRIALS[problem]
    model = Tagger(kind, trial.make().tokens, trial.make().classes, trial.hidden, conv or trial.conv)
    keys = [jax.random.split(jax.random.key(seed), 3) for seed in seeds]
    trained = [train(model, problem, updates, jax.jit(model.init)(start), draws) for start, draws, _ in keys]
    scores = [accuracies(model, problem, params, key[2]) for params, key in zip(trained, keys, strict=True)]
    columns = zip(trial.tested, np.round(scores, 4).T.tolist(), strict=True)
    return {"accuracy": {str(length): column for length, column in columns}, "chance": round(1 / model.classes, 4)}


@partial(jax.jit, static_argnums=(0, 1, 2))
def train(model: Tagger, problem: str, updates: int, params, key: jax.Array):
    """Return the parameters after a number of updates."""
    trial = TRIALS[problem]
    draw = trial.make().draw

    def update(pair, at):
        (params, state), (key, number) = pair, at
        questions = draw(key, trial.trained, BATCH)
        if trial.growing:
            questions = shortened(questions, 2 * trial.trained * number // updates)
        gradient = jax.grad(lambda params: tagging_loss(model, params, questions))(params)
        changes, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, changes), state), None

    optimizer = make_optimizer(updates)
    numbered = jax.random.split(key, updates), jnp.arange(updates)
    return jax.lax.scan(update, (params, optimizer.init(params)), numbered)[0][0]


def shortened(questions: tracking.Questions, steps: jax.Array) -> tracking.Questions:
    """Keep the questions of the first `steps` steps, and of the first two in any case."""
    time = jnp.arange(len(questions.asked))[:, None]
    return questions._replace(asked=questions.asked & (time < jnp.maximum(steps, 2)))


def make_optimizer(updates: int) -> optax.GradientTransformation:
    """Return Adam after clipping; its rate rises for a tenth of the updates, then falls by a cosine."""
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, updates // 10, updates, 0.05 * RATE)
    return optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(rate))


def accuracies(model: Tagger, problem: str, params, key: jax.Array) -> list[float]:
    """Return the accuracy at each length of the tests."""
    tested = TRIALS[problem].tested
    if problem in ("recall", "selective copying"):
        answered = [answer(model, problem, length, params, key) for length in tested]
        return [float(np.mean(right, where=asked)) for right, asked in answered]
    right, asked = answer(model, problem, max(tested), params, key)  # its prefixes are the shorter tests
    return [last_quarter(right, asked, length) for length in tested]


def answer(model: Tagger, problem: str, time: int, params, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return which answers are right, and where there is a question."""
    right, asked = _answer(model, problem, time, params, key)
    return np.asarray(right), np.asarray(asked)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _answer(model: Tagger, problem: str, time: int, params, key: jax.Array):
    questions = TRIALS[problem].make().draw(key, time, TEST)
    return model.answers(params, questions.tokens) == questions.targets, questions.asked


def show(figures: dict) -> str:
    """Return the best and the median accuracy at each length."""
    return ", ".join(f"{n}: {max(a):.2f} / {median(a):.2f}" for n, a in figures["accuracy"].items())


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
