"""Tasks that turn one sequence into another: dates, numbers in words, reversed letters."""

from jaxrnn.tasks.translation.dates import Dates
from jaxrnn.tasks.translation.numbers import Numbers, spell
from jaxrnn.tasks.translation.reverse import Reverse, backwards
from jaxrnn.tasks.translation.sequence_pairs import END, Pairs, bucket, pairs
from jaxrnn.tasks.translation.translation import Translation, answers, draw_alignments, exact, translate

__all__ = [
    "END",
    "Dates",
    "Numbers",
    "Pairs",
    "Reverse",
    "Translation",
    "answers",
    "backwards",
    "bucket",
    "draw_alignments",
    "exact",
    "pairs",
    "spell",
    "translate",
]
