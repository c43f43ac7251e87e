"""jaxrnn train: learn a task, and leave a folder that the other commands read."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from jaxrnn import checkpoint
from jaxrnn.commands import runs
from jaxrnn.commands.experiment import Training, experiment, restore, saved_options
from jaxrnn.commands.fit import fit
from jaxrnn.commands.memory import check_memory
from jaxrnn.commands.parse import parse
from jaxrnn.data import InputError
from jaxrnn.tasks import TASKS

HELP = """Learn a task; without one, a character language model.

examples:
  jaxrnn train                            Python's own documentation, 2 minutes
  jaxrnn train --file my.txt              your own text
  jaxrnn train --cell gru --hidden 512    another model
  jaxrnn train --resume                   go on with the newest run

tasks (the first word after train): {tasks}"""


@dataclasses.dataclass(frozen=True)
class Folder:
    """Where it is kept."""

    run: str | None = None
    """The run's folder; None is the first free one of runs/TASK, runs/TASK-2, …"""
    resume: bool = False
    """Go on with --run, or with the newest run; its options are kept."""


def run(argv: list[str]) -> int:
    """Train; 0, or 128 + the signal that ended it early."""
    name, argv = (argv[0], argv[1:]) if argv and argv[0] in TASKS else ("text", argv)
    parts = {"task": TASKS[name], "training": Training, "folder": Folder}
    options: Any = dataclasses.make_dataclass(
        "Options", [(part, cls, dataclasses.field(default_factory=cls)) for part, cls in parts.items()], frozen=True
    )
    read = partial(parse, options, argv, prog="jaxrnn train", description=HELP.format(tasks=", ".join(TASKS)))
    given = read()
    if not given.folder.resume:
        return _begin(given)
    path = runs.find(given.folder.run)
    saved = options(*saved_options(checkpoint.read_config(runs.checkpoints(path))), Folder())
    _refuse_changes(path, saved, read(default=saved))
    return _resume(path)


def _refuse_changes(path: Path, saved: Any, given: Any) -> None:
    """A resumed run is the run that was begun: other options would make it neither."""
    for part in ("task", "training"):
        before, after = getattr(saved, part), getattr(given, part)
        for field in dataclasses.fields(before):
            old, new = getattr(before, field.name), getattr(after, field.name)
            if old != new:
                option = f"--{field.name.replace('_', '-')}"
                raise InputError(f"{option} {new}: {path} was begun with {old}, and a resumed run keeps its options.")


def _begin(given: Any) -> int:
    """A new run."""
    data, facts = given.task.load()
    begun = experiment(given.task, given.training, facts)
    check_memory(begun, data)
    path = runs.create(given.folder.run, begun.config()["task"])
    return fit(begun, begun.init(), data, path)


def _resume(path: Path) -> int:
    """A run from its last checkpoint, on the same data."""
    begun, state = restore(path)
    data, facts = begun.task.load()
    if facts != begun.facts:
        raise InputError(f"{path}: the data has changed since this run began; begin a new one.")
    runs.rewind_metrics(path, int(state.step))
    if state.step >= begun.training.steps:
        print(f"{path}: is finished, all {state.step} updates are made.")
        return 0
    print(f"going on after update {state.step}")
    return fit(begun, state, data, path)
