"""Tests of what a recurrent state can keep: words over groups and other finite states, and recall of key-value pairs.

Start with `StateTracking`, the word problem of a group, or with `Recall`.  The problems are pure functions of a key:
`words`, `even_pairs`, `cycle_navigation`, `modular_arithmetic`, `associative_recall` and `selective_copying`.  `Tagger`
is the model with which `python -m benchmarks.reproduce.state_tracking` compares the kinds of cells.

Goodfellow et al. 2016, §10.7 and §10.12; chapter 3.1 and 八.
"""

from jaxrnn.tasks.tracking.figures import draw_accuracy, draw_heat_map
from jaxrnn.tasks.tracking.groups import GROUPS, multiplication_table, products
from jaxrnn.tasks.tracking.problems import (
    Problem,
    Questions,
    cycle_navigation,
    even_pairs,
    modular_arithmetic,
    words,
)
from jaxrnn.tasks.tracking.recall import Recall
from jaxrnn.tasks.tracking.recall_problems import associative_recall, selective_copying
from jaxrnn.tasks.tracking.state_tracking import StateTracking
from jaxrnn.tasks.tracking.tagger import KINDS, Tagger, TaggerParams

__all__ = [
    "GROUPS",
    "KINDS",
    "Problem",
    "Questions",
    "Recall",
    "StateTracking",
    "Tagger",
    "TaggerParams",
    "associative_recall",
    "cycle_navigation",
    "draw_accuracy",
    "draw_heat_map",
    "even_pairs",
    "modular_arithmetic",
    "multiplication_table",
    "products",
    "selective_copying",
    "words",
]
