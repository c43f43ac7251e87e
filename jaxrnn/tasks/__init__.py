"""Tasks of `jaxrnn train`: the data and the model of each, in the folder of its kind.

A task is a frozen dataclass of options whose methods are pure functions, as with a cell; there is no base class.
`Task` is the protocol, and docs/tasks.md says how to add one.  Your own task may live outside this folder:
`jaxrnn train --task module:Class`.

    sequences     characters, digits read row by row, spoken vowels, chorales, captions
    translation   dates, numbers in words, reversed letters
    trees         nested lists of operations, arithmetic expressions
    reservoirs    the Mackey-Glass equation, a chaotic laser
    cognitive     decisions, working memory, timing: laboratory tasks for animals and rate networks
    memory        copying and related algorithms, questions about stories
    tracking      words over groups and other finite states, recall of key-value pairs

Chapter 2.4, 四, 五, 六 and 八; Goodfellow et al. 2016, chapter 10.
"""

from importlib import import_module

from jaxrnn.tasks.data import Corpus, InputError, builtin_text, corpus, decode, encode, stream_batch
from jaxrnn.tasks.plots import learning_curve
from jaxrnn.tasks.task import Illustrates, KeepsData, LeavesFiles, LoadsAgain, MeasuresPart, Task

_FOLDERS = ("cognitive", "memory", "reservoirs", "sequences", "tracking", "translation", "trees")


def __getattr__(name: str):
    """Import the tasks of one kind at their first use; a program needs few of them."""
    if name in _FOLDERS:
        return import_module(f"jaxrnn.tasks.{name}")
    raise AttributeError(f"module 'jaxrnn.tasks' has no attribute {name!r}")


__all__ = [
    "Corpus",
    "Illustrates",
    "InputError",
    "KeepsData",
    "LeavesFiles",
    "LoadsAgain",
    "MeasuresPart",
    "Task",
    "builtin_text",
    "corpus",
    "decode",
    "encode",
    "learning_curve",
    "stream_batch",
]
