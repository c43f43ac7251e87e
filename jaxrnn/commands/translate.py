"""jaxrnn translate: let a trained model answer a text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
import tyro

from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.trained_models import find_trained
from jaxrnn.core.types import Params
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.tasks.translation.translation import Translation, draw_alignments

HELP = """Translate a text with a trained model.

examples:
  jaxrnn translate "3 février 2019"         the newest run of runs/
  jaxrnn translate --run runs/dates "3 février 2019" --alignment
  jaxrnn translate --run runs/dates "Sonntag, 3. Februar 2019" --picture alignment.png"""


@runtime_checkable
class Translates(Protocol):
    """A task whose model can answer."""

    def translate(self, facts: dict, params: Params, text: str, *, beam: int = 1) -> Translation:
        """Return the answer; raise InputError if the text cannot be read."""
        ...


@dataclass(frozen=True)
class Question:
    """The options of `translate`."""

    text: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TEXT")]
    """The text."""
    run: Annotated[str | None, tyro.conf.arg(aliases=["--checkpoint"])] = None
    """The folder of a run or of a model; None is the newest of runs/."""
    best: bool = False
    """Use the state that --keep-best kept."""
    beam: int = 1
    """The number of hypotheses to keep; 1 takes the likeliest symbol at every step."""
    alignment: bool = False
    """Also show where each symbol of the answer looked."""
    picture: str | None = None
    """Draw the alignment to this PNG file."""

    def __post_init__(self):
        check_count(beam=self.beam)


def run(argv: list[str]) -> int:
    """Print the answer, and the alignment if requested."""
    options = parse(Question, argv, prog="jaxrnn translate", description=HELP, words="TEXT [OPTIONS]")
    path, begun, params, _ = find_trained(options.run, best=options.best)
    if not isinstance(begun.task, Translates):
        raise InputError(f"{path}: a run of the task {begun.config()['task']}, which translates nothing.")
    translation = begun.task.translate(begun.facts, params, options.text, beam=options.beam)
    if translation.weights is None and (options.alignment or options.picture):
        raise InputError(f"{path}: its decoder has no attention, and so no alignment.")
    print("".join(translation.answer))
    if options.alignment:
        print("\n".join(alignment(translation)))
    if options.picture is not None:
        draw_alignments(Path(options.picture), [translation])
    return 0


def alignment(translation: Translation, least: float = 0.1) -> list[str]:
    """Return one line per symbol of the answer: where it looked most, and where else with a weight of at least `least`.

    >>> alignment(Translation("ab", "x", np.array([[0.25, 0.75]])))
    ['x  ← b 2 (75 %), a 1 (25 %)']
    """
    lines = []
    for symbol, weights in zip(translation.answer, np.asarray(translation.weights), strict=True):
        order = sorted(range(len(weights)), key=lambda j: -weights[j])
        looked = [j for i, j in enumerate(order) if i == 0 or weights[j] >= least]
        parts = (f"{_shown(translation.source[j])} {j + 1} ({100 * weights[j]:.0f} %)" for j in looked)
        lines.append(f"{_shown(symbol):2} ← {', '.join(parts)}")
    return lines


def _shown(symbol: str) -> str:
    return "␣" if symbol == " " else symbol
