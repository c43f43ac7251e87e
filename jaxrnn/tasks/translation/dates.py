"""Dates in five written languages → ISO: chapter 4.1.

    "3 février 2019", "Sonntag, 3. Februar 2019", "feb 3, 2019"  →  "2019-02-03"

babel writes the dates in three forms of each language, in lower case.  The held-out days occur in no language of the
training set.

References: Bahdanau, Cho & Bengio 2015; the Unicode CLDR, whose formats babel carries.
"""

import datetime
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import numpy as np

from jaxrnn.seq2seq.attending import Attending
from jaxrnn.seq2seq.encoder_decoder import Seq2Seq, Seq2SeqParams
from jaxrnn.tasks.data import check_count, optional
from jaxrnn.tasks.translation import translation as shared
from jaxrnn.tasks.translation.sequence_pairs import Pairs, pairs

LANGUAGES = ("en", "fr", "de", "es", "ru")
FORMS = ("full", "long", "medium")
TARGETS = "-0123456789"
FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
BOUND = len("2019-02-03") + 1
EXAMPLES, HELD_OUT = 20_000, 2_000


class Data(NamedTuple):
    """Two sets of pairs that share no day."""

    train: Pairs
    held_out: Pairs
    shown: tuple[str, ...]
    """One held-out text per language."""
    alphabet: str
    """The characters of both sets."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dates:
    """Learn to write dates in ISO format.

    >>> Dates(batch=8).units()
    8
    """

    attention: shared.Score = "additive"
    """The attention to the text; "none" leaves one vector."""
    hidden: int = 128
    """Units of encoder and decoder."""
    embedding: int = 32
    """Size of an embedded character."""
    batch: int = 64
    """Dates in an update."""

    unit: ClassVar[str] = "dates"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 500, "learning_rate": 4e-3, "every": 100}

    carry, units, loss, metrics = shared.carry, shared.units, shared.loss, shared.metrics

    def __post_init__(self):
        check_count(hidden=self.hidden, embedding=self.embedding, batch=self.batch)

    def load(self) -> tuple[Data, dict]:
        """Load 20,000 dates for training and 2,000 held out.

        Raises:
          InputError: babel is not installed.
        """
        data, digest = written()
        return data, {"alphabet": data.alphabet, "sha256": digest}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        languages = ", ".join(LANGUAGES)
        return f"dates from {FIRST.year} to {LAST.year} in {languages}: {EXAMPLES:,}, and {HELD_OUT:,} held out"

    def model(self, facts: dict) -> Seq2Seq:
        """Build the model: characters to characters."""
        sizes = {"hidden": self.hidden, "embedding": self.embedding}
        return shared.translator(len(facts["alphabet"]), len(TARGETS), attention=self.attention, **sizes)

    def batch_at(self, data: Data, seed: int, step: int) -> Pairs:
        """Draw dates from the training set."""
        rng = np.random.default_rng([seed, step])
        return data.train.take(rng.integers(EXAMPLES, size=self.batch))

    def evaluate(self, model: Seq2Seq, params: Seq2SeqParams, data: Data) -> dict[str, float]:
        """Return the loss, and the fraction of days that are exactly right."""
        return shared.measure(model, params, data.held_out)

    def translate(self, facts: dict, params: Seq2SeqParams, text: str, *, beam: int = 1) -> shared.Translation:
        """Translate a date of any of the languages.

        Raises:
          InputError: an empty text, or characters that occur in no date.
        """
        symbols = {"source_symbols": facts["alphabet"], "target_symbols": TARGETS}
        return shared.translate(self.model(facts), params, plain(text), bound=BOUND, beam=beam, **symbols)

    def illustrate(self, model: Seq2Seq, params: Seq2SeqParams, data: Data, folder: Path) -> dict[str, Path]:
        """Draw the alignment of a held-out date of each language, in alignment.png."""
        if not isinstance(model.decoder.cell, Attending):
            return {}
        shown = [self.translate({"alphabet": data.alphabet}, params, text) for text in data.shown]
        shared.draw_alignments(folder / "alignment.png", shown)
        return {"alignment": folder / "alignment.png"}


@functools.cache
def written() -> tuple[Data, str]:
    """Return the two sets and the SHA-256 of their texts, which depend only on the version of babel.

    Raises:
      InputError: babel is not installed.
    """
    babel = optional("babel.dates", "babel")
    rng, days = np.random.default_rng(0), (LAST - FIRST).days + 1
    days = rng.permutation(days)[: EXAMPLES + HELD_OUT]
    languages, forms = rng.integers(len(LANGUAGES), size=len(days)), rng.integers(len(FORMS), size=len(days))
    dates = [FIRST + datetime.timedelta(days=int(day)) for day in days]
    texts = [
        plain(babel.format_date(date, FORMS[form], locale=LANGUAGES[language]))
        for date, language, form in zip(dates, languages, forms, strict=True)
    ]
    alphabet, longest = "".join(sorted(set("".join(texts)))), max(map(len, texts))
    answers = [date.isoformat() for date in dates]
    made = pairs(texts, answers, source_symbols=alphabet, target_symbols=TARGETS, source_time=longest, bound=BOUND)
    index = np.arange(len(texts))
    shown = [index[(languages == k) & (forms == 0) & (index >= EXAMPLES)][0] for k in range(len(LANGUAGES))]
    data = Data(made.take(index[:EXAMPLES]), made.take(index[EXAMPLES:]), tuple(texts[i] for i in shown), alphabet)
    return data, hashlib.sha256("\n".join(texts).encode()).hexdigest()


def plain(text: str) -> str:
    r"""Return the text in lower case, with single spaces of one kind.

    >>> plain(" 3\u202fFévrier  2019")
    '3 février 2019'
    """
    return " ".join(text.lower().split())
