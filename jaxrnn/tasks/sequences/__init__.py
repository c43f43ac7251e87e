"""Tasks over sequences: characters, digits read row by row, spoken vowels, chorales, captions."""

from jaxrnn.tasks.sequences.captions import (
    LETTERS,
    LONGEST,
    NAMES,
    CaptionDigits,
    Captions,
    caption,
    names_of,
    stop_rule,
)
from jaxrnn.tasks.sequences.chorales import Chorales, Rolls, piano_roll, to_stream
from jaxrnn.tasks.sequences.digits import Digits, Images, load_images
from jaxrnn.tasks.sequences.text import Text
from jaxrnn.tasks.sequences.vowels import Utterances, Vowels

__all__ = [
    "LETTERS",
    "LONGEST",
    "NAMES",
    "CaptionDigits",
    "Captions",
    "Chorales",
    "Digits",
    "Images",
    "Rolls",
    "Text",
    "Utterances",
    "Vowels",
    "caption",
    "load_images",
    "names_of",
    "piano_roll",
    "stop_rule",
    "to_stream",
]
