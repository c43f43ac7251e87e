"""Problems that ask for the state that a sequence has led to, as pure functions of a key.

    words               the product of all elements of a group so far
    even pairs          whether the number of ab and ba so far is even, that is, whether the last letter is the first
    cycle navigation    the place of a walker on a ring of five places, after steps of −1, 0 and +1
    modular arithmetic  the value of an expression of +, − and × so far, modulo 5, × before + and −

The last three, and parity, are the regular problems of the Chomsky-hierarchy benchmark.  The benchmark asks only at the
end; here the model answers at every step for the prefix so far, so one sequence tests all lengths up to its own.

References: Delétang et al. 2023, "Neural networks and the Chomsky hierarchy", §4 and appendix A; Merrill, Petty &
Sabharwal 2024, §5; Goodfellow et al. 2016, §10.7.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrnn.core.types import Key
from jaxrnn.tasks.tracking.groups import multiplication_table, products

PLACES = MODULUS = 5


class Questions(NamedTuple):
    """A batch of sequences, with an answer at each step that is asked.

    >>> Questions._fields
    ('tokens', 'targets', 'asked')
    """

    tokens: Int[Array, "time rows"]
    targets: Int[Array, "time rows"]
    """The answers; 0 where nothing is asked."""
    asked: Bool[Array, "time rows"]


class Problem(NamedTuple):
    """A problem: the numbers of tokens and of answers, and how a batch is drawn.

    >>> words("s3").tokens, words("s3").classes
    (6, 6)
    """

    tokens: int
    classes: int
    draw: Callable[[Key, int, int], Questions]
    """Draws a batch: (key, time, rows) → `Questions`."""


def words(group: str) -> Problem:
    """Build the word problem of a group.

    Args:
      group: one of `GROUPS`: "parity", "s3", "s4", "a5" or "s5".

    Returns:
      The problem; its tokens and its answers are the elements.

    Raises:
      ValueError: there is no such group.

    >>> questions = words("parity").draw(jax.random.key(0), 8, 1)
    >>> bool((questions.targets == questions.tokens.cumsum(0) % 2).all())
    True

    References: Merrill, Petty & Sabharwal 2024, §5.
    """
    table = multiplication_table(group)

    def draw(key: Key, time: int, rows: int) -> Questions:
        tokens = _integers(key, (time, rows), len(table))
        return _asked_always(tokens, products(table, tokens))

    return Problem(len(table), len(table), draw)


def even_pairs() -> Problem:
    """Build even pairs: tell whether the number of changes between two letters so far is even.

    Returns:
      The problem; answer 1 is "even".

    >>> questions = even_pairs().draw(jax.random.key(0), 8, 3)
    >>> bool((questions.targets == (questions.tokens == questions.tokens[0])).all())
    True

    References: Delétang et al. 2023, appendix A.
    """

    def draw(key: Key, time: int, rows: int) -> Questions:
        tokens = _integers(key, (time, rows), 2)
        return _asked_always(tokens, (tokens == tokens[:1]).astype(tokens.dtype))

    return Problem(2, 2, draw)


def cycle_navigation() -> Problem:
    """Build cycle navigation: the place on a ring of five after steps of 0, +1 and −1 (tokens 0, 1 and 2).

    Returns:
      The problem.

    >>> questions = cycle_navigation().draw(jax.random.key(0), 8, 3)
    >>> steps = jnp.array([0, 1, -1])[questions.tokens]
    >>> bool((questions.targets == steps.cumsum(0) % 5).all())
    True

    References: Delétang et al. 2023, appendix A.
    """

    def draw(key: Key, time: int, rows: int) -> Questions:
        tokens = _integers(key, (time, rows), 3)
        steps = jnp.where(tokens == 2, -1, tokens)
        return _asked_always(tokens, jnp.cumsum(steps, axis=0, dtype=jnp.int32) % PLACES)

    return Problem(3, PLACES, draw)


def modular_arithmetic() -> Problem:
    """Build modular arithmetic without brackets: alternating numbers (tokens 0 to 4) and +, −, × (tokens 5, 6, 7).

    Returns:
      The problem; it asks for the value of the expression so far at every number.

    >>> questions = modular_arithmetic().draw(jax.random.key(0), 5, 1)
    >>> questions.asked[:, 0].tolist()
    [True, False, True, False, True]

    References: Delétang et al. 2023, appendix A.
    """

    def draw(key: Key, time: int, rows: int) -> Questions:
        numbers, signs = (
            _integers(k, (time, rows), n) for k, n in zip(jax.random.split(key), (MODULUS, 3), strict=True)
        )
        is_number = jnp.arange(time)[:, None] % 2 == 0
        tokens = jnp.where(is_number, numbers, MODULUS + signs)
        asked = jnp.broadcast_to(is_number, tokens.shape)
        return Questions(tokens, jnp.where(asked, _values(tokens), 0), asked)

    return Problem(MODULUS + 3, MODULUS, draw)


def _values(tokens: Int[Array, "time rows"]) -> Int[Array, "time rows"]:
    """Return the value of the expression so far: the sum of the complete terms plus the current term."""

    def step(state, token):
        total, term, sign = state
        times = term * token % MODULUS
        signed = jnp.where(sign == MODULUS + 1, -token, token)
        is_number, goes_on = token < MODULUS, sign == MODULUS + 2
        total = jnp.where(is_number & ~goes_on, (total + term) % MODULUS, total)
        term = jnp.where(is_number, jnp.where(goes_on, times, signed), term)
        return (total, term, jnp.where(is_number, sign, token)), (total + term) % MODULUS

    zeros = jnp.zeros(tokens.shape[1:], tokens.dtype)
    return jax.lax.scan(step, (zeros, zeros, zeros + MODULUS), tokens)[1]


def _integers(key: Key, shape: tuple[int, ...], count: int) -> Array:
    return jax.random.randint(key, shape, 0, count, jnp.int32)


def _asked_always(tokens: Array, targets: Array) -> Questions:
    return Questions(tokens, targets, jnp.ones(tokens.shape, bool))
