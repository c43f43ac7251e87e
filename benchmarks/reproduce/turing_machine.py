"""The small algorithms of the Neural Turing machine, trained as in the paper: one episode per update.

Graves, Wayne & Danihelka 2014 train with the RMSProp of Graves 2013, and clip every entry of the gradient at 10; their
tables 1 and 2 have the sizes and the learning rates.  That RMSProp divides by the standard deviation of the gradient,

    n ← 0.95 n + 0.05 g²,   m ← 0.95 m + 0.05 g,   Δ ← 0.9 Δ − η g / √(n − m² + 10⁻⁴),   θ ← θ + Δ

where g is the gradient of the sum over the steps of the episode: a long episode counts for more than a short one, as
it would in a batch.  The 10⁻⁴ under the root makes the updates small where the gradients are.  In associative recall,
with its three scored steps, they are small throughout; there RMSProp with optax's 10⁻⁸ and without m learns in fewer
episodes and is the default.  `--optimizer` and `--batch-size 16` show the effect of these choices.

N-grams and priority sort, for which the paper needs a million episodes, are trained otherwise: small batches, Adam with
a rate that rises over 100 updates and then falls along a cosine, the norm of the gradient clipped at 50, and a memory
that starts with learned contents (`benchmarks.reproduce.machine_starts`).  `--short 24000` begins with so many episodes
of a quarter of the length, which cost a quarter, followed by half as many of half the length.

An episode is padded to the next multiple of 8 steps, and not to the longest possible: behind its end nothing is
scored, so the loss is the same.  The scores are those of 64 held-out episodes within the lengths of training, and of 64
for each test beyond: the share of wrong bits, the share of episodes answered without a wrong bit, and for n-grams the
bits per scored bit.

    python -m benchmarks.reproduce.turing_machine            # copy, 1 seed
    python -m benchmarks.reproduce.turing_machine --full     # all five, 5 seeds: hours
    python -m benchmarks.reproduce.turing_machine --problems associative-recall --seeds 3
"""

import dataclasses
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from tqdm import trange

from benchmarks.reproduce import machine_starts, on_one_thread_each, results
from benchmarks.reproduce.machine_starts import Started
from jaxrnn.objectives.losses import bernoulli
from jaxrnn.patterns.hidden_to_hidden import ManyToMany
from jaxrnn.tasks.memory import Copy
from jaxrnn.tasks.memory.algorithms import PROBLEMS, Episode, Problem, batch, best_bits, repeat_copy

MULTIPLE = 8
"""Episodes are padded to a multiple of this many steps; the update is compiled once for each of them."""

SHOWN = 1000
"""Episodes behind one point of a learning curve."""

HELD_OUT, HELD_OUT_SEED = 64, 2**31
"""Episodes in a test, and their seed, which no run can have."""

WARM_UP = 100
"""Updates over which the rate of "cosine" rises."""


class Trial(NamedTuple):
    """A problem and a controller, with the sizes of the paper's tables 1 and 2."""

    problem: str
    controller: str
    heads: int
    learning_rate: float
    episodes: int
    """No more than the paper's curves need to come near 0, or to level off."""
    seconds: float
    """CPU seconds of 1,000 episodes, about."""
    paper: str
    hidden: int = 100
    optimizer: str = "graves"
    """Of the rules that were tried, the one that learns in fewer episodes."""
    batch: int = 1
    start: str = "constant"
    """The initial memory and heads: constant, or content (`machine_starts`)."""
    short: int = 0
    """Episodes of a quarter of the length that come first; half as many of half the length follow."""


COPY, RECALL = "near 0 after about 50,000 episodes (figure 3)", "near 0 after about 30,000 episodes (figure 10)"
NEXT_BIT, SORTING = "close to the best predictor (figure 13)", "far below an LSTM (figure 18)"
TRIALS = (
    Trial("copy", "feed-forward", 1, 1e-4, 20_000, 1.2, COPY),
    Trial("copy", "lstm", 1, 1e-4, 20_000, 1.7, COPY),
    Trial("associative-recall", "feed-forward", 4, 1e-4, 30_000, 3.5, RECALL, 256, "rmsprop"),
    Trial("associative-recall", "lstm", 1, 1e-4, 30_000, 1.7, RECALL, 100, "rmsprop"),
    Trial("repeat-copy", "feed-forward", 1, 1e-4, 50_000, 1.7, "near 0 (figure 7)"),
    Trial("repeat-copy", "lstm", 1, 1e-4, 50_000, 2.5, "near 0 (figure 7)"),
    Trial("n-grams", "feed-forward", 1, 3e-5, 200_000, 5.5, NEXT_BIT),
    Trial("n-grams", "lstm", 1, 4e-3, 96_000, 4.4, NEXT_BIT, 100, "cosine", 8, "content", 24_000),
    Trial("priority-sort", "feed-forward", 8, 1e-3, 100_000, 6.0, SORTING, 512, "cosine", 8, "content"),
)


