"""The model, the loss, the measurements and the figures that the cognitive tasks of the command line share.

    L = mean of (o − y)² where the target counts + λ mean r²

The network is a gated cell, or a rate network with private noise and a fixed time constant of 100 ms in steps of 20 ms.
With `--excitatory F` the first F of its units excite and the others inhibit (Dale's principle, with rectified rates);
input weights are positive, and only excitatory units reach the read-out.

References: Song, Yang & Wang 2016; Yang, Joglekar, Song, Newsome & Wang 2019; chapter 2.1.1.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrnn.cells.continuous.rate_network import RateNetwork
from jaxrnn.cells.continuous.rate_noise import RateNoise
from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.constraints.connections import Mask, NoSelfConnections
from jaxrnn.constraints.constrained import ConstrainedNetwork, Constraints
from jaxrnn.constraints.ranges import Fixed
from jaxrnn.constraints.signs import Dale
from jaxrnn.core.noise import drawing, quiet
from jaxrnn.core.types import Key
from jaxrnn.objectives.losses import squared_error
from jaxrnn.objectives.penalties import activity_penalty
from jaxrnn.objectives.readout import Readout
from jaxrnn.patterns.hidden_to_hidden import ManyToMany
from jaxrnn.tasks.cognitive.pictures import draw_psychometric, draw_trajectories, draw_trials
from jaxrnn.tasks.cognitive.trials import Trials, decisions
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.unrolling.backpropagation import unroll_bptt

DT, TAU = 20.0, 100.0
"""Milliseconds: a step, and the time constant of the units."""
GATED = {"elman": Elman, "gru": GRU, "lstm": LSTM}
HELD_OUT, HELD_OUT_SEED = 512, np.uint32(2**31)
"""The number of trials of a measurement, from a seed that no run can have."""
TRAINING = {"steps": 1000, "learning_rate": 1e-2, "every": 250}
"""The defaults of training, which the command line can change."""


@runtime_checkable
class CognitiveOptions(Protocol):
    """The options and the functions that the tasks of this folder have in common."""

    @property
    def cell(self) -> str:
        """The recurrent cell."""
        ...

    @property
    def hidden(self) -> int:
        """The number of units."""
        ...

    @property
    def excitatory(self) -> float | None:
        """The fraction of excitatory units."""
        ...

    @property
    def noise(self) -> float:
        """The private noise of each rate unit."""
        ...

    @property
    def penalty(self) -> float:
        """The weight of the mean squared rate in the loss."""
        ...

    @property
    def batch(self) -> int:
        """The number of trials in an update."""
        ...

    def draw(self, key: Key, trials: int) -> Trials:
        """Draw trials."""
        ...

    def curves(self, outputs: np.ndarray, trials: Trials, file: Path) -> None:
        """Draw the answers of the network against the conditions of the trials."""
        ...


def check_options(task: CognitiveOptions) -> None:
    """Raise InputError unless there is a network of these options."""
    check_count(hidden=task.hidden, batch=task.batch)
    if task.excitatory is not None and not 0 < task.excitatory < 1:
        raise InputError(f"--excitatory must be a fraction between 0 and 1, got {task.excitatory}.")
    if task.excitatory is not None and task.cell != "rate":
        raise InputError(f"--excitatory goes with --cell rate, got --cell {task.cell}.")
    for name in ("noise", "penalty"):
        if not 0 <= getattr(task, name) < float("inf"):
            raise InputError(f"--{name} must be at least 0, got {getattr(task, name)}.")


def load(task: CognitiveOptions) -> tuple[None, dict]:
    """Load no data: every trial is drawn.  The facts are the sizes of its arrays."""
    drawn = jax.eval_shape(lambda key: task.draw(key, 1), jax.eval_shape(lambda: jax.random.key(0)))
    time, _, inputs = drawn.inputs.shape
    return None, {"steps": time, "inputs": inputs, "outputs": drawn.targets.shape[-1]}


def describe(task: CognitiveOptions, facts: dict) -> str:
    """Describe the trials in one line."""
    return (
        f"{type(task).__name__}: trials of {facts['steps']} steps, {facts['inputs']} inputs, {facts['outputs']} outputs"
    )


def model(task: CognitiveOptions, facts: dict) -> ConstrainedNetwork:
    """Build the network and its constraints."""
    inputs, outputs, n = facts["inputs"], facts["outputs"], task.hidden
    readout = Readout(n, outputs)
    if task.cell != "rate":
        return ConstrainedNetwork(ManyToMany(GATED[task.cell](inputs, n), readout, "values"), Constraints(()))
    rates = RateNetwork(inputs, n, "tanh" if task.excitatory is None else "relu", DT, TAU)
    cell = RateNoise(rates, task.noise) if task.noise else rates
    maps: tuple = (Fixed(rates.taus, at="tau"),)
    if task.excitatory is not None:
        reached = np.repeat(Dale(task.excitatory).of(n)[:, None] > 0, outputs, axis=1)
        maps += (Dale(task.excitatory), NoSelfConnections(), Dale(1.0, at="u"), Mask.of(reached, at="v"))
    radius = None if task.excitatory is None else 1.0
    return ConstrainedNetwork(ManyToMany(cell, readout, "values"), Constraints(maps), radius)


def carry(task: CognitiveOptions, model: ConstrainedNetwork, params: Any) -> None:
    """Return None, because each trial is independent of the others."""
    return None


def units(task: CognitiveOptions) -> int:
    """Return the number of trials in a batch."""
    return task.batch


def batch_at(task: CognitiveOptions, data: None, seed: int, step: int) -> Trials:
    """Draw trials."""
    return jax.tree.map(np.asarray, _drawn(task, task.batch, np.uint32(seed), step))


@partial(jax.jit, static_argnums=(0, 1))
def _drawn(task: CognitiveOptions, trials: int, seed, step) -> Trials:
    return task.draw(jax.random.fold_in(jax.random.key(seed), step), trials)


def loss(task: CognitiveOptions, model: ConstrainedNetwork, params: Any, carry: None, batch: Trials, key: Key):
    """Return the mean squared error where an answer is asked, and the penalty of the rates."""
    network, of = model.network, model.params(params)
    _, rs = unroll_bptt(network.cell, of.cell, drawing(network.cell, key, jnp.asarray(batch.inputs)))
    error = squared_error(network.readout.apply(of.readout, rs), jnp.asarray(batch.targets), mask=batch.mask)
    return error + task.penalty * activity_penalty(rs), carry


def metrics(task: CognitiveOptions, loss: float) -> dict[str, float]:
    """Return the loss under the name of its metric."""
    return {"squared_error": loss}


def evaluate(task: CognitiveOptions, model: ConstrainedNetwork, params: Any, data: None) -> dict[str, float]:
    """Return the squared error without noise in the units, and the share of answers with the right sign."""
    trials = _drawn(task, HELD_OUT, HELD_OUT_SEED, 0)
    error, right, _, _ = _answers(model, params, trials)
    return {"squared_error": float(error), "right": float(right)}


@partial(jax.jit, static_argnums=0)
def _answers(model: ConstrainedNetwork, params: Any, trials: Trials) -> tuple[Array, Array, Array, Array]:
    """Return the error, the fraction of steps with the right sign where one is asked for, the outputs, the states."""
    network, of = model.network, model.params(params)
    _, rs = unroll_bptt(quiet(network.cell), of.cell, trials.inputs)
    outputs = network.readout.apply(of.readout, rs)
    error = squared_error(outputs, trials.targets, mask=trials.mask)
    asked = trials.mask[..., None] & (trials.targets != 0)
    right = jnp.sum(asked & (jnp.sign(outputs) == jnp.sign(trials.targets))) / jnp.maximum(jnp.sum(asked), 1)
    return error, right, outputs, rs


def illustrate(task: Any, model: ConstrainedNetwork, params: Any, data: None, folder: Path) -> dict[str, Path]:
    """Draw a few trials, the answers of all, and the trajectories sorted by a condition."""
    trials = _drawn(task, HELD_OUT, HELD_OUT_SEED, 1)
    _, _, outputs, rs = (np.asarray(a) for a in _answers(model, params, trials))
    name, title = task.sorted_by, _title(task, model)
    files = {"trials": folder / "trials.png", "answers": folder / "answers.png", "states": folder / "trajectories.png"}
    draw_trials(files["trials"], trials, outputs, title=title)
    task.curves(outputs, trials, files["answers"])
    draw_trajectories(files["states"], rs, trials.conditions[name], title=title, name=name)
    return files


def _title(task: Any, model: ConstrainedNetwork) -> str:
    """Return a title: the task, the cell, and the constraints that change its weights."""
    named = [type(m).__name__ + f"({m.at})" for m in model.constraints.maps if not isinstance(m, Fixed)]
    network = f"{type(task).__name__}, {task.hidden} {task.cell} units"
    return "\n".join([network, ", ".join(dict.fromkeys(named))]).strip()


def draw_choices(
    file: Path, outputs: np.ndarray, trials: Trials, groups: Mapping[str, tuple[str, np.ndarray | bool]], *, x: str
) -> None:
    """Draw the share of the answer +1 against a condition, a curve for each group of trials.

    Args:
      file: the PNG to write.
      outputs: the outputs of the network, `[time, trials, outputs]`.
      trials: the trials that it answered.
      groups: label → (the name of the condition, True for the trials of the group).
      x: the label of the axis.
    """
    answers, conditions = np.asarray(decisions(jnp.asarray(outputs), trials))[:, 0] > 0, trials.conditions
    curves = {label: (conditions[name], np.where(group, answers, np.nan)) for label, (name, group) in groups.items()}
    draw_psychometric(file, curves, title="answers", x=x, y="share of +1")
