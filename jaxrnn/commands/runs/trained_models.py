"""Trained models for the commands that use them: from a run's last checkpoint, or from the folder of `save_model`.

Every run that comes to its end leaves such a folder, `model/`, which says of the run what the commands need: the task,
its options and the facts of its data.  It can be moved, shared and read without the run.
"""

from pathlib import Path
from typing import Any, NamedTuple

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.experiments import Experiment, experiment, restore, saved_options
from jaxrnn.commands.runs.task_names import TASKS
from jaxrnn.core.types import Params
from jaxrnn.tasks import LeavesFiles
from jaxrnn.tasks.data import InputError
from jaxrnn.training.saving import atomic_files
from jaxrnn.training.saving.blueprints import to_blueprint
from jaxrnn.training.saving.model_folder import Card, is_model_folder, load_params, read_model_config, save_model
from jaxrnn.training.train_state import TrainState


class Trained(NamedTuple):
    """A model that was trained, and where it was found."""

    path: Path
    """The folder of the run, or of the model."""
    experiment: Experiment
    """The task, its options, and the model."""
    params: Params
    """The parameters after the last update that was saved."""
    step: int
    """The number of that update."""


def find_trained(folder: str | None, *, best: bool = False) -> Trained:
    """Load a trained model.

    Args:
      folder: of a run or of a model; None is the newest run of runs/.
      best: the state of a run that measured best, which it has kept.

    Raises:
      InputError, CheckpointError: there is no model, it is damaged, or no run of `jaxrnn train` wrote it.
    """
    if folder is None or not is_model_folder(folder):
        path = run_folder.find(folder)
        begun, state = restore(path, best=best)
        return Trained(path, begun, state.params, int(state.step))
    if best:
        raise InputError(f"{folder}: is a model, not a run, and has no other state that is the best.")
    path, config = Path(folder), read_model_config(folder)
    run = config.get("run")
    if not isinstance(run, dict) or "facts" not in run or "step" not in run:
        raise InputError(f"{path}: no run of `jaxrnn train` left this model; jaxrnn.load_model reads it in Python.")
    if run.get("task") not in TASKS:  # the model may come from anybody, who then names what is imported
        raise InputError(
            f"{path}: its config is not that of a run of one of the tasks {', '.join(TASKS)}; of a task of your own, "
            "name the run's folder."
        )
    begun = _experiment(path, run)
    if to_blueprint(begun.model) != config["model"]:
        raise InputError(f"{path}: its model differs from the one that its task and options give; was it edited?")
    return Trained(path, begun, load_params(path, begun.model), run["step"])


def leave_model(begun: Experiment, state: TrainState, held_out: dict[str, Any], path: Path) -> Path:
    """Save the model of a finished run with a card of its metrics, and return its folder."""
    config = {name: fact for name, fact in begun.config().items() if name != "where"}  # a path of this computer
    metrics = {name: value for name, value in held_out.items() if name not in ("step", "split", "skipped")}
    how = f"Trained by `jaxrnn train --task {config['task']}`, {state.step} updates."
    folder = path / "model"
    card = Card(f"jaxrnn: {config['task']}", f"{begun.task.describe(begun.facts)}\n\n{how}", metrics)
    save_model(folder, begun.model, state.params, card=card, run=config | {"step": int(state.step)})
    leave_files(begun, folder)
    return folder


def leave_files(begun: Experiment, folder: Path) -> None:
    """Write the files that the task's model needs."""
    if isinstance(begun.task, LeavesFiles):
        for name, text in begun.task.files(begun.facts).items():
            atomic_files.write(folder / name, text.encode())


def _experiment(path: Path, run: dict) -> Experiment:
    """Read the facts about a model from its folder, which anybody may have written."""
    try:
        return experiment(*saved_options(run), run["facts"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: its description of the run fits no task: {error}") from None
