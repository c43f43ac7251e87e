"""Algorithms to be learned from examples, copying before all: chapter 8, items 3 and 4.

    L = −(1/n) Σ over the steps of the answers, log P(the bits of the answer)

A Neural Turing machine, or a plain cell to compare it with.  Lengths are drawn anew for every episode, from 1 to
`longest`; what tells whether an algorithm was learned is how it does on longer ones than it has ever seen.

A feed-forward controller is the default: what it knows of the past it must have written down, so that there is
no other way than to use the memory.  An LSTM as the controller first learns to remember a few vectors itself.

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
from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.memory.algorithms import PROBLEMS, Episode, Problem, batch, best_bits
from jaxrnn.tasks.memory.figures import draw_heads

CELLS = {"feed-forward": FeedForward, "elman": Elman, "gru": GRU, "lstm": LSTM}
HELD_OUT, HELD_OUT_SEED = 64, 2**31
"""Episodes of each test, from a seed that no run may have."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Copy:
    """Learn to copy, and other small algorithms."""

    problem: Literal["copy", "repeat-copy", "associative-recall", "n-grams", "priority-sort"] = "copy"
    """What is to be learned."""
    cell: Literal["ntm", "lstm", "gru", "elman"] = "ntm"
    """A Neural Turing machine, or a cell without a memory beside it."""
    controller: Literal["feed-forward", "lstm", "gru", "elman"] = "feed-forward"
    """What moves the heads of the Neural Turing machine."""
    hidden: int = 100
    """Units of the controller, or of the plain cell."""
    slots: int = 128
    """Vectors that the memory holds."""
    width: int = 20
    """The size of each of them."""
    heads: int = 1
    """Heads that read, and as many that write."""
    bits: int | None = None
    """Bits of a vector; None is what the problem was first tried with: 8, or 6 in associative recall."""
    longest: int | None = None
    """The most items in training; None is what the problem was first tried with: 20 in copy."""
    batch: int = 16
    """Episodes in an update."""

    unit: ClassVar[str] = "episodes"
    score: ClassVar[str] = "bits_per_step"
    training: ClassVar[dict] = {"steps": 1500, "learning_rate": 1e-3, "clip": 10.0, "every": 250}

    def __post_init__(self):
        for name in ("hidden", "slots", "width", "heads", "bits", "longest", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be an integer of at least 1, got {value}.")
        if self.cell == "ntm" and self.slots < 3:
            raise InputError(f"--slots must be at least 3, as a head moves by −1, 0 or 1 slots, got {self.slots}.")
        if self.problem_and_sizes()[1] < self.problem_and_sizes()[0].shortest:
            raise InputError(f"--longest must be at least 2 for {self.problem}, got {self.longest}.")

    def problem_and_sizes(self) -> tuple[Problem, int, tuple[int, ...]]:
        """The problem, the most items in training, and the items of the tests beyond."""
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
        """Return bits per step and the fraction of wrong bits, within the lengths of training and for each length
        beyond."""
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
        """Episodes with these numbers of items that are never trained on."""
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
    """L, and of each episode the share of the answer's bits that are wrong."""
    wrong = (model.logits(params, episodes.xs) > 0) != (episodes.targets > 0.5)
    return _loss(model, params, episodes), jnp.mean(wrong.mean(axis=-1), axis=0, where=episodes.scored)
