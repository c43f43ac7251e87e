"""Decisions on the command line: `--task perceptual-decision`, `context-decision` and `multi-task`.

The options of a task are fields; its methods are the functions of `jaxrnn.tasks.cognitive.training`.

References: Gold & Shadlen 2007; Mante et al. 2013; Yang et al. 2019; chapter 2.1.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import jax
import numpy as np

from jaxrnn.core.types import Key
from jaxrnn.tasks.cognitive import training as shared
from jaxrnn.tasks.cognitive.decisions import RULES, context_decision, multi_task, perceptual_decision
from jaxrnn.tasks.cognitive.trials import Trials


@jax.tree_util.register_static
@dataclass(frozen=True)
class PerceptualDecision:
    """Learn to report the sign of noisy evidence.

    >>> PerceptualDecision(batch=8).units()
    8
    """

    cell: Literal["rate", "elman", "gru", "lstm"] = "rate"
    """The recurrent cell; rate is τ ẋ = −x + W φ(x) + U u + b + noise."""
    hidden: int = 64
    """The number of units."""
    excitatory: float | None = None
    """The fraction of excitatory units, for example 0.8 (Dale's principle); None lets every sign be learned."""
    noise: float = 0.05
    """The private noise of each rate unit."""
    penalty: float = 1e-3
    """The weight of the mean squared rate in the loss."""
    batch: int = 64
    """Trials in an update."""

    unit: ClassVar[str] = "trials"
    score: ClassVar[str] = "squared_error"
    sorted_by: ClassVar[str] = "coherence"
    training: ClassVar[dict] = shared.TRAINING

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return perceptual_decision(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        shared.draw_choices(file, outputs, trials, {"": ("coherence", True)}, x="coherence")


@jax.tree_util.register_static
@dataclass(frozen=True)
class ContextDecision:
    """Learn to report the sign of the evidence that a context names, and to ignore the other.

    >>> ContextDecision(batch=8).units()
    8
    """

    cell: Literal["rate", "elman", "gru", "lstm"] = "rate"
    """The recurrent cell; rate is τ ẋ = −x + W φ(x) + U u + b + noise."""
    hidden: int = 64
    """The number of units."""
    excitatory: float | None = None
    """The fraction of excitatory units, for example 0.8 (Dale's principle); None lets every sign be learned."""
    noise: float = 0.05
    """The private noise of each rate unit."""
    penalty: float = 1e-3
    """The weight of the mean squared rate in the loss."""
    batch: int = 64
    """Trials in an update."""

    unit: ClassVar[str] = "trials"
    score: ClassVar[str] = "squared_error"
    sorted_by: ClassVar[str] = "choice"
    training: ClassVar[dict] = shared.TRAINING | {"steps": 2000}

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return context_decision(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        context = np.asarray(trials.conditions["context"])
        groups = {
            f"by {modality}, context {named}": (modality, context == k)
            for k, named in enumerate(("motion", "color"))
            for modality in ("motion", "color")
        }
        shared.draw_choices(file, outputs, trials, groups, x="coherence")


@jax.tree_util.register_static
@dataclass(frozen=True)
class MultiTask:
    """Learn eight tasks that a rule input names.

    >>> MultiTask(batch=8).units()
    8
    """

    cell: Literal["rate", "elman", "gru", "lstm"] = "rate"
    """The recurrent cell; rate is τ ẋ = −x + W φ(x) + U u + b + noise."""
    hidden: int = 64
    """The number of units."""
    excitatory: float | None = None
    """The fraction of excitatory units, for example 0.8 (Dale's principle); None lets every sign be learned."""
    noise: float = 0.05
    """The private noise of each rate unit."""
    penalty: float = 1e-3
    """The weight of the mean squared rate in the loss."""
    batch: int = 64
    """Trials in an update."""

    unit: ClassVar[str] = "trials"
    score: ClassVar[str] = "squared_error"
    sorted_by: ClassVar[str] = "rule"
    training: ClassVar[dict] = shared.TRAINING | {"steps": 2000}

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return multi_task(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        rule = np.asarray(trials.conditions["rule"])
        groups = {name: ("coherence", rule == k) for k, name in enumerate(RULES)}
        shared.draw_choices(file, outputs, trials, groups, x="coherence")
