"""The encoder-decoders of benchmarks.reproduce.sequence_to_sequence: their data, their training, their scores.

None of the problems is that of the papers, WMT'14.  "copy" asks for the letters of the source, 1 to 20 random ones;
"numbers" and "dates" are the translation tasks of the library: words to digits, dates of five languages to ISO.

Adam after clipping at 1; the rate rises for a twentieth of the updates, then falls by a cosine.  A whole training is
one program.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.generation.symbol_model import SymbolModel
from jaxrnn.seq2seq import Seq2Seq
from jaxrnn.tasks.translation import END, LETTERS, backwards, dates, numbers
from jaxrnn.tasks.translation.sequence_pairs import Pairs
from jaxrnn.tasks.translation.translation import answers, translator

HIDDEN, EMBEDDING, BATCH, RATE = 64, 32, 64, 5e-3
LONGEST = 20
"""The greatest length in the training on copy."""
TESTED, EACH = range(2, 2 * LONGEST + 1, 2), 100
"""The lengths of the tests, and the sequences of each."""
HELD_OUT, EVERY = 1_000, 100
"""The pairs of a measurement, and the updates between two of them."""


class Problem(NamedTuple):
    """Pairs to train on, others to measure, and the numbers of symbols of source and target, the end not counted."""

    train: Pairs
    held_out: Pairs
    symbols: tuple[int, int]


class Scores(NamedTuple):
    """The scores of held-out pairs, given the true symbols before each.

    An answer of which every likeliest symbol is right is also what `greedy` writes.
    """

    nats: jax.Array
    """The cross-entropy of a target symbol."""
    symbols: jax.Array
    """The share of target symbols whose likeliest one is right."""
    answers: jax.Array
    """The share of answers that are right to the last symbol and end there."""


def problem_of(name: str, updates: int, seed: int) -> Problem:
    """Return the pairs of "copy", "numbers" or "dates"; for copy, as many to train on as the updates see."""
    if name == "copy":
        counts = (updates * BATCH, HELD_OUT)
        train, held_out = (_some(np.random.default_rng([seed, k]), n) for k, n in enumerate(counts))
        return Problem(train, held_out, (len(LETTERS), len(LETTERS)))
    if name == "numbers":
        data, symbols = numbers.spelled()[0], (len(numbers.WORDS), len(numbers.DIGITS))
    else:
        data = dates.written()[0]
        symbols = len(data.alphabet), len(dates.TARGETS)
    return Problem(data.train, data.held_out.take(np.arange(HELD_OUT)), symbols)


def _some(rng: np.random.Generator, count: int) -> Pairs:
    """Return pairs of copy of random lengths."""
    return copies(rng, rng.integers(1, LONGEST + 1, count), LONGEST)


def copies(rng: np.random.Generator, lengths: np.ndarray, time: int) -> Pairs:
    """Draw random letters of these lengths, `[n]`, and return them with themselves."""
    return source_reversed(backwards(rng, lengths, time))


def source_reversed(pairs: Pairs) -> Pairs:
    """Return the pairs with the symbols of each source in the opposite order; the padding stays behind them."""
    steps = np.arange(len(pairs.source))[:, None]
    at = np.where(steps < pairs.source_lengths, pairs.source_lengths - 1 - steps, steps)
    return pairs._replace(source=np.take_along_axis(pairs.source, at, axis=0))


def without_attention(symbols: tuple[int, int]) -> Seq2Seq:
    """Return the model of Sutskever et al. 2014, with one layer: an LSTM whose last state starts another."""
    source, target = symbols
    decoder = SymbolModel(jaxrnn.LSTM(EMBEDDING, HIDDEN), target + 1, EMBEDDING, HIDDEN)
    return Seq2Seq(jaxrnn.LSTM(EMBEDDING, HIDDEN), decoder, source, EMBEDDING, "initial state")


def trained_on_order(name: str, in_order: bool, updates: int, seed: int) -> dict:
    """Train on sources in order or reversed and return the learning curves of `Scores`."""
    problem = problem_of(name, updates, seed)
    sets = [pairs if in_order else source_reversed(pairs) for pairs in problem[:2]]
    curves = train(without_attention(problem.symbols), updates, *map(on_device, sets), jax.random.key(seed))[1]
    return {name: rounded(curve) for name, curve in curves._asdict().items()}


def trained_on_length(attention: str, updates: int, seed: int, hidden: int) -> dict:
    """Train on copy up to `LONGEST` letters and return the share of right symbols and of right answers by length."""
    problem = problem_of("copy", updates, seed)
    model = translator(*problem.symbols, hidden=hidden, embedding=EMBEDDING, attention=attention)
    params, curves = train(model, updates, *map(on_device, problem[:2]), jax.random.key(seed))
    symbols, whole = by_length(model, params)
    return {"nats": rounded(curves.nats), "symbols": symbols, "answers": whole}


def by_length(model: Seq2Seq, params) -> tuple[list[float], list[float]]:
    """Return the share of letters in their places, and of right answers, of what `greedy` writes, for each length."""
    test = copies(np.random.default_rng(2**32), np.repeat(TESTED, EACH), max(TESTED))
    made = jax.device_get(answers(model, params, test.source, test.source_lengths, bound=len(test.target)))
    asked = np.arange(len(test.target))[:, None] < test.source_lengths
    right = asked & (made.symbols == test.target)
    whole = (right == asked).all(axis=0) & (made.lengths == test.target_lengths) & made.stopped
    symbols = right.sum(axis=0) / test.source_lengths
    return tuple(rounded(share.reshape(-1, EACH).mean(axis=1)) for share in (symbols, whole))


def rounded(values: jax.Array | np.ndarray) -> list[float]:
    """Return values to four decimals, as JSON takes them."""
    return np.round(np.asarray(values, np.float64), 4).tolist()


@partial(jax.jit, static_argnums=(0, 1))
def train(model: Seq2Seq, updates: int, pairs: Pairs, held_out: Pairs, key: jax.Array):
    """Return the parameters after a number of updates, and `Scores` after every hundred of them."""
    init_key, key = jax.random.split(key)
    optimizer, params = make_optimizer(updates), model.init(init_key)

    def update(pair, key):
        (params, state), at = pair, jax.random.randint(key, (BATCH,), 0, pairs.source.shape[1])
        batch = jax.tree.map(lambda array: array[..., at], pairs)
        gradient = jax.grad(lambda params: scores(model, params, batch).nats)(params)
        changes, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, changes), state), None

    def hundred(pair, keys):
        pair, _ = jax.lax.scan(update, pair, keys)
        return pair, scores(model, pair[0], held_out)

    keys = jax.random.split(key, (updates // EVERY, EVERY))
    (params, _), curves = jax.lax.scan(hundred, (params, optimizer.init(params)), keys)
    return params, curves


def make_optimizer(updates: int) -> optax.GradientTransformation:
    """Return Adam after clipping; its rate rises for a twentieth of the updates, then falls by a cosine."""
    rate = optax.warmup_cosine_decay_schedule(0.0, RATE, updates // 20, updates, 0.05 * RATE)
    return optax.chain(jaxrnn.training.clip_by_norm(1.0), optax.adam(rate))


def scores(model: Seq2Seq, params, pairs: Pairs) -> Scores:
    """Return the scores of some pairs."""
    encoded = model.encode(params, pairs.source, pairs.source_lengths)
    logits = model.apply(params, encoded, pairs.target, pairs.target_lengths, start=END)
    mask = mask_from_lengths(pairs.target_lengths, len(pairs.target))
    right = mask & (logits.argmax(-1) == pairs.target)
    nats = jaxrnn.cross_entropy(logits, pairs.target, mask=mask)
    return Scores(nats, right.sum() / mask.sum(), (right == mask).all(axis=0).mean())


def on_device(pairs: Pairs) -> Pairs:
    """Return the pairs as arrays of JAX."""
    return Pairs(*map(jnp.asarray, pairs))
