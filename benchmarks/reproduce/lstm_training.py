"""Training of the tasks of Hochreiter & Schmidhuber 1997, until their criteria of success, all seeds side by side.

Two trainings of the paper's numbers of cells, with logistic outputs y = σ(o):

    "as in 1997"   the LSTM of `lstm_of_1997`, ½ Σ (y − target)², one step of SGD after each sequence; where every step
                   has a target (tasks 1, 2a, 2b), after each step, by the gradients of real-time recurrent learning
    "modern"       `jaxrnn.LSTM` with forget gates, the Bernoulli loss, Adam at 1e-2 after clipping at 1, batches of 8;
                   the forget gates start at log T, the input gates at −log T, for a lag of T

A criterion is judged by the most recent sequences of the
training, before each update (tasks 4 to 6), or by fresh ones after every thousand (tasks 1 to 3).

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
from benchmarks.reproduce.lstm_criteria import CHUNK, Task, judge, passed, totals
from benchmarks.reproduce.lstm_of_1997 import LSTM1997
from benchmarks.reproduce.lstm_problems import Sequences
from jaxrnn.online import RTRL

BATCHES = {"as in 1997": 1, "modern": 8}
TESTED, CHECK = 2560, 1024
"""The sequences of the last test; of the training between two judgements."""


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
    recent, ran = np.ones((len(seeds), 0, 2)), 0
    while ran < limit and None in final:
        state, found = train(task, training, state, keys, ran)
        ran += CHECK
        recent = np.concatenate([recent, found], axis=1)[:, -max(task.recent, 1) :]
        passed = judged(task, training, state.params, keys, ran, recent)
        for name, yes in passed.items():
            after[name] = [n or (ran if y else 0) for n, y in zip(after[name], yes, strict=True)]
        ends = [n == ran or ran >= limit for n in after[task.stages[-1].name]]
        if any(ends):
            last = zip(*totals(score(task, training, state.params, keys, 0, TESTED)), strict=True)
            final = [old or (new if end else None) for old, new, end in zip(final, last, ends, strict=True)]
    wrong, error = zip(*final, strict=True)
    return {"after": after, "wrong": [int(n) for n in wrong], "error": [round(float(e), 5) for e in error], "ran": ran}


def judged(task: Task, training: str, params, keys, ran: int, recent: np.ndarray) -> dict[str, list[bool]]:
    """Return which seeds pass each stage after `ran` sequences."""
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
        of_inputs, of_outputs, of_cells = jnp.split(of_cell.b, (task.blocks, 2 * task.blocks))
        gates = [
            jnp.array(b) if b else drawn
            for b, drawn in ((task.input_gates, of_inputs), (task.output_gates, of_outputs))
        ]
        of_cell = of_cell._replace(b=jnp.concatenate([*gates, of_cells]))
    params = of_cell, of_readout
    return State(params, make_optimizer(task, training).init(params))


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
    there = np.repeat([gates, cells], np.array([2, task.size]) * task.blocks)
    return of_cell._replace(b=of_cell.b * there), of_readout._replace(c=of_readout.c * outputs)


@partial(jax.jit, static_argnums=(0, 1))
def train(task: Task, training: str, state: State, keys, ran):
    """Train every seed on about a thousand sequences; judge each before its update."""
    batch, optimizer = BATCHES[training], make_optimizer(task, training)

    def loss(params, sequences):
        o = logits(task, training, params, sequences.xs)
        if training == "modern":
            value = jaxrnn.bernoulli(o, sequences.targets, mask=sequences.trained)
        else:
            value = jnp.sum((jax.nn.sigmoid(o) - sequences.targets) ** 2 * sequences.trained[..., None]) / 2
        return value, judge(task, sequences, o)

    def one_seed(state, key):
        draw = source(task, key, batch)

        def update(state, n):
            if task.every_step and training != "modern":
                sequences = draw(jax.random.fold_in(key, n))
                params, o = learn_every_step(task, training, state.params, sequences)
                return State(params, state.optimizer), judge(task, sequences, o)
            gradient, found = jax.grad(loss, has_aux=True)(state.params, draw(jax.random.fold_in(key, n)))
            updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
            return State(optax.apply_updates(state.params, updates), optimizer_state), found

        state, found = jax.lax.scan(update, state, ran + jnp.arange(0, CHECK, batch))
        return state, found.reshape(CHECK, 2)

    return jax.vmap(one_seed)(state, keys)


def learn_every_step(task: Task, training: str, params, sequences: Sequences):
    """Update after every step of the sequences; return the parameters and the o of every step, before its update."""
    cell, _ = network(task, training)
    algorithm = RTRL(cell)

    def step(state, at_t):
        (params, online), (x, target, trained) = state, at_t

        def loss(out, y):
            o = read_out(task, training, (params[0], out), y, x)
            return jnp.sum((jax.nn.sigmoid(o) - target) ** 2 * trained[..., None]) / 2, o

        of_cell, of_readout = held(task, training, params)
        online, done = algorithm.step(of_cell, online, x, lambda y: loss(of_readout, y)[0])
        of_outputs, o = jax.grad(loss, has_aux=True)(of_readout, done.y)
        gradient = held(task, training, (done.gradient, of_outputs))
        params = jax.tree.map(lambda p, g: p - task.rate * g, params, gradient)
        return (params, online), o

    start = algorithm.init(params[0], sequences.xs[0])
    (params, _), o = jax.lax.scan(step, (params, start), (sequences.xs, sequences.targets, sequences.trained))
    return params, o


def source(task: Task, key, batch: int) -> Callable[..., Sequences]:
    """Return the function that draws a batch: new sequences, or some of the fixed set."""
    if not task.strings:
        return lambda key: task.problem(key, batch)
    strings = task.problem(set_key(key), task.strings)

    def draw(key):
        which = jax.random.randint(key, (batch,), 0, task.strings)
        return jax.tree.map(lambda a: a[:, which], strings)

    return draw


def set_key(key):
    """Return the key of the fixed set of a seed."""
    return jax.random.fold_in(key, 2**31 - 1)


def score(task: Task, training: str, params, keys, ran: int, count: int) -> np.ndarray:
    """Judge each seed by `count` fresh sequences, and the fixed set if there is one: `[seeds, sequences, 2]`."""
    fresh = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, 2**31 - 2), ran))(keys)
    parts = [jax.vmap(partial(jax.random.fold_in, data=n))(fresh) for n in range(count // CHUNK)]
    if task.strings:
        parts.append(jax.vmap(set_key)(keys))
    return np.concatenate([score_part(task, training, params, part) for part in parts], axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def score_part(task: Task, training: str, params, keys):
    """Judge each seed by 256 sequences."""

    def one_seed(params, key):
        sequences = task.problem(key, CHUNK)
        return judge(task, sequences, logits(task, training, params, sequences.xs))

    return jax.vmap(one_seed)(params, keys)
