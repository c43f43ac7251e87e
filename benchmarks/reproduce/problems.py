"""Three problems as pure functions of a key: temporal order, adding, copy.

Each returns `(xs, targets)`, xs `[time, batch, features]`.

References: Hochreiter & Schmidhuber 1997, §5.4 (adding), §5.6 task 6a (temporal order); Arjovsky, Shah & Bengio 2016,
§5.1 (copy).
"""

from functools import partial
from math import log

import jax
import jax.numpy as jnp

SYMBOLS, WORD = 8, 10
"""The number of symbols of the copy problem, and the number of them to remember."""


@partial(jax.jit, static_argnums=(1, 2))
def temporal_order(key, length: int, batch: int):
    """Draw six one-hot symbols with A or B at t in [L/10, L/5) and at t in [L/2, 3L/5); classify the pair (4)."""
    noise, first, second, which = jax.random.split(key, 4)
    tenth = length // 10
    at = jnp.stack(
        [
            jax.random.randint(first, (batch,), tenth, 2 * tenth),
            jax.random.randint(second, (batch,), 5 * tenth, 6 * tenth),
        ]
    )
    letters = jax.random.randint(which, (2, batch), 0, 2)
    symbols = jax.random.randint(noise, (length, batch), 2, 6)
    symbols = symbols.at[at, jnp.arange(batch)].set(letters)
    return jax.nn.one_hot(symbols, 6), letters[0] + 2 * letters[1]


@partial(jax.jit, static_argnums=(1, 2))
def adding(key, length: int, batch: int):
    """Draw numbers from [0, 1], one marked in each half; the target is their sum.  The constant 1 has the error 1/6."""
    numbers, first, second = jax.random.split(key, 3)
    values = jax.random.uniform(numbers, (length, batch))
    half = length // 2
    at = jnp.stack([jax.random.randint(first, (batch,), 0, half), jax.random.randint(second, (batch,), half, length)])
    rows = jnp.arange(batch)
    marks = jnp.zeros((length, batch)).at[at, rows].set(1)
    return jnp.stack([values, marks], axis=-1), values[at, rows].sum(axis=0)


@partial(jax.jit, static_argnums=(1, 2))
def copy(key, length: int, batch: int):
    """Draw ten symbols, `length` blanks with a sign as the last, ten blanks; repeat the symbols after the sign.

    Without a memory the best is 10 ln 8 / (length + 20) nats per step.
    """
    word = jax.random.randint(key, (WORD, batch), 0, SYMBOLS)
    blank = jnp.full((length + WORD, batch), SYMBOLS)
    read = jnp.concatenate([word, blank.at[length - 1].set(SYMBOLS + 1)])
    return jax.nn.one_hot(read, SYMBOLS + 2), jnp.concatenate([blank, word])


def copy_baseline(length: int) -> float:
    """Return 10 ln 8 / (T + 20).

    >>> round(copy_baseline(100), 4)
    0.1733
    """
    return WORD * log(SYMBOLS) / (length + 2 * WORD)
