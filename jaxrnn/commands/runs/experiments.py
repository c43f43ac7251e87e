"""A task, its training options, and the facts about its data: everything that a checkpoint's config stores."""

import dataclasses
import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import jax
import optax

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.command_line import check_real, check_seed
from jaxrnn.commands.runs.task_names import name_of, places, task_named
from jaxrnn.core.types import Key
from jaxrnn.tasks import KeepsData, LoadsAgain, Task
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.training.saving import checkpoint
from jaxrnn.training.train_state import LossFn, TrainState, cosine_adam, cosine_rmsprop, init_state


@dataclasses.dataclass(frozen=True)
class Training:
    """The options of training."""

    steps: int = 1100
    """The number of updates."""
    learning_rate: float = 4e-3
    """The highest learning rate; a cosine lowers it to 0 at the last update."""
    warmup: int = 50
    """The number of updates in which the rate rises."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam, or RMSProp with momentum 0.9, which suits Neural Turing machines."""
    clip: float = 1.0
    """The norm to which a longer gradient is clipped. With rmsprop, the limit for each entry."""
    weight_decay: float = 0.0
    """With adam: the share of each weight, times the learning rate, that an update takes away (AdamW)."""
    seed: int = 0
    """The seed of the initial weights and of the order of the data."""
    every: int = 100
    """The number of updates from one evaluation and save to the next."""
    dispatch: int = 10
    """The number of updates that run in one dispatch."""

    def __post_init__(self):
        check_count(steps=self.steps, every=self.every, dispatch=self.dispatch)
        check_real(learning_rate=self.learning_rate, clip=self.clip)
        check_seed(self.seed)
        if not 0 <= self.warmup < 2**31:
            raise InputError(f"--warmup must be an integer of at least 0, got {self.warmup}.")
        if not 0 <= self.weight_decay < float("inf") or (self.weight_decay and self.optimizer != "adam"):
            raise InputError(f"--weight-decay must be at least 0, and 0 with rmsprop, got {self.weight_decay}.")

    def keys(self) -> tuple[Key, Key]:
        """Return the key of the initial weights, and that of the updates."""
        first, second = jax.random.split(jax.random.key(self.seed))
        return first, second

    def next_edge(self, step: int) -> int:
        """Return the end of the dispatch that starts at `step`.

        It depends only on the step, so that a resumed run has the same dispatches as an uninterrupted one.
        """
        return min(self.steps, *((step // n + 1) * n for n in (self.dispatch, self.every)))


class Experiment(NamedTuple):
    """One run, as values."""

    task: Task
    training: Training
    facts: dict
    """The facts about the data, from `task.load`."""
    model: Any
    optimizer: optax.GradientTransformation
    loss_fn: LossFn

    def init(self) -> TrainState:
        """Return the state before the first update."""
        params = self.model.init(self.training.keys()[0])
        return init_state(params, self.optimizer, self.task.carry(self.model, params))

    def config(self) -> dict:
        """Return the configuration as JSON, for the checkpoint."""
        options = dataclasses.asdict(cast(Any, self.task))
        where = {name: os.path.abspath(options[name]) for name in places(self.task) if options[name] is not None}
        return {
            "task": name_of(self.task),
            "options": options,
            "where": where,  # to be found from another folder
            "training": dataclasses.asdict(self.training),
            "facts": self.facts,
        }


def experiment(task: Task, training: Training, facts: dict) -> Experiment:
    """Return the model and the optimizer that the options specify."""
    model = task.model(facts)
    return Experiment(task, training, facts, model, _optimizer(training), _loss_fn(task, model))


@lru_cache(maxsize=16)  # the update is compiled once for each (loss_fn, optimizer), so equal options share them
def _optimizer(training: Training) -> optax.GradientTransformation:
    rate, steps, warmup, clip = training.learning_rate, training.steps, training.warmup, training.clip
    if training.optimizer == "rmsprop":
        return cosine_rmsprop(rate, steps, warmup=warmup, clip=clip)
    return cosine_adam(rate, steps, warmup=warmup, clip=clip, weight_decay=training.weight_decay)


@lru_cache(maxsize=16)
def _loss_fn(task: Task, model: Any) -> LossFn:
    return partial(task.loss, model)


def saved_options(config: dict) -> tuple[Task, Training]:
    """Return the options stored in a checkpoint's config.

    Raises:
      InputError: the config is not one of these.
    """
    try:
        options = dict(config["options"])
        for name, absolute in config.get("where", {}).items():
            if not os.path.exists(options[name]) and os.path.exists(absolute):
                options[name] = absolute
        return task_named(config["task"])(**options), Training(**config["training"])
    except (KeyError, TypeError) as error:
        raise InputError(f"the checkpoint's config is not that of a run of `jaxrnn train`: {error}.") from None


def restore(
    path: Path, *, task: Task | None = None, training: Training | None = None, best: bool = False
) -> tuple[Experiment, TrainState]:
    """Restore the last complete checkpoint of a run, or the best one.

    Args:
      path: the run's folder.
      task: the task and its options; None for the saved one.
      training: the options of the training; None for the saved ones.
      best: True for the state with the best score.

    Raises:
      InputError, CheckpointError: the checkpoint is missing or damaged.
    """
    folder = run_folder.best(path) if best else run_folder.checkpoints(path)
    step = checkpoint.latest_step(folder)
    if best and step is None:
        raise InputError(f"{path}: holds no best state; `jaxrnn train --keep-best` keeps one.")
    config = checkpoint.read_config(folder, step)
    saved_task, saved_training = saved_options(config)
    restored = experiment(task or saved_task, training or saved_training, config["facts"])
    return restored, checkpoint.restore(folder, jax.eval_shape(restored.init), step=step)


def load(task: Task, path: Path) -> tuple[Any, dict]:
    """Return a task's (data, facts); a task that caches its data keeps it next to the run at `path`."""
    return task.load_kept(run_folder.kept_data(path)) if isinstance(task, KeepsData) else task.load()


def load_again(begun: Experiment, path: Path) -> Any:
    """Load the data of an earlier run again.

    Raises:
      InputError: the data is missing, or has changed.
    """
    try:
        if isinstance(begun.task, LoadsAgain):
            data, facts = begun.task.load_again(begun.facts, run_folder.kept_data(path))
        else:
            data, facts = load(begun.task, path)
    except InputError as error:
        moved = "".join(f" If it was moved: --{name} NEW." for name in places(begun.task))
        raise InputError(f"{error}{moved}") from None
    if facts != begun.facts:
        raise InputError(
            f"{path}: the data has changed since this run began, so what was held out is not known; begin a new run."
        )
    return data
