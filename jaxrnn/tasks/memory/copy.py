"""Learning algorithms from examples, copying first of all: chapter 八, items 3 and 4.

    L = −(1/n) Σ over the steps of the answers, log P(the bits of the answer)

The network is a Neural Turing machine, or a plain cell for comparison.  Lengths are drawn for every episode, from 1 to
`longest`.  Whether an algorithm was learned shows on longer episodes than any in training.

The default controller is feed-forward: it can only know the past through the memory, so it has to use the memory.  An
LSTM controller first learns to remember a few vectors itself.

References: Graves, Wayne & Danihelka 2014, §4; Collier & Beel 2018, §4.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.feed_forward import FeedForward
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.core.types import Carry, Cell, Key
from jaxrnn.memory.ntm import NTM
from jaxrnn.objectives.losses import bernoulli
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.hidden_to_hidden import ManyToMany, PatternParams
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.tasks.memory.algorithms import PROBLEMS, Episode, Problem, batch, best_bits
from jaxrnn.tasks.memory.figures import draw_heads

CELLS = {"feed-forward": FeedForward, "elman": Elman, "gru": GRU, "lstm": LSTM}
HELD_OUT, HELD_OUT_SEED = 64, 2**31
"""The number of episodes of each test, from a seed that no run can have."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Copy:
    """Learn to copy, and other small algorithms.

    >>> Copy(batch=8).units()
    8
    """

    problem: Literal["copy", "repeat-copy", "associative-recall", "n-grams", "priority-sort"] = "copy"
    """The algorithm to learn."""
    cell: Literal["ntm", "lstm", "gru", "elman"] = "ntm"
    """A Neural Turing machine, or a cell without an external memory."""
    controller: Literal["feed-forward", "lstm", "gru", "elman"] = "feed-forward"
    """The controller of the Neural Turing machine."""
    hidden: int = 100
    """Units of the controller, or of the plain cell."""
    slots: int = 128
    """The number of slots of the memory."""
    width: int = 20
    """The size of a slot."""
    heads: int = 1
    """The number of read heads, and of write heads."""
    bits: int | None = None
    """Bits per vector; None for the paper's: 8, or 6 in associative recall."""
    longest: int | None = None
    """The largest number of items in training; None for the paper's: 20 in copy."""
    batch: int = 16
    """Episodes in an update."""

    unit: ClassVar[str] = "episodes"
    score: ClassVar[str] = "bits_per_step"
    training: ClassVar[dict] = {"steps": 1500, "learning_rate": 1e-3, "clip": 10.0, "every": 250}

    def __post_init__(self):
        check_count(hidden=self.hidden, slots=self.slots, width=self.width, heads=self.heads, batch=self.batch)
        given = {"bits": self.bits, "longest": self.longest}
        check_count(**{name: count for name, count in given.items() if count is not None})
        if self.cell == "ntm" and self.slots < 3:
            raise InputError(f"--slots must be at least 3, because a head moves by −1, 0 or 1 slots, got {self.slots}.")
        if self.problem_and_sizes()[1] < self.problem_and_sizes()[0].shortest:
            raise InputError(f"--longest must be at least 2 for {self.problem}, got {self.longest}.")

    def problem_and_sizes(self) -> tuple[Problem, int, tuple[int, ...]]:
        """Return the problem, the largest number of items in training, and the numbers of items of the tests."""
        make, bits, longest, beyond = PROBLEMS[self.problem]
        longest = self.longest or longest
        return make(self.bits or bits, longest), longest, tuple(n for n in beyond if n > longest)

    def load(self) -> tuple[None, dict]:
        """Load no data: every episode is drawn."""
        return None, {"version": 1}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        problem, longest, _ = self.problem_and_sizes()
        return f"{self.problem}: episodes of {problem.shortest} to {longest} items, {problem.outputs} bits a step"

    def model(self, facts: dict) -> ManyToMany:
        """Build the model: the cell, and a read-out to bits."""
        problem, *_ = self.problem_and_sizes()
        cell, size = self._cell(problem.inputs)
        return ManyToMany(cell, Readout(size, problem.outputs), "bits")

    def _cell(self, inputs: int) -> tuple[Cell, int]:
        if self.cell != "ntm":
            return CELLS[self.cell](inputs, self.hidden), self.hidden
        controller = CELLS[self.controller](inputs + self.heads * self.width, self.hidden)
        cell = NTM(controller, inputs, self.slots, self.width, read_heads=self.heads, write_heads=self.heads)
        return cell, cell.output_size

    def carry(self, model: ManyToMany, params: PatternParams) -> Carry:
        """Return None, because each episode is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of episodes in a batch."""
        return self.batch

    def batch_at(self, data: None, seed: int, step: int) -> Episode:
        """Draw episodes of any length, padded to the longest possible."""
        problem, longest, _ = self.problem_and_sizes()
        rng = np.random.default_rng([seed, step])
        items = rng.integers(problem.shortest, longest + 1, self.batch).tolist()
        return batch(rng, problem, items, problem.time(longest))

    def loss(self, model: ManyToMany, params: PatternParams, carry: Carry, batch: Episode, key: Key):
        """Return −log P of the answers, in nats for each step of them."""
        return _loss(model, params, batch), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return L in bits; 0 is perfect."""
        return {"bits_per_step": float(loss / np.log(2))}

    def evaluate(self, model: ManyToMany, params: PatternParams, data: None) -> dict[str, float]:
        """Return bits per step and the fraction of wrong bits, for the training lengths and for each longer length."""
        problem, longest, beyond = self.problem_and_sizes()
        within = self.held_out(np.resize(np.arange(problem.shortest, longest + 1), HELD_OUT).tolist())
        loss, wrong = _score(model, params, within)
        metrics = {"bits_per_step": float(loss / np.log(2)), "bit_error": float(wrong.mean())}
        if beyond:
            _, wrong = _score(model, params, self.held_out(np.repeat(beyond, HELD_OUT // 4).tolist()))
            shares = wrong.reshape(len(beyond), -1).mean(axis=1)
            metrics |= {f"bit_error_at_{n}": float(share) for n, share in zip(beyond, shares, strict=True)}
        if self.problem == "n-grams":  # what nothing can be better than
            rows = np.concatenate([within.xs[:1], within.targets])[..., 0].T
            metrics["best_bits_per_step"] = float(np.mean([best_bits(row) for row in rows]))
        return metrics

    def held_out(self, items: list[int]) -> Episode:
        """Return held-out episodes with these numbers of items."""
        problem, *_ = self.problem_and_sizes()
        return batch(np.random.default_rng([HELD_OUT_SEED, *items]), problem, items, problem.time(max(items)))

    def illustrate(self, model: ManyToMany, params: PatternParams, data: None, folder: Path) -> dict[str, Path]:
        """Draw one of the longest episodes: targets, outputs and the weightings of the heads."""
        _, longest, _ = self.problem_and_sizes()
        episode = self.held_out([longest])
        draw_heads(folder / "heads.png", model, params, *episode, title=f"{self.problem}, {longest} items")
        return {"heads": folder / "heads.png"}


def _loss(model: ManyToMany, params: PatternParams, episodes: Episode):
    # no mask in the loop: behind an episode's end nothing is scored
    xs, targets, scored = map(jnp.asarray, episodes)
    return bernoulli(model.logits(params, xs), targets, mask=scored)


@partial(jax.jit, static_argnums=0)
def _score(model: ManyToMany, params: PatternParams, episodes: Episode) -> tuple[Array, Array]:
    """Return L, and the fraction of wrong answer bits of each episode."""
    wrong = (model.logits(params, episodes.xs) > 0) != (episodes.targets > 0.5)
    return _loss(model, params, episodes), jnp.mean(wrong.mean(axis=-1), axis=0, where=episodes.scored)
