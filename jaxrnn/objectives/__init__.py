"""objectives."""

from jaxrnn.objectives.losses import (
    bernoulli,
    bits_per_character,
    cross_entropy,
    perplexity,
    sequence_log_probability,
    squared_error,
)
from jaxrnn.objectives.readout import Readout, ReadoutParams

__all__ = [
    "Readout",
    "ReadoutParams",
    "bernoulli",
    "bits_per_character",
    "cross_entropy",
    "perplexity",
    "sequence_log_probability",
    "squared_error",
]
