"""Text from a trained model: for `jaxrnn sample`, and at the end of a training run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import jax

from jaxrnn.commands.runs.command_line import check_real, check_seed
from jaxrnn.commands.runs.experiments import Experiment
from jaxrnn.core.types import Key, Params
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.training.train_state import TrainState


@runtime_checkable
class Samples(Protocol):
    """A task whose model can draw: `sample(facts, params, key, prompt, …)` gives the text in pieces."""

    def sample(
        self,
        facts: dict,
        params: Params,
        key: Key,
        prompt: str,
        *,
        length: int,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        beam: int | None,
    ) -> Iterator[str]:
        """Return the continuation of the prompt; raise InputError at once if the prompt cannot be read."""
        ...


@dataclass(frozen=True)
class Sampling:
    """The options of `sample`."""

    run: str | None = None
    """The folder of a run or of a model; None is the newest of runs/."""
    best: bool = False
    """Use the state that --keep-best kept."""
    prompt: str = ""
    """The text to continue."""
    length: int = 500
    """Characters to draw."""
    temperature: float = 0.8
    """Below 1 safer, above 1 wilder; 0 always takes the likeliest character."""
    top_k: int | None = None
    """Draw only among the k likeliest; None for all."""
    top_p: float | None = None
    """Draw only among the fewest likeliest whose probabilities sum to p; None for all."""
    beam: int | None = None
    """Search for the likeliest text with a beam of this width instead of drawing."""
    seed: int = 0
    """The seed; another seed gives another text."""

    def __post_init__(self):
        check_count(length=self.length)
        check_real(temperature=self.temperature, above_zero=False)
        check_seed(self.seed)
        if self.top_k is not None:
            check_count(top_k=self.top_k)
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"--top-p must lie in (0, 1], got {self.top_p}.")
        if self.beam is not None:
            check_count(beam=self.beam)
            if (self.top_k, self.top_p) != (None, None):
                raise InputError("--beam draws nothing, and so goes without --top-k and --top-p.")


def write_sample(begun: Experiment, state: TrainState, path: Path) -> None:
    """Write a text to sample.txt and to the terminal at the end of a run, if the task draws one."""
    if isinstance(begun.task, Samples):
        text = "".join(draw(begun, state.params, Sampling(length=400)))
        (path / "sample.txt").write_text(text + "\n", encoding="utf-8")
        print(f"sample:   {path / 'sample.txt'}, more by: jaxrnn sample --run {path} --prompt TEXT\n\n{text}")


def draw(begun: Experiment, params: Params, options: Sampling) -> Iterator[str]:
    """Yield the continuation of the prompt, in pieces as they are drawn."""
    return cast(Samples, begun.task).sample(
        begun.facts,
        params,
        jax.random.key(options.seed),
        options.prompt,
        length=options.length,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        beam=options.beam,
    )
