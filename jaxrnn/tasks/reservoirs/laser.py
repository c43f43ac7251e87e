"""One-step forecasts of a chaotic laser, the Santa Fe series A: chapter 六.

    x⁽ᵗ⁾, the intensity in 0 … 255   →   x⁽ᵗ⁺¹⁾

The series, 10,093 numbers measured at a far-infrared laser, comes with reservoirpy.  A reservoir reads it step by
step, and its read-out is solved.  The score is √(mean of (x − o)² / σ²) over the last fifth, which is held out.

An update fits the read-out to a piece of the series, scores it on the following steps, and moves the parameters of the
reservoir along the gradient of log NRMSE through the solution.

References: Hübner, Abraham & Weiss 1989; Weigend & Gershenfeld 1994 (the Santa Fe competition); Trouvain et al. 2020,
"ReservoirPy".
"""

import functools
import hashlib
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.core.types import Key
from jaxrnn.reservoirs.reservoir import Reservoir, ReservoirParams
from jaxrnn.tasks.data import InputError, optional
from jaxrnn.tasks.reservoirs.solved import TRAINING, Solved, check_reservoir, draw_series, nrmse

HELD_OUT = 0.2
WASHOUT = 200
AHEAD = 200
"""The number of steps after a fitted piece on which its read-out is scored."""


class Data(NamedTuple):
    """The intensities divided by 255, `[time, 1]` in float32."""

    train: np.ndarray
    held_out: np.ndarray


@jax.tree_util.register_static
@dataclass(frozen=True)
class Laser:
    """Learn to forecast the intensity of a laser; the read-out is solved, the reservoir trained through the solution.

    >>> Laser().units()
    1
    """

    hidden: int = 300
    """Units of the reservoir."""
    connections: int = 10
    """The number of inputs of each unit from other units."""
    penalty: float = 1e-6
    """The penalty of the read-out's squared weights."""
    length: int = 1500
    """The number of steps to fit the read-out to."""
    washout: int = 100
    """The number of steps at the start that are not fitted."""

    unit: ClassVar[str] = "pieces"
    score: ClassVar[str] = "nrmse"
    training: ClassVar[dict] = TRAINING

    def __post_init__(self):
        check_reservoir(self)

    def load(self) -> tuple[Data, dict]:
        """Load the series, cut where the last fifth begins.

        Raises:
          InputError: reservoirpy is not installed; the series is shorter than a piece.
        """
        series = intensities().astype(np.float32) / 255
        cut = int(len(series) * (1 - HELD_OUT))
        if cut <= self.length + AHEAD:
            raise InputError(f"--length must be below {cut - AHEAD}, got {self.length}.")
        digest = hashlib.sha256(series.tobytes()).hexdigest()
        return Data(series[:cut], series[cut:]), {"steps": len(series), "sha256": digest}

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        return f"the Santa Fe laser: {facts['steps']:,} intensities, the last fifth held out"

    def model(self, facts: dict) -> Solved:
        """Build the model: a plain reservoir."""
        return Solved(Reservoir(1, self.hidden, self.connections, radius=0.9, bias_scaling=0.5), self.penalty)

    def carry(self, model: Solved, params: ReservoirParams) -> None:
        """Return None, because each piece is independent of the others."""
        return None

    def units(self) -> int:
        """Return the number of pieces in an update."""
        return 1

    def batch_at(self, data: Data, seed: int, step: int) -> np.ndarray:
        """Draw a piece of the series, from anywhere: `[length + 201, 1]`."""
        size = self.length + AHEAD + 1
        start = np.random.default_rng([seed, step]).integers(0, len(data.train) - size + 1)
        return data.train[start : start + size]

    def loss(self, model: Solved, params: ReservoirParams, carry: None, batch, key: Key):
        """Return log NRMSE of the 200 steps after the fitted ones."""
        n = self.length
        last, fitted = model.fit(params, batch[:n], batch[1 : n + 1], self.washout)
        _, os = model.esn.apply(fitted, batch[n:-1], last)
        return jnp.log(nrmse(os, batch[n + 1 :], jnp.std(batch))), carry

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the NRMSE."""
        return {"nrmse": float(np.exp(loss))}

    def evaluate(self, model: Solved, params: ReservoirParams, data: Data) -> dict[str, float]:
        """Return the errors of one-step forecasts over the last fifth, with the read-out fitted to the rest."""
        os = foretold(model, params, data)
        error = nrmse(os, data.held_out[1:], np.std(data.held_out))
        return {"nrmse": float(error), "spectral_radius": float(params.radius)}

    def illustrate(self, model: Solved, params: ReservoirParams, data: Data, folder: Path) -> dict[str, Path]:
        """Draw some hundred held-out steps."""
        shown, lines = slice(600, 900), {"said": "foretold, one step ahead", "true": "the laser"}
        os, truth = (255 * np.asarray(a)[shown] for a in (foretold(model, params, data), data.held_out[1:]))
        draw_series(folder / "foretold.png", os, truth, **lines, xlabel="step", ylabel="intensity")
        return {"picture": folder / "foretold.png"}


def intensities() -> np.ndarray:
    """Load the measured series.

    Returns:
      `[10093, 1]`.

    Raises:
      InputError: reservoirpy is not installed.

    >>> intensities().shape
    (10093, 1)
    """
    package = optional("reservoirpy.datasets", "reservoirpy")  # whose own function leaves the file open
    with importlib.resources.files(package).joinpath("santafe_laser.npy").open("rb") as file:
        return np.load(file)


@functools.partial(jax.jit, static_argnums=0)
def foretold(model: Solved, params: ReservoirParams, data: Data) -> jax.Array:
    """Return o⁽ᵗ⁾ for every held-out step but the last, continuing from the fitted steps: `[time, 1]`."""
    whole, held_out = jnp.concatenate([data.train, data.held_out[:1]]), jnp.asarray(data.held_out)
    last, fitted = model.fit(params, whole[:-1], whole[1:], WASHOUT)
    return model.esn.apply(fitted, held_out[:-1], last)[1]
