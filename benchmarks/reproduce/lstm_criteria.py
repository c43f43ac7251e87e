"""A task of Hochreiter & Schmidhuber 1997, and when it is learned.

Stages are the criteria of a task, such as ST1 and ST2 of task 3.  A sequence is wrong if an output is at a step that is
judged.

Reference: Hochreiter & Schmidhuber 1997, §5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.reproduce.lstm_problems import Sequences

CHUNK = 256
"""The sequences of one part of a test."""


class Stage(NamedTuple):
    """A criterion of success."""

    name: str
    """"ST1"."""
    wrong: int = 0
    """How many of the sequences may be wrong."""
    error: float = float("inf")
    """The bound of the mean absolute error."""


@dataclass(frozen=True, eq=False)
class Task:
    """A problem with the paper's network, training and criterion."""

    problem: Callable[..., Sequences]
    """The generator: `problem(key, batch)`."""
    inputs: int
    outputs: int
    blocks: int
    """Blocks of cells."""
    size: int
    """Cells of a block."""
    rate: float
    """The learning rate of 1997."""
    spread: float
    """Weights start in [−spread, spread]."""
    lag: int
    """About how many steps to remember something for."""
    input_gates: tuple[float, ...] = ()
    """The first biases of the input gates, block by block; () draws them like the weights."""
    output_gates: tuple[float, ...] = ()
    """The same of the output gates."""
    biases: tuple[str, ...] = ("gates", "cells", "outputs")
    """The units that had biases in 1997."""
    direct: bool = False
    """True for connections from the inputs to the outputs."""
    within: float | None = None
    """The largest absolute error of an output; None where those that may be 1 have to be the largest."""
    stages: tuple[Stage, ...] = (Stage("learned"),)
    """The criteria, in their order."""
    recent: int = 0
    """Judge by so many sequences of the training; 0: by fresh ones."""
    fresh: int = CHUNK
    """Judge by so many fresh sequences."""
    every_step: bool = False
    """In 1997, update after every step of a sequence, not after its end."""
    strings: int = 0
    """Train and judge by a fixed set of so many, and judge by as many others; 0: every sequence is new."""
    check: int = 1024
    """The sequences of the training between two judgements."""
    linear: bool = False
    """True for linear outputs in the place of logistic ones."""
    grows: bool = False
    """In 1997, add the cell, with an input gate alone, once the error has stopped falling."""


def outputs(task: Task, o):
    """Return y of the outputs' net inputs."""
    return o if task.linear else jax.nn.sigmoid(o)


def judge(task: Task, sequences: Sequences, o):
    """Return of each sequence whether it is wrong, and its mean absolute error: `[batch, 2]`."""
    y, judged = outputs(task, o), sequences.judged
    errors = jnp.abs(y - sequences.truth)
    if task.within is None:
        possible = sequences.truth == 1
        right = jnp.where(possible, y, 2).min(axis=-1) > jnp.where(possible, -1, y).max(axis=-1)
    else:
        right = (errors < task.within).all(axis=-1)
    wrong = (judged & ~right).any(axis=0)
    return jnp.stack([wrong, (errors.mean(axis=-1) * judged).sum(axis=0) / judged.sum(axis=0)], axis=-1)


def passed(task: Task, found: np.ndarray) -> dict[str, list[bool]]:
    """Return which seeds pass each stage by these sequences, `[seeds, sequences, 2]`."""
    wrong, error = totals(found)
    return {stage.name: ((wrong <= stage.wrong) & (error < stage.error)).tolist() for stage in task.stages}


def totals(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of wrong sequences and the mean error of each seed."""
    return found[..., 0].sum(axis=1), found[..., 1].mean(axis=1)
