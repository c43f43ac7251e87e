"""jaxrnn evaluate: the held-out metrics of a run."""

from dataclasses import dataclass

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.experiments import restore
from jaxrnn.tasks.data import InputError

HELP = """Measure a trained model on the data that was held out.

examples:
  jaxrnn evaluate                     the newest run of runs/
  jaxrnn evaluate --run runs/text-2"""


@dataclass(frozen=True)
class Evaluation:
    """What is measured."""

    run: str | None = None
    """The run's folder; None is the newest of runs/."""


def run(argv: list[str]) -> int:
    """Print the metrics, one a line."""
    options = parse(Evaluation, argv, prog="jaxrnn evaluate", description=HELP)
    path = run_folder.find(options.run)
    begun, state = restore(path)
    data, facts = begun.task.load()
    if facts != begun.facts:
        raise InputError(f"{path}: the data has changed since this run began, so what was held out is not known.")
    metrics = begun.task.evaluate(begun.model, state.params, data)
    print(f"{path}, after update {state.step}")
    for name, value in metrics.items():
        print(f"{name.replace('_', ' '):20} {value:,.4f}" if isinstance(value, float) else f"{name:20} {value:,}")
    return 0