def plan(
    full: bool = False,
    again: bool = False,
    problems: tuple[str, ...] = (),
    controllers: tuple[str, ...] = (),
    seeds: int = 0,
    first_seed: int = 0,
    episodes: int = 0,
    optimizer: str = "",
    batch_size: int = 0,
    learning_rate: float = 0.0,
    start: str = "",
    short: int = -1,
) -> results.Plan:
    """Plan a case for each problem, controller and seed.

    Args:
        full: all problems with 5 seeds and the paper's episodes, in place of copy with one seed and 10,000.
        again: measure again what is stored; without `full` everything is measured again.
        problems: which problems.
        controllers: which controllers: feed-forward, or lstm.
        seeds: another number of seeds.
        first_seed: the first of them.
        episodes: another number of episodes.
        optimizer: graves, as in the paper, rmsprop, adam or cosine, in place of the problem's.
        batch_size: another number of episodes in an update.
        learning_rate: another one.
        start: another initial memory: constant or content.
        short: another number of episodes of a quarter of the length, which come before half as many of half of it.
    """
    problems = problems or (tuple(PROBLEMS) if full else ("copy",))
    controllers = controllers or (("feed-forward", "lstm") if full else ("feed-forward",))
    each = range(first_seed, first_seed + (seeds or (5 if full else 1)))
    given = {
        "episodes": episodes or (0 if full else 10_000),
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "batch": batch_size,
        "start": start,
    }
    changes = {name: value for name, value in given.items() if value} | ({} if short < 0 else {"short": short})
    chosen_ones = [t._replace(**changes) for t in TRIALS if t.problem in problems and t.controller in controllers]
    return results.Plan([case for trial in chosen_ones for case in _cases(trial, each)], again or not full)


def _cases(trial: Trial, seeds: range) -> list[results.Case]:
    """Return a case for each seed; older records have none of the settings that are at their default."""
    names = ("problem", "controller", "episodes", "optimizer", "learning_rate", "batch")
    more = [name for name in ("start", "short") if getattr(trial, name) != Trial._field_defaults[name]]
    settings = {name: getattr(trial, name) for name in (*names, *more)}
    run, work = partial(measure, trial), float(trial.episodes * trial.seconds)
    return [
        results.Case("turing_machine", settings | {"seed": k}, partial(run, k), show, trial.paper, 1, work)
        for k in seeds
    ]


def show(figures: dict) -> str:
    """Return the score within the training lengths, and beyond."""
    if "best_bits" in figures:
        return f"{figures['bits']:.4f} bits (best {figures['best_bits']:.4f})"
    named = [("", figures["wrong"]), *((f" at {name}", test["wrong"]) for name, test in figures["beyond"].items())]
    return "; ".join(f"{100 * wrong:.2f} %{name}" for name, wrong in named)


def measure(trial: Trial, seed: int) -> dict:
    """Train a machine and return its scores, its learning curve, and its scores beyond."""
    task = Copy(trial.problem, controller=trial.controller, heads=trial.heads, hidden=trial.hidden, batch=trial.batch)
    model, (within, *beyond) = task.model({}), tests(task)
    params, curve, skipped = train(task, trial, seed)
    figures = scores(model, params, held_out(within)) | {"curve": curve, "skipped": skipped}
    figures["beyond"] = {test.name: scores(model, params, held_out(test)) for test in beyond}
    return figures | ({"best_bits": best(held_out(within))} if trial.problem == "n-grams" else {})


class Test(NamedTuple):
    """Held-out episodes of one kind."""

    name: str
    problem: Problem
    items: list[int]
    """The number of items of each episode."""


def tests(task: Copy) -> list[Test]:
    """Return the test within the lengths of training, and those beyond."""
    problem, longest, _ = task.problem_and_sizes()
    within = np.resize(np.arange(problem.shortest, longest + 1), HELD_OUT).tolist()
    beyond = {
        "copy": [(f"{n} vectors", problem, n) for n in (30, 60, 120)],
        "associative-recall": [(f"{n} items", problem, n) for n in (8, 10, 12, 16, 20)],
        "repeat-copy": [
            (f"{n} vectors {times} times", repeat_copy(8, longest, times), n) for n, times in ((20, 10), (10, 20))
        ],
    }
    others = [Test(name, problem, [items] * HELD_OUT) for name, problem, items in beyond.get(task.problem, [])]
    return [Test("within", problem, within), *others]


def held_out(test: Test) -> Episode:
    """Draw the episodes of a test."""
    time = test.problem.time(max(test.items))
    return batch(np.random.default_rng([HELD_OUT_SEED, *test.items]), test.problem, test.items, time)


