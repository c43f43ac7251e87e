"""Level 1: one step.  One cell a file."""

from jaxrnn.cells.clockwork import Clockwork, ClockworkCarry
from jaxrnn.cells.delays import Delays, DelaysCarry, DelaysParams
from jaxrnn.cells.elman import Elman, ElmanParams
from jaxrnn.cells.feed_forward import FeedForward, FeedForwardParams
from jaxrnn.cells.gru import GRU, GRUParams
from jaxrnn.cells.jordan import Jordan, JordanParams
from jaxrnn.cells.lstm import LSTM, LSTMCarry, LSTMParams

__all__ = [
    "GRU",
    "LSTM",
    "Clockwork",
    "ClockworkCarry",
    "Delays",
    "DelaysCarry",
    "DelaysParams",
    "Elman",
    "ElmanParams",
    "FeedForward",
    "FeedForwardParams",
    "GRUParams",
    "Jordan",
    "JordanParams",
    "LSTMCarry",
    "LSTMParams",
]
