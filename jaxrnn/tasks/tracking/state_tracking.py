"""Tracking a state: words over groups, and the regular problems of the Chomsky-hierarchy benchmark.

    L = −(1/n) Σₜ log P(the state after t steps | x⁽¹⁾, …, x⁽ᵗ⁾)

The task trains on sequences of `length` steps and tests on longer ones.  A cell that is linear in its state tracks
parity only if its transitions have negative eigenvalues.  n reflections per step can track permutations of n + 1 items.
A cell with a nonlinear recurrence can track any finite state.

References: Merrill, Petty & Sabharwal 2024; Grazzi et al. 2025; Siems et al. 2025; Delétang et al. 2023; Goodfellow et
al. 2016, §10.7.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Array

from jaxrnn.tasks.data import check_count
from jaxrnn.tasks.tracking import training as shared
from jaxrnn.tasks.tracking.figures import draw_accuracy
from jaxrnn.tasks.tracking.problems import (
    Problem,
    Questions,
    cycle_navigation,
    even_pairs,
    modular_arithmetic,
    words,
)
from jaxrnn.tasks.tracking.tagger import Tagger, TaggerParams

TEST_LENGTHS = (256, 2048)
REGULAR = {
    "even-pairs": even_pairs,
    "cycle-navigation": cycle_navigation,
    "modular-arithmetic": modular_arithmetic,
}


@jax.tree_util.register_static
@dataclass(frozen=True)
class StateTracking:
    """Learn to keep track of the product of group elements, or of another state.

    >>> StateTracking(batch=8).units()
    8
    """

    problem: Literal["words", "even-pairs", "cycle-navigation", "modular-arithmetic"] = "words"
    """The state to track: the product of a word over --group, or the state of another problem."""
    group: Literal["parity", "s3", "s4", "a5", "s5"] = "parity"
    """The group of the words: permutations of two (parity), three, four or five things; a5 the even ones of five."""
    cell: shared.TrackingCell = "gru"
    """The recurrent cell; deltanet-negative is DeltaNet with eigenvalues down to −1."""
    hidden: int = 32
    """Units of the cell."""
    length: int = 40
    """Steps of a sequence in training."""
    batch: int = 32
    """Sequences in an update."""

    unit: ClassVar[str] = "sequences"
    score: ClassVar[str] = "nats"
    conv: ClassVar[int | None] = None
    training: ClassVar[dict] = {"steps": 1500, "learning_rate": 5e-3, "every": 500}

    load, model, carry, units = shared.load, shared.model, shared.carry, shared.units
    loss, metrics = shared.loss, shared.metrics

    def __post_init__(self):
        check_count(hidden=self.hidden, length=self.length, batch=self.batch)
        shared.check_hidden(self.hidden)

    def questions(self) -> Problem:
        """Return the problem."""
        return words(self.group) if self.problem == "words" else REGULAR[self.problem]()

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"{self._title()}: sequences of {self.length} steps, one of {self.questions().classes} states after each"

    def batch_at(self, data: None, seed: int, step: int) -> Questions:
        """Draw sequences of the length of training."""
        return shared.drawn(self, seed, step, self.length, self.batch)

    def evaluate(self, model: Tagger, params: TaggerParams, data: None) -> dict[str, float]:
        """Return the loss at the length of training, and the accuracy there and at 256 and 2,048 steps."""
        held_out = shared.drawn(self, None, 0, self.length, shared.TEST_ROWS)
        nats = float(_loss(model, params, held_out))
        right, asked = self._right(model, params)
        lengths = {"accuracy": self.length} | {f"accuracy_at_{n}": n for n in TEST_LENGTHS if n > self.length}
        return {"nats": nats} | {name: last_quarter(right, asked, n) for name, n in lengths.items()}

    def illustrate(self, model: Tagger, params: TaggerParams, data: None, folder: Path) -> dict[str, Path]:
        """Draw accuracy against the number of steps, to 2,048."""
        edges = np.unique(np.geomspace(1, max(TEST_LENGTHS), 40).astype(int))
        right, asked = self._right(model, params)
        counts, rights = (np.add.reduceat(a.sum(axis=1), edges[:-1] - 1) for a in (asked, right & asked))
        points = np.sqrt(edges[:-1] * edges[1:])[counts > 0], (rights / np.maximum(counts, 1))[counts > 0]
        file = folder / "accuracy.png"
        draw_accuracy(file, {self.cell: points}, self.length, 1 / model.classes, self._title(), "steps")
        return {"accuracy": file}

    def _title(self) -> str:
        if self.problem == "words":
            return "parity" if self.group == "parity" else f"words over {self.group.upper()}"
        return self.problem.replace("-", " ")

    def _right(self, model: Tagger, params: TaggerParams) -> tuple[np.ndarray, np.ndarray]:
        """Return which answers of the longest test are right, and which steps ask for one."""
        questions = shared.drawn(self, None, 1, max(self.length, *TEST_LENGTHS), shared.TEST_ROWS)
        answers = np.asarray(_answers(model, params, questions.tokens))
        return answers == np.asarray(questions.targets), np.asarray(questions.asked)


def last_quarter(right: np.ndarray, asked: np.ndarray, length: int) -> float:
    """Return the accuracy over the last quarter of the first `length` steps."""
    steps = slice(length - max(length // 4, 1), length)
    return float(np.mean(right[steps], where=asked[steps]))


_loss = jax.jit(shared.tagging_loss, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _answers(model: Tagger, params: TaggerParams, tokens: Array) -> Array:
    return model.answers(params, tokens)
