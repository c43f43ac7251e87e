"""Tasks of `jaxrnn train`: the data and the model of each, in the folder of its kind.

A task is a frozen dataclass of options whose methods are pure functions, as a cell is; there is no base class.  `Task`
is the protocol, `TASKS` names the tasks of the command line, and docs/tasks.md says how to add one.  Your own task
needs no place here: `jaxrnn train --task module:Class`.

    sequences     characters, digits read row by row, spoken vowels, chorales, captions
    translation   dates, numbers in words, reversed letters
    trees         nested lists of operations, arithmetic expressions
    reservoirs    the Mackey-Glass equation, a chaotic laser
    cognitive     decisions, working memory, timing: what is asked of animals and of rate networks
    memory        copying and its kin, questions about stories
    tracking      words over groups and other states, recall of what was shown

Chapter 2.4, 四, 五, 六 and 八; Goodfellow et al. 2016, chapter 10.
"""

from jaxrnn.tasks import cognitive, memory, reservoirs, sequences, tracking, translation, trees
from jaxrnn.tasks.data import Corpus, InputError, builtin_text, corpus, decode, encode, stream_batch
from jaxrnn.tasks.plots import learning_curve
from jaxrnn.tasks.task import Illustrates, KeepsData, LeavesFiles, LoadsAgain, MeasuresPart, Task

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

__all__ = [
    "TASKS",
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
