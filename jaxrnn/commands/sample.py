"""jaxrnn sample: let a trained model continue a prompt."""

import sys

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.samples import Samples, Sampling, draw
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.tasks.data import InputError

HELP = """Continue a prompt with a trained model.

examples:
  jaxrnn sample                             the newest run of runs/
  jaxrnn sample --prompt "The \\"if\\" statement" --length 1000
  jaxrnn sample --run runs/text-2 --temperature 0.5 --top-k 10"""


def run(argv: list[str]) -> int:
    """Print the prompt and its continuation, as it is drawn."""
    options = parse(Sampling, argv, prog="jaxrnn sample", description=HELP)
    path, begun, params, _ = find_trained(options.run)
    if not isinstance(begun.task, Samples):
        raise InputError(f"{path}: a run of the task {begun.config()['task']}, which has nothing to sample.")
    pieces = draw(begun, params, options)
    sys.stdout.write(options.prompt)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
    return 0
