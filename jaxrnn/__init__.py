"""Recurrent networks as pure functions for JAX."""

from jaxrnn.bptt import Gradients, bptt, unroll_bptt
from jaxrnn.cells.autodiff_rules import AutodiffRules
from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams
from jaxrnn.cells.stack import Stack
from jaxrnn.losses import bernoulli, bits_per_character, cross_entropy, perplexity, squared_error
from jaxrnn.readout import Readout, ReadoutParams
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
    "GRUParams",
    "Gradients",
    "LSTMCarry",
    "LSTMParams",
    "LocalRules",
    "Readout",
    "ReadoutParams",
    "Stack",
    "bernoulli",
    "bits_per_character",
    "bptt",
    "cross_entropy",
    "mask_from_lengths",
    "perplexity",
    "squared_error",
    "unroll",
    "unroll_bptt",
    "unroll_python",
]
