"""Training a reservoir whose read-out is solved: chapter 六.

The read-out is a function of the reservoir and the data, V(θ) = argmin …, so gradients train only θ: the leaks, the
spectral radius, the scalings and the weights.  The gradient passes through the solution,

    dL/dθ = ∂L/∂θ + (∂V/∂θ)ᵀ ∂L/∂V,

and θ and the data determine the read-out, which is therefore not a stored parameter.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from jaxrnn.core.types import Carry, Key
from jaxrnn.objectives.readout import Readout, ReadoutParams
from jaxrnn.patterns.feedback import FeedbackParams
from jaxrnn.reservoirs.esn import ESN
from jaxrnn.reservoirs.reservoir import Reservoir, ReservoirParams
from jaxrnn.tasks.data import InputError, check_count

TRAINING = {"steps": 60, "learning_rate": 3e-3, "warmup": 5, "every": 20, "dispatch": 5}
"""The defaults of the options of training for these tasks."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Solved:
    """An echo state network whose parameters are those of its reservoir alone, with a penalty.

    >>> model = Solved(Reservoir(1, 20), penalty=1e-6, feedback=True)
    >>> type(model.init(jax.random.key(0))).__name__
    'ReservoirParams'
    """

    cell: Reservoir
    penalty: float
    feedback: bool = False

    @property
    def esn(self) -> ESN:
        """The network, with one output."""
        return ESN(self.cell, Readout(self.cell.hidden_size, 1), self.feedback)

    def init(self, key: Key) -> ReservoirParams:
        """Draw the parameters of the reservoir."""
        return self.cell.init(key)

    def fit(self, params: ReservoirParams, xs: Array, targets: Array, washout: int) -> tuple[Carry, FeedbackParams]:
        """Return the final carry and the network with its read-out, as `ESN.fit`."""
        n, dtype = self.cell.hidden_size, params.w.dtype
        unsolved = FeedbackParams(params, ReadoutParams(jnp.zeros((n, 1), dtype), jnp.zeros(1, dtype)))
        return self.esn.fit(unsolved, xs, targets, penalty=self.penalty, washout=washout)


@jax.jit
def nrmse(os: ArrayLike, truth: ArrayLike, deviation: ArrayLike) -> Array:
    """Return √(mean of (y − o)²) / σ."""
    return jnp.sqrt(jnp.mean((jnp.asarray(os) - jnp.asarray(truth)) ** 2)) / deviation


def draw_series(file: Path, os: np.ndarray, truth: np.ndarray, *, said: str, true: str, **labels: str) -> None:
    """Draw a series and its forecast, one panel for each column of `[time, panels]`.

    Args:
      file: the PNG to write.
      os: the forecast, `[time, panels]`.
      truth: the series, `[time, panels]`.
      said: the label of the forecast.
      true: the label of the series.
      labels: `xlabel`, `ylabel`.
    """
    from matplotlib.figure import Figure  # no pyplot: no display is looked for

    panels = truth.shape[1]
    figure = Figure(figsize=(9, 1.2 + 1.8 * panels), dpi=120, layout="constrained")
    for k, axes in enumerate(np.atleast_1d(figure.subplots(panels, sharex=True))):
        axes.plot(truth[:, k], color="0.6", linewidth=3, label=true)
        axes.plot(os[:, k], color="tab:red", linewidth=1, label=said)
        axes.spines[["top", "right"]].set_visible(False)
        if k == 0:
            axes.legend(frameon=False, ncol=2, loc="upper right")
        axes.set(**(labels if k == panels - 1 else {}))
    figure.savefig(file, format="png")


@runtime_checkable
class ReservoirOptions(Protocol):
    """The options that the tasks of this folder have in common."""

    @property
    def hidden(self) -> int:
        """The number of units."""
        ...

    @property
    def connections(self) -> int:
        """The number of recurrent connections of a unit."""
        ...

    @property
    def penalty(self) -> float:
        """The ridge penalty."""
        ...

    @property
    def length(self) -> int:
        """The number of training steps."""
        ...

    @property
    def washout(self) -> int:
        """The number of first steps that the fit ignores."""
        ...


def check_reservoir(task: ReservoirOptions) -> None:
    """Raise InputError unless a reservoir of these options can be fitted."""
    check_count(hidden=task.hidden, connections=task.connections, length=task.length)
    if task.connections > task.hidden:
        raise InputError(f"--connections must be at most --hidden {task.hidden}, got {task.connections}.")
    if not 0 <= task.washout < task.length:
        raise InputError(f"--washout must lie in 0 … {task.length - 1}, below --length, got {task.washout}.")
    if not 0 < task.penalty < float("inf"):
        raise InputError(f"--penalty must be above 0, got {task.penalty}.")
