"""Training of the tasks of Hochreiter & Schmidhuber 1997, until their criteria of success, all seeds side by side.

Two trainings of the paper's numbers of cells, with logistic outputs y = σ(o):

    "as in 1997"   the LSTM of `lstm_of_1997`, ½ Σ (y − target)², one step of SGD after each sequence; where every step
                   has a target (tasks 1, 2a, 2b), after each step, by the gradients of real-time recurrent learning;
                   in tasks 2a and 2b the only cell is added once the error has stopped falling
    "modern"       `jaxrnn.LSTM` with forget gates, the Bernoulli loss, Adam at 1e-2 after clipping at 1, batches of 8;
                   the forget gates start at log T, the input gates at −log T, for a lag of T

A criterion is judged by the most recent sequences of the training, before each update (tasks 4 to 6), by fresh ones
after every thousand (tasks 2 and 3), or by the fixed strings of the training and others (task 1).

References: Hochreiter & Schmidhuber 1997, §5; Gers, Schmidhuber & Cummins 2000 (forget gates); Tallec & Ollivier 2018,
§2 (the biases of the gates).
"""

from collections.abc import Callable
from functools import partial
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from benchmarks.reproduce.lstm_criteria import CHUNK, Task, judge, outputs, passed, totals
from benchmarks.reproduce.lstm_of_1997 import LSTM1997, AddedCell
from benchmarks.reproduce.lstm_problems import Sequences
from jaxrnn.online import RTRL

BATCHES = {"as in 1997": 1, "modern": 8}
TESTED = 2560
"""The sequences of the last test."""
STILL = 0.95
"""The error has stopped falling when it is more than this part of what it was a judgement before."""


class State(NamedTuple):
    """What the training updates."""

    params: tuple
    """Those of the cell, free of their constraint, and of the read-out."""
    optimizer: optax.OptState
    """The state of the optimizer."""


def run(task: Task, training: str, limit: int, seeds: range) -> dict:
    """Train until every seed has passed every stage, or for `limit` sequences; return the figures.

    Returns:
      `after`, of each stage the sequences until each seed passed it (0: never); `wrong` and `error` of 2,560 fresh
      sequences, when a seed has passed the last stage, or at the end; `ran`, the sequences of the longest training.
    """
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(1997)))(jnp.array(seeds))
    state = jax.jit(jax.vmap(partial(start, task, training)))(keys)
    after, final = {stage.name: [0] * len(seeds) for stage in task.stages}, [None] * len(seeds)
    recent, error, ran = np.ones((len(seeds), 0, 2)), np.full(len(seeds), np.inf), 0
    strings = fixed_sets(task, keys) if task.strings else ()
    while ran < limit and None in final:
        state, found = train(task, training, state, keys, ran, strings[0] if strings else None)
        ran += task.check
        recent = np.concatenate([recent, found], axis=1)[:, -max(task.recent, 1) :]
        if task.grows and training != "modern":
            before, error = error, totals(found)[1]
            state = grow(state, error > STILL * before)
        passed = judged(task, training, state.params, keys, ran, recent, strings)
        for name, yes in passed.items():
            after[name] = [n or (ran if y else 0) for n, y in zip(after[name], yes, strict=True)]
        ends = [n == ran or ran >= limit for n in after[task.stages[-1].name]]
        if any(ends):
            last = zip(*totals(score(task, training, state.params, keys, 0, TESTED)), strict=True)
            final = [old or (new if end else None) for old, new, end in zip(final, last, ends, strict=True)]
    wrong, error = zip(*final, strict=True)
    return {"after": after, "wrong": [int(n) for n in wrong], "error": [round(float(e), 5) for e in error], "ran": ran}


def judged(task: Task, training: str, params, keys, ran: int, recent, strings) -> dict[str, list[bool]]:
    """Return which seeds pass each stage after `ran` sequences."""
    if strings:
        return passed(task, np.concatenate([score_on(task, training, params, part) for part in strings], axis=1))
    if task.recent:
        found = recent if recent.shape[1] == task.recent else np.full_like(recent, np.inf)
        return passed(task, found)
    found = score(task, training, params, keys, ran, CHUNK)
    if task.fresh > CHUNK and any(map(any, passed(task, found).values())):
        found = score(task, training, params, keys, ran, task.fresh)
    return passed(task, found)


