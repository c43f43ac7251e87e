"""linear."""

from jaxrnn.linear.linear_unit import LinearUnit, LinearUnitParams
from jaxrnn.linear.lru import LRU, LRUParams
from jaxrnn.linear.min_gru import MinGRU, MinGRUParams
from jaxrnn.linear.min_lstm import MinLSTM, MinLSTMParams
from jaxrnn.linear.protocol import ComplexPair, LinearCell

__all__ = [
    "LRU",
    "ComplexPair",
    "LRUParams",
    "LinearCell",
    "LinearUnit",
    "LinearUnitParams",
    "MinGRU",
    "MinGRUParams",
    "MinLSTM",
    "MinLSTMParams",
]
