"""Continuing a chaotic series, the Mackey-Glass equation, after Jaeger's GMD report 148: chapter 六.

    dy/dt = 0.2 y(t − τ) / (1 + y(t − τ)¹⁰) − 0.1 y(t)

in Euler steps of 1/10, of which every tenth is kept, as tanh(y − 1).  A reservoir reads its own previous output.  Its
read-out is solved on the true series, and then the network runs on its own outputs.  The score is the error after 84
steps in units of the standard deviation of the series:

    NRMSE₈₄ = √(mean of (y(T + 84) − ŷ(T + 84))² / σ²)

An update fits the read-out to a batch of series, continues each for 84 steps, and moves the parameters of the reservoir
along the gradient of log NRMSE₈₄ through both.  This does not need float64; `benchmarks/reproduce/reservoirs.py`
measures what float64 gains.

References: Mackey & Glass 1977; Jaeger 2001, "The echo state approach" (GMD report 148), §6; Jaeger & Haas 2004.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.types import Key
from jaxrnn.reservoirs.reservoir import Reservoir, ReservoirParams
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.tasks.reservoirs.solved import TRAINING, Solved, check_reservoir, draw_series, nrmse

HORIZON = 84
"""The number of steps to continue."""
FITTED, WASHOUT, ROWS = 3000, 1000, 50
"""The number of the report's series that train the read-out, and of held-out series that are continued."""
SUBSTEPS = 10
"""Euler steps in one unit of time."""


class Data(NamedTuple):
    """Series as tanh(y − 1), `[time, rows, 1]` in float32."""

    train: np.ndarray
    held_out: np.ndarray


@functools.lru_cache(maxsize=4)
def mackey_glass_series(steps: int, rows: int, seed: int = 0, tau: int = 17, transient: int = 1000) -> np.ndarray:
    """Solve the Mackey-Glass equation after a transient, from different initial values.

    Args:
      steps: the number of units of time.
      rows: the number of series.
      seed: the seed of the initial values.
      tau: the delay.
      transient: the number of units of time to discard first.

    Returns:
      y, `[steps, rows]`.

    >>> mackey_glass_series(5, 2).shape
    (5, 2)
    """
    lag, total = tau * SUBSTEPS, (steps + transient) * SUBSTEPS
    y = np.empty((lag + 1 + total, rows))
    y[: lag + 1] = 1.2 + 0.2 * (np.random.default_rng(seed).random(rows) - 0.5)
    for t in range(lag, lag + total):
        late = y[t - lag]
        y[t + 1] = y[t] + (0.2 * late / (1 + late**10) - 0.1 * y[t]) / SUBSTEPS
    return y[lag + 1 + transient * SUBSTEPS :: SUBSTEPS]


