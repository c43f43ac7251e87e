"""The names of tasks on the command line: those in `TASKS`, and MODULE:CLASS for a user's own."""

import dataclasses
import importlib
import os
import sys
from typing import Any

from jaxrnn.tasks import Task, cognitive, memory, reservoirs, sequences, tracking, translation, trees
from jaxrnn.tasks.data import InputError

TASKS: dict[str, type[Task]] = {
    "text": sequences.Text,
    "copy": memory.Copy,
    "stories": memory.Stories,
    "dates": translation.Dates,
    "expressions": trees.Expressions,
    "listops": trees.ListOps,
    "numbers": translation.Numbers,
    "reverse": translation.Reverse,
    "digits": sequences.Digits,
    "vowels": sequences.Vowels,
    "captions": sequences.CaptionDigits,
    "chorales": sequences.Chorales,
    "mackey-glass": reservoirs.MackeyGlass,
    "laser": reservoirs.Laser,
    "state-tracking": tracking.StateTracking,
    "recall": tracking.Recall,
    "flip-flop": cognitive.FlipFlop,
    "perceptual-decision": cognitive.PerceptualDecision,
    "context-decision": cognitive.ContextDecision,
    "delayed-match": cognitive.DelayedMatch,
    "working-memory": cognitive.WorkingMemory,
    "ready-set-go": cognitive.ReadySetGo,
    "sine-wave": cognitive.SineWave,
    "multi-task": cognitive.MultiTask,
}

_METHODS = ("load", "describe", "model", "carry", "units", "batch_at", "loss", "metrics", "evaluate")
_FACTS = ("unit", "score", "training")


def task_named(name: str) -> Any:
    """Return the class of a task.

    Raises:
      InputError: there is no such task, or the class is not a task.
    """
    if name in TASKS:
        return TASKS[name]
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise InputError(
            f"--task {name}: there is no such task; there are {', '.join(TASKS)}, and MODULE:CLASS for your own."
        )
    if os.getcwd() not in sys.path:  # as `python -m` has it, and the `jaxrnn` script has not
        sys.path.insert(0, os.getcwd())
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"--task {name}: {error}.") from None
    _check_task(name, kind)
    return kind


def name_of(task: Task) -> str:
    """Return the name by which `task_named` finds the task."""
    kind = type(task)
    own = f"{kind.__module__}:{kind.__qualname__}"
    return next((name for name, known in TASKS.items() if known is kind), own)


def places(task: Any) -> tuple[str, ...]:
    """Return the options that locate the data; a resumed run may change them if the data is the same."""
    return getattr(task, "places", ())


def _check_task(name: str, kind: Any) -> None:
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__hash__):
        raise InputError(f"--task {name}: must be a frozen dataclass, got {kind!r}.")
    missing = [part for part in (*_METHODS, *_FACTS) if not hasattr(kind, part)]
    if missing:
        raise InputError(f"--task {name}: has no {', '.join(missing)}; `jaxrnn.tasks.Task` says what each is.")
