"""The model, the batches and the loss that `StateTracking` and `Recall` share.

    L = −(1/n) Σ over the questions, log P(answer | everything shown so far)

No data is loaded: every sequence is drawn, that of a test from a key that no run has.

References: Merrill, Petty & Sabharwal 2024, §5; Goodfellow et al. 2016, §10.7.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.types import Carry, Key
from jaxrnn.objectives.losses import cross_entropy
from jaxrnn.tasks.data import InputError
from jaxrnn.tasks.tracking.problems import Questions
from jaxrnn.tasks.tracking.tagger import HEADS, Tagger, TaggerParams

TEST_ROWS = 32
"""The number of sequences of a test."""
TrackingCell = Literal[
    "elman",
    "lstm",
    "gru",
    "slstm",
    "min-gru",
    "lru",
    "s5",
    "mamba2",
    "mlstm",
    "deltanet",
    "deltanet-negative",
    "deltaproduct-1",
    "deltaproduct-2",
    "deltaproduct-3",
]
"""The names of `KINDS`."""


def check_hidden(hidden: int) -> None:
    """Raise InputError unless the heads can share the units."""
    if hidden % HEADS:
        raise InputError(f"--hidden must be even, because two heads share the units, got {hidden}.")


def load(task: Any) -> tuple[None, dict]:
    """Load no data: every sequence is drawn."""
    return None, {"version": 1}


def model(task: Any, facts: dict) -> Tagger:
    """Build the model: tokens, the cell, a layer, the answers."""
    problem = task.questions()
    return Tagger(task.cell, problem.tokens, problem.classes, task.hidden, task.conv)


def carry(task: Any, model: Tagger, params: TaggerParams) -> Carry:
    """Return None, because each sequence is independent of the others."""
    return None


def units(task: Any) -> int:
    """Return the number of sequences in a batch."""
    return task.batch


def loss(task: Any, model: Tagger, params: TaggerParams, carry: Carry, batch: Questions, key: Key):
    """Return −log P of the answers, in nats per question."""
    return tagging_loss(model, params, Questions(*map(jnp.asarray, batch))), carry


def metrics(task: Any, loss: float) -> dict[str, float]:
    """Return the loss under the name of its metric."""
    return {"nats": loss}


def drawn(task: Any, seed: int | None, step: int, time: int, rows: int) -> Questions:
    """Return a batch of a task as NumPy arrays; seed None is the seed of the tests."""
    key = jax.random.fold_in(jax.random.key(0 if seed is None else seed), int(seed is None))
    return jax.tree.map(np.asarray, _draw(task, jax.random.fold_in(key, step), time, rows))


@partial(jax.jit, static_argnums=(0, 2, 3))
def _draw(task: Any, key: Key, time: int, rows: int) -> Questions:
    return task.questions().draw(key, time, rows)


def tagging_loss(model: Tagger, params: TaggerParams, questions: Questions) -> Float[Array, ""]:
    """Return the mean of −log P(answer) over all questions."""
    return cross_entropy(model.logits(params, questions.tokens), questions.targets, mask=questions.asked)
