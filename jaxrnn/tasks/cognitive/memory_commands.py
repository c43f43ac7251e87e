"""Memory and time on the command line: flip-flop, delayed-match, working-memory, ready-set-go, sine-wave.

The options of a task are fields; its methods are the functions of `jaxrnn.tasks.cognitive.training`.

References: Sussillo & Barak 2013; Romo et al. 1999; Jazayeri & Shadlen 2010; chapter 3.1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import jax
import numpy as np

from jaxrnn.core.types import Key
from jaxrnn.tasks.cognitive import training as shared
from jaxrnn.tasks.cognitive.comparisons import delayed_match, working_memory
from jaxrnn.tasks.cognitive.patterns_in_time import flip_flop, produced_intervals, ready_set_go, sine_wave
from jaxrnn.tasks.cognitive.pictures import draw_psychometric
from jaxrnn.tasks.cognitive.trials import Trials
from jaxrnn.tasks.data import check_count


@jax.tree_util.register_static
@dataclass(frozen=True)
class FlipFlop:
    """Learn to remember the sign of the last pulse of every channel.

    >>> FlipFlop(batch=8).units()
    8
    """

    bits: int = 3
    """The number of channels."""
    length: int = 100
    """The number of steps of a trial."""
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
    sorted_by: ClassVar[str] = "state"
    training: ClassVar[dict] = shared.TRAINING

    load, describe, model = shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def __post_init__(self):
        check_count(bits=self.bits, length=self.length)
        shared.check_options(self)

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return flip_flop(key, trials, bits=self.bits, time=self.length)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        asked = np.asarray(trials.targets)[-1]
        curves = {f"bit {k}": (asked[:, k], outputs[-1, :, k]) for k in range(self.bits)}
        draw_psychometric(file, curves, title="answers at the end", x="last pulse", y="output")


@jax.tree_util.register_static
@dataclass(frozen=True)
class DelayedMatch:
    """Learn to say whether a stimulus is the one that was shown before a delay.

    >>> DelayedMatch(batch=8).units()
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
        return delayed_match(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        match = np.asarray(trials.conditions["choice"]) > 0
        groups = {"match": ("delay", match), "other": ("delay", ~match)}
        shared.draw_choices(file, outputs, trials, groups, x="delay, ms")


@jax.tree_util.register_static
@dataclass(frozen=True)
class WorkingMemory:
    """Learn to compare two frequencies, a delay apart.

    >>> WorkingMemory(batch=8).units()
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
    sorted_by: ClassVar[str] = "first"
    training: ClassVar[dict] = shared.TRAINING | {"steps": 2000}

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return working_memory(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        higher = np.asarray(trials.conditions["choice"]) > 0
        groups = {"first higher": ("first", higher), "second higher": ("first", ~higher)}
        shared.draw_choices(file, outputs, trials, groups, x="first frequency, Hz")


@jax.tree_util.register_static
@dataclass(frozen=True)
class ReadySetGo:
    """Learn to produce an interval that was measured before.

    >>> ReadySetGo(batch=8).units()
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
    sorted_by: ClassVar[str] = "interval"
    training: ClassVar[dict] = shared.TRAINING | {"steps": 2000}

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return ready_set_go(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        produced = np.asarray(produced_intervals(outputs, trials, shared.DT))
        asked = np.asarray(trials.conditions["interval"])
        curves = {"produced": (asked, produced), "asked": (asked, asked)}
        draw_psychometric(file, curves, title="intervals", x="asked, ms", y="produced, ms")


@jax.tree_util.register_static
@dataclass(frozen=True)
class SineWave:
    """Learn to oscillate with the frequency that a constant input names.

    >>> SineWave(batch=8).units()
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
    sorted_by: ClassVar[str] = "frequency"
    training: ClassVar[dict] = shared.TRAINING | {"steps": 2000}

    __post_init__, load, describe, model = shared.check_options, shared.load, shared.describe, shared.model
    carry, units, batch_at, loss = shared.carry, shared.units, shared.batch_at, shared.loss
    metrics, evaluate, illustrate = shared.metrics, shared.evaluate, shared.illustrate

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        return sine_wave(key, trials, dt=shared.DT)

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers."""
        error = np.sqrt(np.mean((outputs - np.asarray(trials.targets)) ** 2, axis=(0, 2)))
        curves = {"": (trials.conditions["frequency"], error)}
        draw_psychometric(file, curves, title="errors", x="frequency, Hz", y="root mean square error")