def network(task: Task, training: str) -> tuple[jaxrnn.Cell, jaxrnn.Readout]:
    """Return the cell and the read-out."""
    n = task.blocks * task.size
    readout = jaxrnn.Readout(n + task.direct * task.inputs, task.outputs)
    if training == "modern":
        return jaxrnn.LSTM(task.inputs, n), readout
    if task.grows:
        return AddedCell(task.inputs), readout
    return LSTM1997(task.inputs, task.blocks, task.size), readout


def make_optimizer(task: Task, training: str) -> optax.GradientTransformation:
    """Return SGD, or Adam after clipping; steps that are not finite are skipped."""
    steps = optax.sgd(task.rate)
    if training == "modern":
        steps = optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(1e-2))
    return optax.apply_if_finite(steps, 2**31 - 1)


def start(task: Task, training: str, key) -> State:
    """Draw the parameters."""
    cell, readout = network(task, training)
    cell_key, out_key, key = jax.random.split(key, 3)
    of_cell, of_readout = cell.init(cell_key), readout.init(out_key)
    if training == "modern":
        n, bias = task.blocks * task.size, log(task.lag)
        of_cell = of_cell._replace(b=of_cell.b.at[:n].set(-bias).at[n : 2 * n].set(bias))
    else:
        leaves, structure = jax.tree.flatten((of_cell, of_readout))
        keys = jax.random.split(key, len(leaves))
        uniform = [task.spread * jax.random.uniform(k, a.shape, minval=-1) for k, a in zip(keys, leaves, strict=True)]
        of_cell, of_readout = structure.unflatten(uniform)
        b, gates = of_cell.b, task.blocks
        b = b.at[:gates].set(task.input_gates or b[:gates])
        if task.output_gates:
            b = b.at[gates : 2 * gates].set(task.output_gates)
        of_cell = of_cell._replace(b=b, **({"there": jnp.zeros(())} if task.grows else {}))
    params = of_cell, of_readout
    return State(params, make_optimizer(task, training).init(params))


def grow(state: State, still: np.ndarray) -> State:
    """Add the cell of the seeds whose error has stopped falling."""
    of_cell, of_readout = state.params
    return state._replace(params=(of_cell._replace(there=jnp.maximum(of_cell.there, still)), of_readout))


def logits(task: Task, training: str, params, xs):
    """Return o of every step."""
    cell, _ = network(task, training)
    params = held(task, training, params)
    return read_out(task, training, params, jaxrnn.unroll_bptt(cell, params[0], xs)[1], xs)


def read_out(task: Task, training: str, params, ys, xs):
    """Return o of the cells' outputs, and of the inputs where they are connected."""
    _, readout = network(task, training)
    return readout.apply(params[1], jnp.concatenate([ys, xs], axis=-1) if task.direct else ys)


def held(task: Task, training: str, params):
    """Return the parameters with 0 for the biases that there were not in 1997."""
    if training == "modern":
        return params
    of_cell, of_readout = params
    gates, cells, outputs = (units in task.biases for units in ("gates", "cells", "outputs"))
    there = np.repeat([gates, cells], np.array([1 if task.grows else 2, task.size]) * task.blocks)
    return of_cell._replace(b=of_cell.b * there), of_readout._replace(c=of_readout.c * outputs)


