"""jaxrnn train: learn a task, and leave a folder that the other commands read."""

import argparse
import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from jaxrnn.commands.runs import run_folder
from jaxrnn.commands.runs.cluster import Cluster, joined
from jaxrnn.commands.runs.command_line import parse
from jaxrnn.commands.runs.experiments import Training, experiment, restore, saved_options
from jaxrnn.commands.runs.memory_limit import check_memory
from jaxrnn.commands.runs.training_loop import fit
from jaxrnn.tasks import TASKS
from jaxrnn.tasks.data import InputError
from jaxrnn.training.saving import checkpoint

HELP = """Learn a task; without one, a character language model.

examples:
  jaxrnn train                            Python's own documentation, a minute
  jaxrnn train --file my.txt              your own text
  jaxrnn train --task NAME --help         another task, and its options
  jaxrnn train --cell gru --hidden 512    another model
  jaxrnn train --resume                   go on with the newest run

tasks: {tasks}"""


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where it is kept."""

    run: str | None = None
    """The run's folder; None is the first free one of runs/TASK, runs/TASK-2, …"""
    resume: bool = False
    """Go on with --run, or with the newest run; its options are kept."""


def run(argv: list[str]) -> int:
    """Train; 0, or 128 + the signal that ended it early."""
    first, argv = _first_words(argv)
    path = run_folder.find(first.run) if first.resume else None
    config = None if path is None else checkpoint.read_config(run_folder.checkpoints(path))
    name = _task_name(first.task, config)
    kinds = {"task": TASKS[name], "training": Training, "folder": Folder, "cluster": Cluster}
    parts = kinds | {"training": partial(Training, **TASKS[name].training)}
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
    saved = options(*saved_options(config), Folder(), Cluster())
    given = read(default=saved)
    _refuse_changes(path, saved, given)
    with joined(given.cluster) as elsewhere:
        return _resume(path, elsewhere)


def _first_words(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What decides which options there are, and the words without --task."""

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
    """The task that was asked for, or the one of the run that is resumed.

    Raises:
      InputError: there is no such task, or the run is of another one.
    """
    if asked is not None and asked not in TASKS:
        raise InputError(f"--task {asked}: there is no such task; there are {', '.join(TASKS)}.")
    begun = None if config is None else str(config.get("task"))
    if begun is not None and asked not in (None, begun):
        raise InputError(f"--task {asked}: the run is one of --task {begun}, and a resumed run keeps its options.")
    name = begun or asked or "text"
    if name not in TASKS:
        raise InputError(f"the checkpoint's config is not that of a run of `jaxrnn train`: task {name!r}.")
    return name


def _refuse_changes(path: Path, saved: Any, given: Any) -> None:
    """A resumed run is the run that was begun: other options would make it neither."""
    for part in ("task", "training"):
        before, after = getattr(saved, part), getattr(given, part)
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old != new:
                option = f"--{field.name.replace('_', '-')}"
                raise InputError(f"{option} {new}: {path} was begun with {old}, and a resumed run keeps its options.")


def _begin(given: Any, elsewhere: Path | None) -> int:
    """A new run, in its own folder, or elsewhere if the first of several processes has that."""
    data, facts = given.task.load()
    begun = experiment(given.task, given.training, facts)
    check_memory(begun, data)
    path = run_folder.create(given.folder.run if elsewhere is None else str(elsewhere), begun.config()["task"])
    return fit(begun, begun.init(), data, path)


def _resume(path: Path, elsewhere: Path | None) -> int:
    """A run from its last checkpoint, on the same data; what it writes goes elsewhere if that is given."""
    begun, state = restore(path)
    data, facts = begun.task.load()
    if facts != begun.facts:
        raise InputError(f"{path}: the data has changed since this run began; begin a new one.")
    path = path if elsewhere is None else run_folder.create(str(elsewhere), begun.config()["task"])
    run_folder.rewind_metrics(path, int(state.step))
    if state.step >= begun.training.steps:
        print(f"{path}: is finished, all {state.step} updates are made.")
        return 0
    print(f"going on after update {state.step}")
    return fit(begun, state, data, path)
