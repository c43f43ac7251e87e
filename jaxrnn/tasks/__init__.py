"""What there is to learn: one problem, one file, one frozen dataclass.

A task is to training what a cell is to a step: a value that holds options, with pure functions as its
methods, and no base class.  `TASKS` is the one place that names them; docs/tasks.md says how to add one.
"""

from jaxrnn.tasks.data import Corpus, InputError, builtin_text, corpus, decode, encode, stream_batch
from jaxrnn.tasks.memory.copy import Copy
from jaxrnn.tasks.memory.stories import Stories
from jaxrnn.tasks.plots import learning_curve
from jaxrnn.tasks.reservoirs.laser import Laser
from jaxrnn.tasks.reservoirs.mackey_glass import MackeyGlass
from jaxrnn.tasks.sequences.captions import CaptionDigits
from jaxrnn.tasks.sequences.chorales import Chorales
from jaxrnn.tasks.sequences.digits import Digits
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.tasks.sequences.vowels import Vowels
from jaxrnn.tasks.task import Illustrates, Task
from jaxrnn.tasks.translation.dates import Dates
from jaxrnn.tasks.translation.numbers import Numbers
from jaxrnn.tasks.translation.reverse import Reverse
from jaxrnn.tasks.trees.expressions import Expressions
from jaxrnn.tasks.trees.listops import ListOps

TASKS: dict[str, type[Task]] = {
    "text": Text,
    "copy": Copy,
    "stories": Stories,
    "dates": Dates,
    "expressions": Expressions,
    "listops": ListOps,
    "numbers": Numbers,
    "reverse": Reverse,
    "digits": Digits,
    "vowels": Vowels,
    "captions": CaptionDigits,
    "chorales": Chorales,
    "mackey-glass": MackeyGlass,
    "laser": Laser,
}

__all__ = [
    "TASKS",
    "Corpus",
    "Illustrates",
    "InputError",
    "Task",
    "builtin_text",
    "corpus",
    "decode",
    "encode",
    "learning_curve",
    "stream_batch",
]
