"""The protocol of a task: a frozen dataclass of options whose methods are pure functions; no base class."""

from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxrnn.core.types import Carry, Key, Params
from jaxrnn.training.train_state import Batch


@runtime_checkable
class Task(Protocol):
    """A frozen dataclass of options, hashable, each an option of `jaxrnn train` with its docstring as help.

    `data` is whatever `load` gives; `facts` is a JSON dict of what must be known of the data to build the
    model (an alphabet, a number of classes) and to know the data again (a digest); it is stored with the
    weights.
    """

    unit: ClassVar[str]
    """What is counted when speed is shown: "characters", "images"."""
    score: ClassVar[str]
    """The metric that is drawn and shown, a key of both `metrics` and `evaluate`; the lower the better."""
    training: ClassVar[dict[str, Any]]
    """What of `jaxrnn.commands.runs.experiments.Training` has another default here: {"steps": 300}."""

    def load(self) -> tuple[Any, dict]:
        """(data, facts).  Raises InputError where the data cannot be used."""
        ...

    def describe(self, facts: dict) -> str:
        """The data in one line."""
        ...

    def model(self, facts: dict) -> Any:
        """A hashable value with `init(key) -> params`."""
        ...

    def carry(self, model: Any, params: Params) -> Carry:
        """h⁽⁰⁾ of the stream; None if the batches are independent."""
        ...

    def units(self) -> int:
        """Return the number of `unit`s in a batch."""
        ...

    def batch_at(self, data: Any, seed: int, step: int) -> Batch:
        """Batch number `step`, a function of its arguments only: numpy arrays of shapes that never change."""
        ...

    def loss(self, model: Any, params: Params, carry: Carry, batch: Batch, key: Key) -> tuple[Any, Carry]:
        """L and the carry to hand on; traced."""
        ...

    def metrics(self, loss: float) -> dict[str, float]:
        """Return the metrics to show in training, from L."""
        ...

    def evaluate(self, model: Any, params: Params, data: Any) -> dict[str, float]:
        """Metrics on data that `batch_at` never gives."""
        ...


@runtime_checkable
class Illustrates(Protocol):
    """A task that leaves something to look at, or to listen to, when a run ends."""

    def illustrate(self, model: Any, params: Params, data: Any, folder: Path) -> dict[str, Path]:
        """Writes files into `folder`; what each shows → the file."""
        ...


@runtime_checkable
class KeepsData(Protocol):
    """A task whose data may be large: it is read once, and kept in a form that opens at once."""

    def load_kept(self, folder: Path) -> tuple[Any, dict]:
        """Load the data, kept in `folder`, which is created if needed."""
        ...


@runtime_checkable
class LoadsAgain(Protocol):
    """A task that learns something from its data before its model is built, and says it in `facts`: a tokenizer."""

    def load_again(self, facts: dict, folder: Path) -> tuple[Any, dict]:
        """Load the data of a run with what was learned then; `facts` come back where the data is the same."""
        ...


@runtime_checkable
class LeavesFiles(Protocol):
    """A task whose model is of no use without a file, such as a tokenizer."""

    def files(self, facts: dict) -> dict[str, str]:
        """Return name → text, for the folder of the run and that of the saved model."""
        ...


@runtime_checkable
class MeasuresPart(Protocol):
    """A task whose `evaluate` reads only a part of the held-out data, because all of it may take long."""

    def evaluate_whole(self, model: Any, params: Params, data: Any) -> dict[str, float]:
        """Return the metrics of `evaluate` over all held-out data."""
        ...
