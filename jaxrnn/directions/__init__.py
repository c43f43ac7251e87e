"""directions."""

from jaxrnn.directions.bidirectional import Bidirectional, Directions
from jaxrnn.directions.elman2d import Elman2D, Elman2DParams
from jaxrnn.directions.lstm2d import LSTM2D, LSTM2DParams
from jaxrnn.directions.multidirectional import Cell2D, Multidirectional, unroll_2d, unroll_2d_python

__all__ = [
    "LSTM2D",
    "Bidirectional",
    "Cell2D",
    "Directions",
    "Elman2D",
    "Elman2DParams",
    "LSTM2DParams",
    "Multidirectional",
    "unroll_2d",
    "unroll_2d_python",
]
