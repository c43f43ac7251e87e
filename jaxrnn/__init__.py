"""Recurrent networks as pure functions for JAX."""

from jaxrnn.bptt import Gradients, bptt, unroll_bptt
from jaxrnn.cells.autodiff_rules import AutodiffRules
from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.jordan import Jordan, JordanParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams
from jaxrnn.cells.stack import Stack
from jaxrnn.losses import (
    bernoulli,
    bits_per_character,
    cross_entropy,
    perplexity,
    sequence_log_probability,
    squared_error,
)
from jaxrnn.models.feedback import Feedback, FeedbackCarry, FeedbackParams
from jaxrnn.models.output_to_hidden import OutputToHidden
from jaxrnn.models.patterns import ManyToMany, ManyToOne, PatternParams, last_valid
from jaxrnn.readout import Readout, ReadoutParams
from jaxrnn.teacher_forcing import FeedbackCell, scheduled_sampling, teacher_forced
from jaxrnn.types import Cell, LocalRules
from jaxrnn.unroll import mask_from_lengths, unroll, unroll_python

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "AutodiffRules",
    "Cell",
    "Elman",
    "ElmanParams",
    "Feedback",
    "FeedbackCarry",
    "FeedbackCell",
    "FeedbackParams",
    "GRUParams",
    "Gradients",
    "Jordan",
    "JordanParams",
    "LSTMCarry",
    "LSTMParams",
    "LocalRules",
    "ManyToMany",
    "ManyToOne",
    "OutputToHidden",
    "PatternParams",
    "Readout",
    "ReadoutParams",
    "Stack",
    "bernoulli",
    "bits_per_character",
    "bptt",
    "cross_entropy",
    "last_valid",
    "mask_from_lengths",
    "perplexity",
    "scheduled_sampling",
    "sequence_log_probability",
    "squared_error",
    "teacher_forced",
    "unroll",
    "unroll_bptt",
    "unroll_python",
]
