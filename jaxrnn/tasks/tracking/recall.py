"""Recall: the value that was paired with a key, or the symbols that appeared among blanks.

    L = −(1/n) Σ over the questions, log P(answer | everything shown)

Associative recall shows `pairs` pairs of a key and a value, and then asks for every key once.  Tests with more pairs
than in training measure how much a state can hold.  Selective copying shows eight symbols among blanks.

References: Arora et al. 2024; Gu & Dao 2023, §4.1; Beck et al. 2024, §4.1; Goodfellow et al. 2016, §10.12.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.tasks.tracking import training as shared
from jaxrnn.tasks.tracking.figures import draw_accuracy
from jaxrnn.tasks.tracking.problems import Problem, Questions
from jaxrnn.tasks.tracking.recall_problems import associative_recall, selective_copying
from jaxrnn.tasks.tracking.tagger import Tagger, TaggerParams

ITEMS, SYMBOLS = 8, 8


@jax.tree_util.register_static
@dataclass(frozen=True)
class Recall:
    """Learn to recall what was shown.

    >>> Recall(batch=8).units()
    8
    """

    problem: Literal["associative", "selective-copying"] = "associative"
    """The value paired with a key, or the symbols among blanks."""
    cell: shared.TrackingCell = "deltanet"
    """The recurrent cell."""
    pairs: int = 8
    """Pairs that are shown in training; in selective copying, the number of blanks."""
    vocabulary: int = 64
    """Keys and values together, half of each."""
    hidden: int = 64
    """Units of the cell."""
    batch: int = 32
    """Sequences in an update."""

    unit: ClassVar[str] = "sequences"
    score: ClassVar[str] = "nats"
    conv: ClassVar[int | None] = 4
    training: ClassVar[dict] = {"steps": 2000, "learning_rate": 5e-3, "every": 1000}

    load, model, carry, units = shared.load, shared.model, shared.carry, shared.units
    loss, metrics = shared.loss, shared.metrics

    def __post_init__(self):
        check_count(pairs=self.pairs, hidden=self.hidden, batch=self.batch)
        shared.check_hidden(self.hidden)
        if self.problem == "associative" and self.pairs > self.vocabulary // 2:
            raise InputError(
                f"--pairs must be at most --vocabulary / 2 = {self.vocabulary // 2}, because no key is shown twice, "
                f"got {self.pairs}."
            )

    def questions(self) -> Problem:
        """Return the problem."""
        return (
            associative_recall(self.vocabulary) if self.problem == "associative" else selective_copying(ITEMS, SYMBOLS)
        )

    def time(self, pairs: int) -> int:
        """Return the number of steps for a number of pairs, or of blanks."""
        return 3 * pairs if self.problem == "associative" else pairs + 2 * ITEMS

    def tested(self) -> tuple[int, ...]:
        """Return the numbers of pairs, or blanks, of the tests: from a half to eight times those of training."""
        numbers = {max(1, self.pairs // 2), self.pairs, 2 * self.pairs, 4 * self.pairs, 8 * self.pairs}
        return tuple(sorted(n for n in numbers if self.problem != "associative" or n <= self.vocabulary // 2))

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        if self.problem == "associative":
            return f"associative recall: {self.pairs} pairs of {self.vocabulary // 2} keys and as many values"
        return f"selective copying: {ITEMS} symbols among {self.pairs} blanks"

    def batch_at(self, data: None, seed: int, step: int) -> Questions:
        """Draw sequences of the size of training."""
        return shared.drawn(self, seed, step, self.time(self.pairs), self.batch)

    def evaluate(self, model: Tagger, params: TaggerParams, data: None) -> dict[str, float]:
        """Return the loss and the accuracy at the size of training, and the accuracy at other sizes."""
        metrics = {}
        for n in self.tested():
            questions = shared.drawn(self, None, n, self.time(n), shared.TEST_ROWS)
            nats, accuracy = map(float, _score(model, params, questions))
            metrics |= {"nats": nats, "accuracy": accuracy} if n == self.pairs else {f"accuracy_at_{n}": accuracy}
        return metrics

    def illustrate(self, model: Tagger, params: TaggerParams, data: None, folder: Path) -> dict[str, Path]:
        """Draw accuracy against the number of pairs, or of blanks."""
        metrics, numbers = self.evaluate(model, params, data), np.array(self.tested())
        accuracies = [metrics["accuracy" if n == self.pairs else f"accuracy_at_{n}"] for n in numbers]
        file, unit = folder / "accuracy.png", "pairs" if self.problem == "associative" else "blanks"
        curves = {self.cell: (numbers, np.array(accuracies))}
        draw_accuracy(file, curves, self.pairs, 1 / model.classes, self.describe({}).split(":")[0], unit)
        return {"accuracy": file}


@partial(jax.jit, static_argnums=0)
def _score(model: Tagger, params: TaggerParams, questions: Questions) -> tuple[Array, Array]:
    right = model.answers(params, questions.tokens) == questions.targets
    return shared.tagging_loss(model, params, questions), jnp.mean(right, where=questions.asked)