@partial(jax.jit, static_argnums=(0, 1))
def train(task: Task, training: str, state: State, keys, ran, strings):
    """Train every seed until the next judgement, on its strings if there are any; judge each before its update."""
    batch, optimizer = BATCHES[training], make_optimizer(task, training)

    def loss(params, sequences):
        o = logits(task, training, params, sequences.xs)
        if training == "modern":
            value = jaxrnn.bernoulli(o, sequences.targets, mask=sequences.trained)
        else:
            value = jnp.sum((outputs(task, o) - sequences.targets) ** 2 * sequences.trained[..., None]) / 2
        return value, judge(task, sequences, o)

    def one_seed(state, key, strings):
        draw = source(task, batch, strings)

        def update(state, n):
            if task.every_step and training != "modern":
                sequences = draw(jax.random.fold_in(key, n))
                params, o = learn_every_step(task, training, state.params, sequences)
                return State(params, state.optimizer), judge(task, sequences, o)
            gradient, found = jax.grad(loss, has_aux=True)(state.params, draw(jax.random.fold_in(key, n)))
            updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
            return State(optax.apply_updates(state.params, updates), optimizer_state), found

        state, found = jax.lax.scan(update, state, ran + jnp.arange(0, task.check, batch))
        return state, found.reshape(task.check, 2)

    return jax.vmap(one_seed)(state, keys, strings)


def learn_every_step(task: Task, training: str, params, sequences: Sequences):
    """Update after every step of the sequences; return the parameters and the o of every step, before its update."""
    cell, _ = network(task, training)
    algorithm = RTRL(cell)

    def step(state, at_t):
        (params, online), (x, target, trained) = state, at_t

        def loss(out, y):
            o = read_out(task, training, (params[0], out), y, x)
            return jnp.sum((outputs(task, o) - target) ** 2 * trained[..., None]) / 2, o

        of_cell, of_readout = held(task, training, params)
        online, done = algorithm.step(of_cell, online, x, lambda y: loss(of_readout, y)[0])
        of_outputs, o = jax.grad(loss, has_aux=True)(of_readout, done.y)
        gradient = held(task, training, (done.gradient, of_outputs))
        params = jax.tree.map(lambda p, g: p - task.rate * g, params, gradient)
        return (params, online), o

    start = algorithm.init(params[0], sequences.xs[0])
    (params, _), o = jax.lax.scan(step, (params, start), (sequences.xs, sequences.targets, sequences.trained))
    return params, o


def source(task: Task, batch: int, strings: Sequences | None) -> Callable[..., Sequences]:
    """Return the function that draws a batch: new sequences, or some of the strings."""
    if strings is None:
        return lambda key: task.problem(key, batch)
    return lambda key: rows(strings, jax.random.randint(key, (batch,), 0, task.strings))


def rows(sequences: Sequences, which) -> Sequences:
    """Return some of the sequences."""
    return jax.tree.map(lambda a: a[:, which], sequences)


@partial(jax.jit, static_argnums=0)
def fixed_sets(task: Task, keys) -> tuple[Sequences, Sequences]:
    """Return the strings of each seed's training, and as many others to test it, none of which the first contain."""

    def one_seed(key):
        first, second = jax.random.split(jax.random.fold_in(key, 2**31 - 1))
        known, others = task.problem(first, task.strings), task.problem(second, 8 * task.strings)
        a, b = (s.xs.argmax(axis=-1).astype(jnp.int8).T for s in (known, others))
        seen = jax.lax.map(lambda string: (string == a).all(axis=-1).any(), b)
        return known, rows(others, jnp.argsort(seen)[: task.strings])

    return jax.vmap(one_seed)(keys)


def score(task: Task, training: str, params, keys, ran: int, count: int) -> np.ndarray:
    """Judge each seed by `count` fresh sequences: `[seeds, sequences, 2]`."""
    fresh = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, 2**31 - 2), ran))(keys)
    parts = [jax.vmap(partial(jax.random.fold_in, data=n))(fresh) for n in range(count // CHUNK)]
    return np.concatenate([score_part(task, training, params, part) for part in parts], axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def score_part(task: Task, training: str, params, keys):
    """Judge each seed by 256 sequences."""
    return score_on(task, training, params, jax.vmap(partial(task.problem, batch=CHUNK))(keys))


@partial(jax.jit, static_argnums=(0, 1))
def score_on(task: Task, training: str, params, sequences: Sequences):
    """Judge each seed by its sequences."""
    return jax.vmap(lambda p, s: judge(task, s, logits(task, training, p, s.xs)))(params, sequences)