@partial(jax.jit, static_argnums=0)
def _errors(model: ManyToMany, params: Started, episodes: Episode):
    """Return L, and the share of wrong answer bits of each episode."""
    logits, (_, targets, scored) = machine_starts.logits(model, params, episodes.xs), episodes
    wrong = jnp.mean((logits > 0) != (targets > 0.5), axis=-1)
    loss = bernoulli(logits, targets, mask=scored)
    return loss, jnp.mean(wrong, axis=0, where=scored)


def scores(model: ManyToMany, params: Started, episodes: Episode) -> dict[str, float]:
    """Return the bits per step, the share of wrong bits, and the share of episodes without one."""
    loss, wrong = jax.device_get(_errors(model, params, jax.tree.map(jnp.asarray, episodes)))
    return {"bits": float(loss / np.log(2)), "wrong": float(wrong.mean()), "perfect": float((wrong == 0).mean())}


def best(episodes: Episode) -> float:
    """Return the bits per scored bit of n-grams that nothing can be better than on average."""
    rows = np.concatenate([episodes.xs[:1], episodes.targets])[..., 0].T
    return float(np.mean([best_bits(row) for row in rows]))


@cache
def chosen(optimizer: str, learning_rate: float, updates: int) -> optax.GradientTransformation:
    """Return the optimizer of the paper, RMSProp with optax's ε = 10⁻⁸, Adam, or Adam with a rate that changes.

    An update whose gradient is not finite is skipped.
    """
    rmsprop = partial(optax.rmsprop, decay=0.95, momentum=0.9)
    entries, rate = optax.clip(10.0), learning_rate
    falling = optax.warmup_cosine_decay_schedule(0.0, rate, WARM_UP, max(updates, WARM_UP + 1))
    parts = {
        "graves": (entries, rmsprop(rate, eps=1e-4, centered=True, eps_in_sqrt=True)),
        "rmsprop": (entries, rmsprop(rate)),
        "adam": (entries, optax.adam(rate)),
        "cosine": (optax.clip_by_global_norm(50.0), optax.adam(falling)),
    }[optimizer]
    return optax.apply_if_finite(optax.chain(*parts), max_consecutive_errors=jnp.iinfo(jnp.int32).max)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(2, 3))
def _update(task: Copy, rule: optax.GradientTransformation, params: Started, state, episodes: Episode):
    """Return the parameters and the state after one update, and the loss per step before it.

    The gradient is that of the sum over the steps of an episode.
    """
    model, steps = task.model({}), jnp.sum(episodes.scored) / task.batch

    def summed(params):
        loss = bernoulli(machine_starts.logits(model, params, episodes.xs), episodes.targets, mask=episodes.scored)
        return loss * steps, loss

    (_, loss), gradient = jax.value_and_grad(summed, has_aux=True)(params)
    changes, state = rule.update(gradient, state, params)
    return optax.apply_updates(params, changes), state, loss


def train(task: Copy, trial: Trial, seed: int) -> tuple[Started, list[float], int]:
    """Return the parameters, the bits per step of every 1,000 episodes, and the number of updates skipped."""
    updates, longest = trial.episodes // task.batch, task.problem_and_sizes()[1]
    rule = chosen(trial.optimizer, trial.learning_rate, updates)
    params = machine_starts.init(task.model({}), trial.start, jax.random.key(seed))
    state, losses, curve = rule.init(params), [], []
    parts = ((4, trial.short), (2, 3 * trial.short // 2), (1, trial.episodes))  # 1/4, 1/2, 1 of the length, until then
    for step in trange(updates, disable=None):
        part = next(part for part, until in parts if step * task.batch < until)
        now = task if part == 1 else dataclasses.replace(task, longest=longest // part)
        params, state, loss = _update(now, rule, params, state, cropped(now.batch_at(None, seed, step)))
        losses.append(loss)
        if len(losses) * task.batch >= SHOWN:
            curve.append(round(float(np.nanmean(jax.device_get(losses)) / np.log(2)), 4))
            losses = []
    return params, curve, int(state.total_notfinite)


def cropped(episodes: Episode) -> Episode:
    """Return the episodes up to their last scored step, rounded up to a multiple of 8 steps if there are as many.

    >>> cropped(Copy(batch=1).batch_at(None, seed=0, step=0)).xs.shape
    (40, 1, 10)
    """
    steps = np.flatnonzero(episodes.scored.any(axis=1))[-1] + 1
    return Episode(*(array[: -(-steps // MULTIPLE) * MULTIPLE] for array in episodes))


if __name__ == "__main__":
    on_one_thread_each()
    results.run(tyro.cli(plan, description=__doc__))
