"""Problems that ask for parts of a sequence, as pure functions of a key.

    associative recall  pairs of a key and a value, then every key once, in another order; the answer is its value
    selective copying   symbols at random places among blanks, then marks; the answers are the symbols in order

The first needs a memory with addressing by content, the second a memory that selects its inputs.

References: Arora et al. 2024, "Zoology", §3 (multi-query associative recall); Gu & Dao 2023, "Mamba", §4.1 (selective
copying); Goodfellow et al. 2016, §10.12 (explicit memory).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxrnn.core.checks import check_positive
from jaxrnn.core.types import Key
from jaxrnn.tasks.tracking.problems import Problem, Questions


def associative_recall(vocabulary: int = 256) -> Problem:
    """Build associative recall with many questions: it shows `time` // 3 pairs, and asks for each key once.

    Args:
      vocabulary: the number of keys and values, half of each; no key occurs twice.

    Returns:
      The problem; its draw raises ValueError where there are more pairs than keys.

    Raises:
      ValueError: a vocabulary below 2.

    >>> questions = associative_recall(8).draw(jax.random.key(0), 6, 1)
    >>> questions.asked[:, 0].tolist()
    [False, False, False, False, True, True]

    References: Arora et al. 2024, §3.
    """
    check_positive(vocabulary=vocabulary // 2)
    half = vocabulary // 2

    def draw(key: Key, time: int, rows: int) -> Questions:
        pairs = time // 3
        if pairs > half:
            raise ValueError(f"`time` must be at most {3 * half + 2} with {half} keys, got {time}: no key comes twice.")
        at_keys, at_values, at_order = jax.random.split(key, 3)
        keys = _some_of(at_keys, half, pairs, rows)
        values = jax.random.randint(at_values, (pairs, rows), 0, half, jnp.int32)
        order = _some_of(at_order, pairs, pairs, rows)
        shown = jnp.stack([keys, half + values], axis=1).reshape(2 * pairs, rows)
        rest = jnp.zeros(
            (time - 3 * pairs, rows), jnp.int32
        )  # behind the last question, where time is no multiple of 3
        tokens = jnp.concatenate([shown, jnp.take_along_axis(keys, order, axis=0), rest])
        targets = jnp.concatenate([jnp.zeros_like(shown), jnp.take_along_axis(values, order, axis=0), rest])
        t = np.arange(time)[:, None]
        return Questions(tokens, targets, jnp.broadcast_to((t >= 2 * pairs) & (t < 3 * pairs), tokens.shape))

    return Problem(2 * half, half, draw)


def selective_copying(items: int = 8, symbols: int = 8) -> Problem:
    """Build selective copying: `items` symbols among blanks, then as many marks that ask for them in order.

    Args:
      items: the number of symbols to remember.
      symbols: the number of different symbols.

    Returns:
      The problem; its draw raises ValueError if `time` is less than twice `items`.

    Raises:
      ValueError: a size below 1.

    >>> questions = selective_copying(items=2, symbols=4).draw(jax.random.key(0), 7, 1)
    >>> kept = questions.tokens[questions.tokens < 4]
    >>> bool((kept == questions.targets[-2:, 0]).all())
    True

    References: Gu & Dao 2023, §4.1.
    """
    check_positive(items=items, symbols=symbols)

    def draw(key: Key, time: int, rows: int) -> Questions:
        body = time - items
        if body < items:
            raise ValueError(f"`time` must be at least {2 * items} for {items} items, got {time}.")
        at_places, at_symbols = jax.random.split(key)
        places = jnp.sort(_some_of(at_places, body, items, rows), axis=0)
        kept = jax.random.randint(at_symbols, (items, rows), 0, symbols, jnp.int32)
        blanks = jnp.full((time, rows), symbols, jnp.int32).at[body:].set(symbols + 1)
        tokens = blanks.at[places, jnp.arange(rows)].set(kept)
        targets = jnp.zeros_like(tokens).at[body:].set(kept)
        return Questions(tokens, targets, jnp.broadcast_to(np.arange(time)[:, None] >= body, tokens.shape))

    return Problem(symbols + 2, symbols, draw)


def _some_of(key: Key, count: int, some: int, rows: int) -> Int[Array, "some rows"]:
    """Draw `some` distinct numbers below `count` for every row, in random order."""
    return jnp.argsort(jax.random.uniform(key, (count, rows)), axis=0)[:some].astype(jnp.int32)
