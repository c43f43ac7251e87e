"""A task, its training options, and what both make of the data: all that a checkpoint's config must say."""

import dataclasses
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import optax

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.command_line import check_real, check_seed
from jaxrnn.core.types import Key
from jaxrnn.tasks import TASKS, Task
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.training.saving import checkpoint
from jaxrnn.training.train_state import LossFn, TrainState, cosine_adam, init_state


@dataclasses.dataclass(frozen=True)
class Training:
    """How it is learned."""

    steps: int = 1100
    """Updates in all."""
    learning_rate: float = 4e-3
    """The highest rate of Adam; a cosine takes it down to 0 at the last update."""
    warmup: int = 50
    """Updates in which the rate goes up."""
    clip: float = 1.0
    """The largest norm of a gradient; a longer one is shortened to it."""
    seed: int = 0
    """Decides the first weights and the order of the data."""
    every: int = 100
    """Evaluate and save after so many updates."""
    dispatch: int = 10
    """Updates that are sent to the device together."""

    def __post_init__(self):
        check_count(steps=self.steps, every=self.every, dispatch=self.dispatch)
        check_real(learning_rate=self.learning_rate, clip=self.clip)
        check_seed(self.seed)
        if not 0 <= self.warmup < 2**31:
            raise InputError(f"--warmup must be an integer of at least 0, got {self.warmup}.")

    def keys(self) -> tuple[Key, Key]:
        """For the first weights, and for the updates."""
        first, second = jax.random.split(jax.random.key(self.seed))
        return first, second

    def next_edge(self, step: int) -> int:
        """Where the dispatch that starts at `step` ends: a function of the step alone, so that a resumed run
        is cut as the uninterrupted one."""
        return min(self.steps, *((step // n + 1) * n for n in (self.dispatch, self.every)))


class Experiment(NamedTuple):
    """One run, as values."""

    task: Task
    training: Training
    facts: dict
    """What `task.load` said of the data."""
    model: Any
    optimizer: optax.GradientTransformation
    loss_fn: LossFn

    def init(self) -> TrainState:
        """The state before the first update."""
        params = self.model.init(self.training.keys()[0])
        return init_state(params, self.optimizer, self.task.carry(self.model, params))

    def config(self) -> dict:
        """As JSON, for the checkpoint."""
        name = next(name for name, task in TASKS.items() if type(self.task) is task)
        return {
            "task": name,
            "options": dataclasses.asdict(cast(Any, self.task)),
            "training": dataclasses.asdict(self.training),
            "facts": self.facts,
        }


def experiment(task: Task, training: Training, facts: dict) -> Experiment:
    """The model and the optimizer that the options ask for."""
    model = task.model(facts)
    return Experiment(task, training, facts, model, _optimizer(training), _loss_fn(task, model))


@lru_cache(maxsize=16)  # the update is compiled once for each (loss_fn, optimizer), so equal options share them
def _optimizer(training: Training) -> optax.GradientTransformation:
    return cosine_adam(training.learning_rate, training.steps, warmup=training.warmup, clip=training.clip)


@lru_cache(maxsize=16)
def _loss_fn(task: Task, model: Any) -> LossFn:
    return partial(task.loss, model)


def saved_options(config: dict) -> tuple[Task, Training]:
    """The options that a checkpoint's config holds.

    Raises:
      InputError: the config is not one of these.
    """
    try:
        return TASKS[config["task"]](**config["options"]), Training(**config["training"])
    except (KeyError, TypeError) as error:
        raise InputError(f"the checkpoint's config is not that of a run of `jaxrnn train`: {error}.") from None


def restore(path: Path) -> tuple[Experiment, TrainState]:
    """The last complete checkpoint of a run.

    Raises:
      InputError, CheckpointError: it is not there, or not whole.
    """
    folder = run_folder.checkpoints(path)
    step = checkpoint.latest_step(folder)
    config = checkpoint.read_config(folder, step)
    restored = experiment(*saved_options(config), config["facts"])
    return restored, checkpoint.restore(folder, jax.eval_shape(restored.init), step=step)
