"""The protocol of a task: a frozen dataclass of options whose methods are pure functions; no base class."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxrnn.core.types import Carry, Key, Params
from jaxrnn.training.train_state import Batch


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass of options, hashable, each an option of `jaxrnn train` with its docstring as help.

    `data` is what `load` returns.  `facts` is a JSON dict of the facts about the data that the model needs (an
    alphabet, a number of classes) and that identify the data (a digest); it is stored with the weights.
    """

    unit: ClassVar[str]
    """The unit in which the speed is shown: "characters", "images"."""
    score: ClassVar[str]
    """The metric that is drawn and shown, a key of both `metrics` and `evaluate`; the lower the better."""
    training: ClassVar[dict[str, Any]]
    """Defaults that replace those of `jaxrnn.commands.runs.experiments.Training`: {"steps": 300}."""

    def load(self) -> tuple[Any, dict]:
        """Return (data, facts), or raise InputError if the data cannot be used."""
        ...

    def describe(self, facts: dict) -> str:
        """Describe the data in one line."""
        ...

    def model(self, facts: dict) -> Any:
        """Return the model: a hashable value with `init(key) -> params`."""
        ...

    def carry(self, model: Any, params: Params) -> Carry:
        """Return h⁽⁰⁾ of the stream, or None if the batches are independent."""
        ...

    def units(self) -> int:
        """Return the number of `unit`s in a batch."""
        ...

    def batch_at(self, data: Any, seed: int, step: int) -> Batch:
        """Return batch number `step`: NumPy arrays of fixed shapes, a function of the arguments only."""
        ...

    def loss(self, model: Any, params: Params, carry: Carry, batch: Batch, key: Key) -> tuple[Any, Carry]:
        """Return L and the carry for the next batch; this method is traced."""
        ...

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the metrics to show in training, from L."""
        ...

    def evaluate(self, model: Any, params: Params, data: Any) -> dict[str, float]:
        """Return the metrics on data that `batch_at` never returns."""
        ...


@runtime_checkable
class Illustrates(Protocol):
    """A task that writes figures or sounds at the end of a run."""

    def illustrate(self, model: Any, params: Params, data: Any, folder: Path) -> dict[str, Path]:
        """Write files into `folder`, and return them by what they show."""
        ...


@runtime_checkable
class KeepsData(Protocol):
    """A task whose data may be large: it is read once and stored in a form that opens immediately."""

    def load_kept(self, folder: Path) -> tuple[Any, dict]:
        """Load the data, and store it in `folder`, which is created if needed."""
        ...


@runtime_checkable
class LoadsAgain(Protocol):
    """A task that learns something from its data before its model is built, such as a tokenizer; `facts` has it."""

    def load_again(self, facts: dict, folder: Path) -> tuple[Any, dict]:
        """Load the data of a run with what was learned then; the same data gives the same `facts`."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A task whose model needs a file, such as a tokenizer."""

    def files(self, facts: dict) -> dict[str, str]:
        """Return the text of each file by its name, for the folder of the run and that of the saved model."""
        ...


@runtime_checkable
class MeasuresPart(Protocol):
    """A task whose `evaluate` reads only a part of the held-out data, because all of it may take long."""

    def evaluate_whole(self, model: Any, params: Params, data: Any) -> dict[str, float]:
        """Return the metrics of `evaluate` over all held-out data."""
        ...
