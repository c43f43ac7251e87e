"""core."""

from jaxrnn.core.local_rules import AutodiffRules
from jaxrnn.core.masks import mask_from_lengths
from jaxrnn.core.noise import DrawsNoise, Noisy, quiet, with_noise
from jaxrnn.core.types import Carry, Cell, Inputs, Key, LocalRules, Params

__all__ = [
    "AutodiffRules",
    "Carry",
    "Cell",
    "DrawsNoise",
    "Inputs",
    "Key",
    "LocalRules",
    "Noisy",
    "Params",
    "mask_from_lengths",
    "quiet",
    "with_noise",
]
