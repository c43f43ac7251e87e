"""The problems of Hochreiter & Schmidhuber 1997, §5, as pure functions of a key.

    problem(key, batch) -> Sequences

Tasks 1 and 2 ask for the next symbol, tasks 3 to 6 for one answer at the end of a sequence, whose length is random.
The answers are scaled to [0, 1], for logistic outputs.  `problems.py` has the later forms of adding and temporal order,
with a fixed length.

Reference: Hochreiter & Schmidhuber 1997, §5.1 to 5.6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

REBER = "BTSXPVE"
LONGEST_STRING, MOST_ADDED = 50, 100


class Sequences(NamedTuple):
    """A batch of sequences with the answers to train on, and those by which a network is judged."""

    xs: Float[Array, "time batch inputs"]
    """The inputs; after the end of a sequence they mean nothing."""
    targets: Float[Array, "time batch outputs"]
    """What to train on where `trained` is True."""
    trained: Bool[Array, "time batch"]
    """True at the steps with a target."""
    truth: Float[Array, "time batch outputs"]
    """The targets without noise; in the Reber grammar 1 for each symbol that may follow."""
    judged: Bool[Array, "time batch"]
    """True at the steps whose outputs have to be right."""


def _grammar() -> tuple[np.ndarray, np.ndarray]:
    """Return the two symbols that may follow each state of the embedded grammar, and the states they lead to."""
    inner = {  # the states of the Reber grammar: (symbol, next state), twice
        0: "B1 B1", 1: "T2 P3", 2: "S2 X4", 3: "T3 V5", 4: "X3 S6", 5: "P4 V6", 6: "E7 E7"
    }  # fmt: skip
    rows = [[("B", 1), ("B", 1)], [("T", 2), ("P", 10)]]
    for outer, first in (("T", 2), ("P", 10)):
        rows += [[(arc[0], first + int(arc[1])) for arc in inner[state].split()] for state in range(7)]
        rows += [[(outer, 18), (outer, 18)]]
    rows += [[("E", 19), ("E", 19)], [("E", 19), ("E", 19)]]  # state 19: the string has ended
    arcs = [[(REBER.index(symbol), state) for symbol, state in row] for row in rows]
    return np.array(arcs)[..., 0], np.array(arcs)[..., 1]


def embedded_reber(key, batch: int) -> Sequences:
    """Draw strings of the embedded Reber grammar, 9 symbols or more; predict the next symbol at each step (task 1)."""
    symbols, states = map(jnp.asarray, _grammar())

    def walk(state, which):
        symbol = symbols[state, which]
        possible = jax.nn.one_hot(symbols[state], 7).max(axis=-2)
        return states[state, which], (symbol, possible, state < 19)

    coins = jax.random.randint(key, (LONGEST_STRING + 1, batch), 0, 2)
    _, (symbol, possible, within) = jax.lax.scan(walk, jnp.zeros(batch, int), coins)
    read = jax.nn.one_hot(symbol, 7)
    return Sequences(read[:-1], read[1:], within[1:], possible[1:], within[1:])


def long_lag(key, batch: int, *, symbols: int, regular: bool) -> Sequences:
    """Draw x or y, p − 1 other symbols, and x or y again; predict the next symbol at each step (tasks 2a and 2b).

    Args:
      key: for the sequences.
      batch: their number.
      symbols: p; there are p + 1 symbols, the last two are x and y.
      regular: True for the other symbols in their order (2a: there are two sequences); False for random ones (2b), of
        which the last step alone can be right.
    """
    ends, others = jax.random.split(key)
    end = jax.random.randint(ends, (1, batch), symbols - 1, symbols + 1)
    between = jnp.broadcast_to(jnp.arange(symbols - 1)[:, None], (symbols - 1, batch))
    if not regular:
        between = jax.random.randint(others, (symbols - 1, batch), 0, symbols - 1)
    string = jax.nn.one_hot(jnp.concatenate([end, between, end]), symbols + 1)
    every = jnp.ones((symbols, batch), bool)
    judged = every if regular else every.at[:-1].set(False)
    return Sequences(string[:-1], string[1:], every, string[1:], judged)


def very_long_lag(key, batch: int, *, symbols: int, lag: int) -> Sequences:
    """Draw b, x or y, at least q of p distractors, and e; name the second symbol after e (task 2c).

    After q distractors another one follows with probability 9/10, at most 100 times.

    Args:
      key: for the sequences.
      batch: their number.
      symbols: p, the number of distractors there are.
      lag: q.
    """
    which, others, more = jax.random.split(key, 3)
    answer = jax.random.randint(which, (batch,), 0, 2)
    added = jnp.floor(jnp.log(jax.random.uniform(more, (batch,), minval=1e-30)) / jnp.log(0.9))
    ends = 2 + lag + jnp.minimum(added, MOST_ADDED).astype(int)
    time = 3 + lag + MOST_ADDED
    string = jax.random.randint(others, (time, batch), 0, symbols)
    string = string.at[0].set(symbols + 1).at[1].set(symbols + 2 + answer).at[ends, jnp.arange(batch)].set(symbols)
    return _asked_at(ends, jax.nn.one_hot(string, symbols + 4), jax.nn.one_hot(answer, 2))


def two_sequences(key, batch: int, *, length: int, informative: int, noise: str) -> Sequences:
    """Draw N elements of ±1, then noise of variance 0.2, in [T, 1.1 T] steps; tell the sign (task 3).

    Args:
      key: for the sequences.
      batch: their number.
      length: T.
      informative: N.
      noise: "after" the informative elements alone (3a, targets 1 and 0); "everywhere" (3b); "targets", where the
        targets are 0.2 and 0.8 with noise of variance 0.1 (3c).
    """
    signs, lengths, values, wrong = jax.random.split(key, 4)
    positive = jax.random.bernoulli(signs, 0.5, (batch,))
    time = length + length // 10
    xs = jnp.sqrt(0.2) * jax.random.normal(values, (time, batch))
    sign = jnp.where(positive, 1.0, -1.0)
    xs = xs.at[:informative].set(sign + xs[:informative] if noise == "everywhere" else sign)
    ends = jax.random.randint(lengths, (batch,), length, time + 1) - 1
    truth = jnp.where(positive, 0.2, 0.8) if noise == "targets" else positive.astype(float)
    sequences = _asked_at(ends, xs[..., None], truth[:, None])
    if noise != "targets":
        return sequences
    shift = jnp.sqrt(0.1) * jax.random.normal(wrong, (batch, 1))
    return sequences._replace(targets=sequences.truth + shift)


def marked_numbers(key, batch: int, *, length: int, product: bool) -> Sequences:
    """Draw numbers and mark one of the first ten and one of the first T/2; answer X₁ + X₂ or X₁ X₂ (tasks 4 and 5).

    The markers are 1, and −1 at the first and the last of [T, 1.1 T] steps.

    Args:
      key: for the sequences.
      batch: their number.
      length: T.
      product: False for numbers from [−1, 1] and the answer ½ + (X₁ + X₂)/4, where X₁ is 0 if the first step is
        marked; True for numbers from [0, 1] and the answer X₁ X₂, where X₁ is then 1.
    """
    numbers, first, second, lengths = jax.random.split(key, 4)
    time, rows = length + length // 10, jnp.arange(batch)
    values = jax.random.uniform(numbers, (time, batch), minval=0.0 if product else -1.0)
    one = jax.random.randint(first, (batch,), 0, 10)
    two = jax.random.randint(second, (batch,), 0, length // 2 - 1)
    two = two + (two >= one)  # among those not marked yet
    ends = jax.random.randint(lengths, (batch,), length, time + 1) - 1
    marks = jnp.zeros((time, batch)).at[one, rows].set(1).at[two, rows].set(1)
    marks = marks.at[0].set(-1).at[ends, rows].set(-1)
    marked = [jnp.where(at == 0, 1.0 if product else 0.0, values[at, rows]) for at in (one, two)]
    answer = marked[0] * marked[1] if product else 0.5 + (marked[0] + marked[1]) / 4
    return _asked_at(ends, jnp.stack([values, marks], axis=-1), answer[:, None])


WINDOWS = {2: ((10, 20), (50, 60)), 3: ((10, 20), (33, 43), (66, 76))}
"""Where the letters of temporal order are: of two, and of three."""


def order(key, batch: int, *, letters: int) -> Sequences:
    """Draw E, one of four symbols at each step but X or Y at two or three of them, and B; name the class (task 6).

    Args:
      key: for the sequences, of 100 to 110 symbols.
      batch: their number.
      letters: 2, with 4 classes (6a), or 3, with 8 (6b).
    """
    lengths, noise, which, *places = jax.random.split(key, 3 + letters)
    ends = jax.random.randint(lengths, (batch,), 100, 111) - 1
    drawn = jax.random.randint(which, (letters, batch), 0, 2)
    at = jnp.stack(
        [jax.random.randint(k, (batch,), a, b + 1) for k, (a, b) in zip(places, WINDOWS[letters], strict=True)]
    )
    rows = jnp.arange(batch)
    string = jax.random.randint(noise, (110, batch), 2, 6)
    string = string.at[0].set(0).at[ends, rows].set(1).at[at, rows].set(6 + drawn)
    classes = sum(2**n * drawn[n] for n in range(letters))
    return _asked_at(ends, jax.nn.one_hot(string, 8), jax.nn.one_hot(classes, 2**letters))


def _asked_at(ends, xs, answers) -> Sequences:
    """Return sequences with one answer, at the step `ends` of each."""
    at_end = jnp.arange(len(xs))[:, None] == ends
    targets = jnp.broadcast_to(answers, (len(xs), *answers.shape))
    return Sequences(xs, targets, at_end, targets, at_end)
