"""Number words → digits: chapter 4.1.

    "three hundred five thousand twelve"  →  "305012"

τ_x ≠ τ_y in both directions: a word may be three digits, and three words one.  Numbers go up to a billion and are
learned in up to eight words; besides other numbers of that length, numbers of nine to fourteen words are held out,
longer than any that was learned from.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import numpy as np

from jaxrnn.seq2seq.attending import Attending
from jaxrnn.seq2seq.encoder_decoder import Seq2Seq, Seq2SeqParams
from jaxrnn.tasks.data import check_count
from jaxrnn.tasks.translation import translation as shared
from jaxrnn.tasks.translation.sequence_pairs import Pairs, pairs

TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", *TEENS)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SCALES = ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
WORDS = (*ONES, *TENS, *(word for _, word in SCALES))
DIGITS = "0123456789"
LARGEST = 10**9 - 1
BOUND = len(str(LARGEST)) + 1
EXAMPLES, HELD_OUT, LEARNT, LONGEST = 20_000, 1_000, 8, 14


class Data(NamedTuple):
    """Three sets of pairs that share no number."""

    train: Pairs
    held_out: Pairs
    longer: Pairs
    shown: tuple[str, ...]
    """Some of the last two as texts."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Numbers:
    """Learn to write numbers in digits.

    >>> Numbers(batch=8).units()
    8
    """

    attention: shared.Score = "location"
    """The attention to the words; "none" leaves one vector."""
    hidden: int = 128
    """Units of encoder and decoder."""
    embedding: int = 32
    """Size of an embedded word or digit."""
    batch: int = 64
    """Numbers in an update."""

    unit: ClassVar[str] = "numbers"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 1000, "learning_rate": 4e-3, "every": 200}

    carry, units, loss, metrics = shared.carry, shared.units, shared.loss, shared.metrics

    def __post_init__(self):
        check_count(hidden=self.hidden, embedding=self.embedding, batch=self.batch)

    def load(self) -> tuple[Data, dict]:
        """Load numbers in words."""
        data, digest = spelled()
        return data, {"sha256": digest}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return (
            f"numbers up to {LARGEST:,} of up to {LEARNT} words: {EXAMPLES:,}, and {HELD_OUT:,} held out; "
            f"{HELD_OUT:,} of {LEARNT + 1} to {LONGEST} words"
        )

    def model(self, facts: dict) -> Seq2Seq:
        """Build the model: words to digits."""
        sizes = {"hidden": self.hidden, "embedding": self.embedding}
        return shared.translator(len(WORDS), len(DIGITS), attention=self.attention, **sizes)

    def batch_at(self, data: Data, seed: int, step: int) -> Pairs:
        """Draw numbers from the training set."""
        return data.train.take(np.random.default_rng([seed, step]).integers(EXAMPLES, size=self.batch))

    def evaluate(self, model: Seq2Seq, params: Seq2SeqParams, data: Data) -> dict[str, float]:
        """Return the loss, and the fraction that is exactly right, at the lengths of training and at longer ones."""
        longer = float(shared.exact(model, params, data.longer).mean())
        return {**shared.measure(model, params, data.held_out), "exact_match_longer": longer}

    def translate(self, facts: dict, params: Seq2SeqParams, text: str, *, beam: int = 1) -> shared.Translation:
        """Translate a number in words, with or without hyphens, commas and "and".

        Raises:
          InputError: an empty text, or a word that occurs in no number.
        """
        words = [word for word in text.lower().replace("-", " ").replace(",", " ").split() if word != "and"]
        symbols = {"source_symbols": WORDS, "target_symbols": DIGITS}
        return shared.translate(self.model(facts), params, words, bound=BOUND, beam=beam, **symbols)

    def illustrate(self, model: Seq2Seq, params: Seq2SeqParams, data: Data, folder: Path) -> dict[str, Path]:
        """Draw the alignments of some held-out numbers, in alignment.png."""
        if not isinstance(model.decoder.cell, Attending):
            return {}
        shared.draw_alignments(folder / "alignment.png", [self.translate({}, params, text) for text in data.shown])
        return {"alignment": folder / "alignment.png"}


def spell(number: int) -> list[str]:
    """Return the words of a number from 0 to a billion.

    >>> " ".join(spell(742_300_015))
    'seven hundred forty two million three hundred thousand fifteen'
    """
    for size, word in SCALES:
        if number >= size:
            rest = number % size
            return [*spell(number // size), word, *(spell(rest) if rest else [])]
    if number < 20:
        return [ONES[number]]
    return [TENS[number // 10 - 2], *([ONES[number % 10]] if number % 10 else [])]


@functools.cache
def spelled() -> tuple[Data, str]:
    """Return the three sets and the SHA-256 of their numbers, the same every time."""
    rng = np.random.default_rng(0)
    top = 10 ** rng.integers(1, BOUND, size=8 * EXAMPLES)  # every number of digits as often
    numbers = np.unique((rng.random(len(top)) * top).astype(int))
    short: list[int] = []
    longer: list[int] = []
    for number in map(int, rng.permutation(numbers)):
        which, size = (short, EXAMPLES + HELD_OUT) if len(spell(number)) <= LEARNT else (longer, HELD_OUT)
        if len(which) < size:
            which.append(number)
        elif len(short) == EXAMPLES + HELD_OUT and len(longer) == HELD_OUT:
            break
    sets = (short[:EXAMPLES], LEARNT), (short[EXAMPLES:], LEARNT), (longer, LONGEST)
    train, held_out, longer_ones = (_pairs(some, time) for some, time in sets)
    shown = tuple(" ".join(spell(n)) for n in (*short[-3:], longer[0]))
    return Data(train, held_out, longer_ones, shown), hashlib.sha256(repr((short, longer)).encode()).hexdigest()


def _pairs(numbers: list[int], time: int) -> Pairs:
    symbols = {"source_symbols": WORDS, "target_symbols": DIGITS}
    return pairs([spell(n) for n in numbers], [str(n) for n in numbers], source_time=time, bound=BOUND, **symbols)
