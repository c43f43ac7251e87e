"""jaxrnn evaluate: the held-out metrics of a run."""

from dataclasses import dataclass

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.tasks.data import InputError

HELP = """Measure a trained model on the data that was held out.

examples:
  jaxrnn evaluate                     the newest run of runs/
  jaxrnn evaluate --run runs/text-2"""


@dataclass(frozen=True)
class Evaluation:
    """What is measured."""

    run: str | None = None
    """The folder of a run or of a model; None is the newest of runs/."""


def run(argv: list[str]) -> int:
    """Print the metrics, one a line."""
    options = parse(Evaluation, argv, prog="jaxrnn evaluate", description=HELP)
    path, begun, params, step = find_trained(options.run)
    data, facts = begun.task.load()
    if facts != begun.facts:
        raise InputError(f"{path}: the data has changed since this run began, so what was held out is not known.")
    metrics = begun.task.evaluate(begun.model, params, data)
    print(f"{path}, after update {step}")
    for name, value in metrics.items():
        print(f"{name.replace('_', ' '):20} {value:,.4f}" if isinstance(value, float) else f"{name:20} {value:,}")
    return 0
