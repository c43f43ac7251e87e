"""Reversed letters, which a C of fixed size cannot hold: chapter 4.1, item 5.

    "badge"  →  "egdab"

Every letter matters and none follows from another, so C must hold log₂(letters) bits for each, for any length of the
text.  The longest texts are twice as long as any in training.

References: Cho, van Merriënboer, Bahdanau & Bengio 2014, "On the properties of neural machine translation" (quality
falls with length when C is fixed); Bahdanau, Cho & Bengio 2015, §5.2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np

from jaxrnn.seq2seq.encoder_decoder import Seq2Seq, Seq2SeqParams
from jaxrnn.tasks.data import check_count
from jaxrnn.tasks.translation import translation as shared
from jaxrnn.tasks.translation.sequence_pairs import END, Pairs

LETTERS = "abcdefghijklmnopqrstuvwxyz"
HELD_OUT, EACH = 500, 200
"""The number of texts to measure, over all lengths and for each."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Reverse:
    """Learn to write letters backwards.

    >>> Reverse(batch=8).units()
    8
    """

    attention: shared.Score = "location"
    """The attention to the letters; "none" leaves one vector."""
    longest: int = 20
    """The largest length in training; lengths up to twice that are measured too."""
    hidden: int = 128
    """Units of encoder and decoder."""
    embedding: int = 32
    """Size of an embedded letter."""
    batch: int = 64
    """Texts in an update."""

    unit: ClassVar[str] = "texts"
    score: ClassVar[str] = "nats"
    training: ClassVar[dict] = {"steps": 600, "learning_rate": 4e-3, "every": 200}

    carry, units, loss, metrics = shared.carry, shared.units, shared.loss, shared.metrics

    def __post_init__(self):
        check_count(longest=self.longest, hidden=self.hidden, embedding=self.embedding, batch=self.batch)

    def load(self) -> tuple[None, dict]:
        """Load nothing: the texts are drawn."""
        return None, {"letters": LETTERS}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"letters backwards: lengths 1 to {self.longest}, measured up to {2 * self.longest}"

    def model(self, facts: dict) -> Seq2Seq:
        """Build the model: letters to letters."""
        sizes = {"hidden": self.hidden, "embedding": self.embedding}
        return shared.translator(len(LETTERS), len(LETTERS), attention=self.attention, **sizes)

    def batch_at(self, data: None, seed: int, step: int) -> Pairs:
        """Draw random letters, every length equally often."""
        rng = np.random.default_rng([seed, step])
        return backwards(rng, rng.integers(1, self.longest + 1, self.batch), self.longest)

    def evaluate(self, model: Seq2Seq, params: Seq2SeqParams, data: None) -> dict[str, float]:
        """Return the loss, and the fraction that is exactly right, at the lengths of training and at longer ones."""
        rng = np.random.default_rng(2**32)  # a seed that no run may have
        learned = backwards(rng, rng.integers(1, self.longest + 1, HELD_OUT), self.longest)
        longer = backwards(rng, rng.integers(self.longest + 1, 2 * self.longest + 1, HELD_OUT), 2 * self.longest)
        exact_longer = float(shared.exact(model, params, longer).mean())
        return {**shared.measure(model, params, learned), "exact_match_longer": exact_longer}

    def by_length(self, model: Seq2Seq, params: Seq2SeqParams) -> dict[int, float]:
        """Return the fraction of exact answers for lengths up to twice the longest in training."""
        rng, step = np.random.default_rng(2**32 + 1), max(self.longest // 5, 1)
        lengths = range(step, 2 * self.longest + 1, step)
        made = backwards(rng, np.repeat(lengths, EACH), 2 * self.longest)
        right = shared.exact(model, params, made).reshape(-1, EACH).mean(axis=1)
        return dict(zip(lengths, right.tolist(), strict=True))

    def translate(self, facts: dict, params: Seq2SeqParams, text: str, *, beam: int = 1) -> shared.Translation:
        """Translate a text of lowercase letters, of any length.

        Raises:
          InputError: an empty text, or anything but lowercase letters.
        """
        symbols = {"source_symbols": LETTERS, "target_symbols": LETTERS}
        return shared.translate(self.model(facts), params, text, bound=2 * self.longest + 1, beam=beam, **symbols)

    def illustrate(self, model: Seq2Seq, params: Seq2SeqParams, data: None, folder: Path) -> dict[str, Path]:
        """Draw the fraction of exact answers at each length, in lengths.png."""
        draw_lengths(folder / "lengths.png", {self.attention: self.by_length(model, params)}, self.longest)
        return {"lengths": folder / "lengths.png"}


def backwards(rng: np.random.Generator, lengths: np.ndarray, time: int) -> Pairs:
    """Draw random letters of these lengths and return them with their reverse, `[time, n]` and `[time + 1, n]`.

    Args:
      rng: draws the letters.
      lengths: `[n]`.
      time: the number of steps of the arrays; at least the greatest length.

    Returns:
      The pairs.

    >>> made = backwards(np.random.default_rng(0), np.array([3, 1]), time=4)
    >>> made.target[:3, 0].tolist() == (made.source[2::-1, 0] + 1).tolist(), made.target[3:, 0].tolist()
    (True, [0, 0])
    """
    letters = rng.integers(len(LETTERS), size=(time, len(lengths)), dtype=np.int32)
    steps = np.arange(time + 1)[:, None]
    reverse = np.take_along_axis(letters, np.maximum(lengths - 1 - steps, 0), axis=0) + 1
    return Pairs(
        np.where(steps[:-1] < lengths, letters, 0),
        lengths.astype(np.int32),
        np.where(steps < lengths, reverse, END).astype(np.int32),
        lengths.astype(np.int32) + 1,
    )


def draw_lengths(file: Path, curves: dict[str, dict[int, float]], learned: int) -> None:
    """Draw the fraction of exact answers over the length, one curve per name; shade the lengths beyond training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for name, shares in curves.items():
        axes.plot(list(shares), list(shares.values()), "o-", markersize=4, label=f"attention: {name}")
    axes.axvspan(learned, 2 * learned, color="0.93", label="longer than any learned from")
    axes.set(xlabel="length", ylabel="right to the last letter", ylim=(-0.03, 1.03), xlim=(0, 2 * learned))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="png")
