"""Tasks over sequences: characters, digits read row by row, spoken vowels, chorales, captions.

Start with `Text`, the character language model that `jaxrnn train` learns by default.  Chapter 2.1, 2.5 and 2.7;
Goodfellow et al. 2016, §10.2 and §10.3.
"""

from jaxrnn.tasks.sequences.captions import LETTERS, LONGEST, NAMES, CaptionDigits, caption, names_of
from jaxrnn.tasks.sequences.chorales import Chorales
from jaxrnn.tasks.sequences.digits import Digits
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.tasks.sequences.vowels import Vowels

__all__ = [
    "LETTERS",
    "LONGEST",
    "NAMES",
    "CaptionDigits",
    "Chorales",
    "Digits",
    "Text",
    "Vowels",
    "caption",
    "names_of",
]
