"""jaxrnn evaluate: the held-out metrics of a run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.experiments import Experiment, load_again
from jaxrnn.commands.runs.task_names import places
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.tasks import MeasuresPart
from jaxrnn.tasks.data import InputError

HELP = """Measure a trained model on the data that was held out.

examples:
  jaxrnn evaluate                     the newest run of runs/
  jaxrnn evaluate --run runs/text-2
  jaxrnn evaluate --best --whole      the best state, on all held-out data"""


@dataclass(frozen=True)
class Evaluation:
    """The options of `evaluate`."""

    run: str | None = None
    """The folder of a run or of a model; None is the newest of runs/."""
    best: bool = False
    """Measure the state that --keep-best kept."""
    whole: bool = False
    """Measure on all held-out data; the run itself may measure on a part of it."""
    file: str | None = None
    """The new place of the data, if it was moved."""


def run(argv: list[str]) -> int:
    """Print the metrics, one per line."""
    options = parse(Evaluation, argv, prog="jaxrnn evaluate", description=HELP)
    path, begun, params, step = find_trained(options.run, best=options.best)
    task = _moved(begun, options.file, path)
    data = load_again(begun._replace(task=task), path)
    if options.whole and isinstance(task, MeasuresPart):
        metrics = task.evaluate_whole(begun.model, params, data)
    else:
        metrics = task.evaluate(begun.model, params, data)
    print(f"{path}, after update {step}")
    for name, value in metrics.items():
        shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"
        print(f"{name.replace('_', ' '):20} {shown}")
    return 0


def _moved(begun: Experiment, file: str | None, path: Path) -> Any:
    """Return the task with the new place of its data."""
    if file is None:
        return begun.task
    if "file" not in places(begun.task):
        raise InputError(f"--file {file}: {path} is a run of a task that reads no file.")
    return dataclasses.replace(cast(Any, begun.task), file=file)
