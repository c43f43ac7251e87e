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
  jaxrnn sample --run runs/text-2 --temperature 0.5 --top-k 10
  jaxrnn sample --top-p 0.9                 no character of the unlikely tenth
  jaxrnn sample --prompt "It is" --beam 8   the likeliest text that the search finds"""


def run(argv: list[str]) -> int:
    """Print the prompt and its continuation while it is drawn."""
    options = parse(Sampling, argv, prog="jaxrnn sample", description=HELP)
    path, begun, params, _ = find_trained(options.run, best=options.best)
    if not isinstance(begun.task, Samples):
        raise InputError(f"{path}: a run of the task {begun.config()['task']}, which has nothing to sample.")
    pieces = draw(begun, params, options)
    sys.stdout.write(options.prompt)
    drawn = ""
    for piece in pieces:
        drawn += piece
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
    if options.temperature == 0 and options.beam is None and _repeats(drawn):
        print(
            "jaxrnn: the likeliest character is one and the same few over and over; a --prompt leads elsewhere, and "
            "--temperature 0.5 draws.",
            file=sys.stderr,
        )
    return 0


def _repeats(text: str, longest: int = 16) -> bool:
    """Return whether the second half repeats a few characters.

    >>> _repeats("the cat " + 40 * " "), _repeats("the cat sat on the mat, and then the dog came")
    (True, False)
    """
    half = text[len(text) // 2 :]
    return any(half[n:] == half[:-n] for n in range(1, longest + 1) if len(half) >= 2 * n)