@jax.tree_util.register_static
@dataclass(frozen=True)
class MackeyGlass:
    """Learn to continue a chaotic series; the read-out is solved, the reservoir trained through the solution.

    >>> MackeyGlass(batch=8).units()
    8
    """

    hidden: int = 200
    """Units of the reservoir."""
    connections: int = 5
    """The number of inputs of each unit from other units."""
    penalty: float = 1e-9
    """The penalty of the read-out's squared weights."""
    tau: int = 17
    """The delay of the equation, which is chaotic from 17 on."""
    length: int = 600
    """The number of steps to fit the read-out to."""
    washout: int = 100
    """The number of steps at the start that are not fitted."""
    batch: int = 16
    """Series in an update."""

    unit: ClassVar[str] = "series"
    score: ClassVar[str] = "log10_nrmse84"
    training: ClassVar[dict] = TRAINING

    def __post_init__(self):
        check_reservoir(self)
        if not 1 <= self.tau <= 1000:
            raise InputError(f"--tau must lie in 1 … 1000, got {self.tau}.")
        if self.length > FITTED:
            raise InputError(f"--length must be at most {FITTED}, got {self.length}.")
        check_count(batch=self.batch)

    def load(self) -> tuple[Data, dict]:
        """Load two sets of series from different beginnings."""
        ys = np.tanh(mackey_glass_series(FITTED + HORIZON, 2 * ROWS, tau=self.tau) - 1)[:, :, None].astype(np.float32)
        return Data(ys[:, :ROWS], ys[:, ROWS:]), {"tau": self.tau, "series": ROWS, "steps": len(ys)}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"Mackey-Glass with τ = {facts['tau']}: {facts['series']} series of {facts['steps']}, as many held out"

    def model(self, facts: dict) -> Solved:
        """Build the model: the report's leaky reservoir: C = 0.44, a = 0.9, a spectral radius of 0.79."""
        cell = Reservoir(
            1,
            self.hidden,
            self.connections,
            radius=0.79,
            input_scaling=0.56,
            bias_scaling=0.028,
            retention=1 - 0.44 * 0.9,
            gain=0.44,
        )
        return Solved(cell, self.penalty, feedback=True)

    def carry(self, model: Solved, params: ReservoirParams) -> None:
        """Return None, because each batch is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of series in a batch."""
        return self.batch

    def batch_at(self, data: Data, seed: int, step: int) -> np.ndarray:
        """Draw pieces of the series, from anywhere: `[length + 84, batch, 1]`."""
        rng = np.random.default_rng([seed, step])
        size = self.length + HORIZON
        starts = rng.integers(0, len(data.train) - size + 1, self.batch)
        rows = rng.integers(0, data.train.shape[1], self.batch)
        return data.train[starts + np.arange(size)[:, None], rows]

    def loss(self, model: Solved, params: ReservoirParams, carry: None, batch, key: Key):
        """Return log NRMSE₈₄ after the fitted steps."""
        nothing = jnp.zeros((*batch.shape[:-1], 0))
        before, after = batch[: self.length], batch[self.length :]
        last, fitted = model.fit(params, nothing[: self.length], before, self.washout)
        _, os = model.esn.apply(fitted, nothing[self.length :], last)
        return jnp.log(nrmse(_series(os[-1]), _series(after[-1]), jnp.std(_series(batch)))), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the logarithm to base 10, as Jaeger & Haas give it."""
        return {"log10_nrmse84": float(loss / np.log(10))}

    def evaluate(self, model: Solved, params: ReservoirParams, data: Data) -> dict[str, float]:
        """Follow the report's protocol: fit one series of 3000 steps, then continue 50 others."""
        os, truth, std = continued(model, params, data)
        error = float(nrmse(_series(os[-1]), _series(truth[-1]), std))
        return {"log10_nrmse84": float(np.log10(error)), "nrmse84": error, "spectral_radius": float(params.radius)}

    def illustrate(self, model: Solved, params: ReservoirParams, data: Data, folder: Path) -> dict[str, Path]:
        """Draw three held-out series and how the network continues them."""
        os, truth, _ = continued(model, params, data)
        shown = (np.asarray(_series(a[:, :3, 0])) for a in (os, truth))
        lines = {"said": "the network on its own", "true": "the series"}
        draw_series(folder / "continued.png", *shown, **lines, xlabel="steps behind the last one that it was told")
        return {"picture": folder / "continued.png"}


@functools.partial(jax.jit, static_argnums=0)
def continued(model: Solved, params: ReservoirParams, data: Data) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the continuation of the last 84 steps of every held-out series, those steps, and σ of y."""
    train, held_out = jnp.asarray(data.train), jnp.asarray(data.held_out)
    _, fitted = model.fit(params, jnp.zeros((FITTED, 1, 0)), train[:FITTED, :1], WASHOUT)
    before, truth = held_out[-HORIZON - WASHOUT : -HORIZON], held_out[-HORIZON:]
    nothing = jnp.zeros((WASHOUT, before.shape[1], 0))
    carry, _ = model.esn.states(fitted, nothing, before)
    return model.esn.apply(fitted, nothing[:HORIZON], carry)[1], truth, jnp.std(_series(held_out))


def _series(value):
    """Return y from tanh(y − 1)."""
    return jnp.arctanh(jnp.clip(value, -0.999, 0.999)) + 1
