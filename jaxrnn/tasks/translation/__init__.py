"""Tasks that turn one sequence into another: dates, numbers in words, reversed letters.

Start with `Dates`, which needs attention to be exact.  Chapter 四; Goodfellow et al. 2016, §10.4.
"""

from jaxrnn.tasks.translation.dates import Dates
from jaxrnn.tasks.translation.numbers import Numbers
from jaxrnn.tasks.translation.reverse import LETTERS, Reverse, backwards
from jaxrnn.tasks.translation.sequence_pairs import END, bucket, pairs
from jaxrnn.tasks.translation.translation import exact, translate

__all__ = ["END", "LETTERS", "Dates", "Numbers", "Reverse", "backwards", "bucket", "exact", "pairs", "translate"]
