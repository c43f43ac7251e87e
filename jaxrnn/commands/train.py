"""jaxrnn train: learn a task, and write a folder that the other commands read."""

import argparse
import contextlib
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.cluster import Cluster, joined
from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.experiments import Training, experiment, load, load_again, restore, saved_options
from jaxrnn.commands.runs.memory_limit import check_memory
from jaxrnn.commands.runs.task_names import TASKS, name_of, places, task_named
from jaxrnn.commands.runs.trained_models import leave_files
from jaxrnn.commands.runs.training_loop import fit
from jaxrnn.tasks.data import InputError, check_count
from jaxrnn.training.saving import checkpoint

HELP = """Learn a task; without one, a character language model.

examples:
  jaxrnn train                            Python's own documentation, a minute
  jaxrnn train --file my.txt              your own text
  jaxrnn train --tokens 1024              byte pairs instead of characters (pip install 'jaxrnn[tokens]')
  jaxrnn train --task NAME --help         another task, and its options
  jaxrnn train --cell gru --hidden 512    another model
  jaxrnn train --resume                   continue the newest run
  jaxrnn train --resume --extend-to 5000  continue it with more updates
  jaxrnn train --task mine:Task           the class Task of your own mine.py

tasks: {tasks}"""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The task to learn; each task has its own options."""

    task: str = "text"
    """One of the tasks above, or MODULE:CLASS for your own; --task NAME --help shows its options."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """The folder of the run."""

    run: str | None = None
    """The run's folder; None is the first free one of runs/TASK, runs/TASK-2, …"""
    resume: bool = False
    """Continue --run, or the newest run, with its own options."""
    extend_to: int | None = None
    """With --resume: the new total number of updates, above the old one; the rate falls to 0 at the new last update."""
    keep_best: bool = False
    """Also keep the state with the lowest held-out score; --best of the other commands reads it."""

    def __post_init__(self):
        if self.extend_to is not None and not self.resume:
            raise InputError("--extend-to N goes with --resume.")


def run(argv: list[str]) -> int:
    """Train, and return 0, or 128 + the signal that ended the run early."""
    first, argv = _first_words(argv)
    path = run_folder.find(first.run) if first.resume else None
    config = None if path is None else checkpoint.read_config(run_folder.checkpoints(path))
    name = _task_name(first.task, config)
    kind = task_named(name)
    kinds = {"choice": Choice, "task": kind, "training": Training, "folder": Folder, "cluster": Cluster}
    parts = kinds | {"choice": partial(Choice, name), "training": partial(Training, **kind.training)}
    options: Any = dataclasses.make_dataclass(
        "Options",
        [(part, kind, dataclasses.field(default_factory=parts[part])) for part, kind in kinds.items()],
        frozen=True,
    )
    read = partial(parse, options, argv, prog="jaxrnn train", description=HELP.format(tasks=", ".join(TASKS)))
    if path is None or config is None:
        given = read()
        with joined(given.cluster) as elsewhere:
            return _begin(given, elsewhere)
    saved = options(Choice(name), *saved_options(config), Folder(), Cluster())
    given = read(default=saved)
    _refuse_changes(path, saved, given)
    with joined(given.cluster) as elsewhere:
        return _resume(path, given, elsewhere)


def _first_words(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split off --task, which determines the other options."""

    def parser():
        return argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)

    task, run = parser(), parser()
    task.add_argument("--task")
    run.add_argument("--run")
    run.add_argument("--resume", action="store_true")
    try:
        first, rest = task.parse_known_args(argv)
        return run.parse_known_args(rest, first)[0], rest
    except argparse.ArgumentError as error:
        raise InputError(f"{error}.") from None


def _task_name(asked: str | None, config: dict | None) -> str:
    """Return the requested task, or the task of the resumed run.

    Raises:
      InputError: the run is of another task.
    """
    begun = None if config is None else str(config.get("task"))
    if begun is not None and asked not in (None, begun):
        raise InputError(f"--task {asked}: the run is one of --task {begun}, and a resumed run keeps its options.")
    return begun or asked or "text"


def _refuse_changes(path: Path, saved: Any, given: Any) -> None:
    """Raise InputError for an option that would change the run; only the place of its data may change."""
    for part in ("task", "training"):
        before, after = getattr(saved, part), getattr(given, part)
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old != new and field.name not in places(after):
                option = f"--{field.name.replace('_', '-')}"
                more = "; --extend-to N makes more updates" if field.name == "steps" else ""
                raise InputError(
                    f"{option} {new}: {path} was begun with {old}, and a resumed run keeps its options{more}."
                )


def _begin(given: Any, elsewhere: Path | None) -> int:
    """Begin a run in its own folder; all processes but the first write elsewhere."""
    run = given.folder.run if elsewhere is None else str(elsewhere)
    if run is not None:
        run_folder.check_free(run)  # before the data, which may take long
    data, facts = load(given.task, run_folder.ROOT / "new" if run is None else Path(run))
    begun = experiment(given.task, given.training, facts)
    check_memory(begun, data)
    with run_folder.created(run, _short_name(begun.task)) as path:
        leave_files(begun, path)
        return fit(begun, begun.init(), data, path, keep_best=given.folder.keep_best)


def _resume(path: Path, given: Any, elsewhere: Path | None) -> int:
    """Resume a run from its last checkpoint, on the same data; it writes elsewhere if that is given."""
    begun, state = restore(path, task=given.task, training=_extended(given))
    keep_best = given.folder.keep_best or run_folder.best(path).exists()
    with contextlib.ExitStack() as stack:
        data = load_again(begun, path)
        if elsewhere is None:
            stack.enter_context(run_folder.locked(path))
        else:
            path = stack.enter_context(run_folder.created(str(elsewhere), _short_name(begun.task)))
        run_folder.rewind_metrics(path, int(state.step))
        if state.step >= begun.training.steps:
            print(f"{path}: is finished, all {state.step} updates are made; --extend-to N makes more.")
            return 0
        print(f"going on after update {state.step}")
        return fit(begun, state, data, path, keep_best=keep_best)


def _short_name(task: Any) -> str:
    """Return the name of the task's runs in runs/: "text", or "rising" for mine:Rising."""
    return name_of(task).rpartition(":")[2].lower()


def _extended(given: Any) -> Training:
    """Return the options of the resumed training, with more updates if requested."""
    if given.folder.extend_to is None:
        return given.training
    check_count(given.training.steps + 1, extend_to=given.folder.extend_to)
    return dataclasses.replace(given.training, steps=given.folder.extend_to)
