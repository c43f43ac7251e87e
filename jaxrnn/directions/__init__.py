"""More than one direction: bidirectional networks, and networks over grids.

    y⁽ᵗ⁾ = [h⁽ᵗ⁾, g⁽ᵗ⁾],   h forward in time, g backward in time               `Bidirectional`
    h⁽ⁱʲ⁾ = f(h⁽ⁱ⁻¹ʲ⁾, h⁽ⁱʲ⁻¹⁾, x⁽ⁱʲ⁾)   from each of the four corners          `Multidirectional`

Start with `Bidirectional`: rows of unequal length need no flipping, because padding holds the carry.  `unroll_2d` runs
a two-dimensional cell (`Elman2D`, `LSTM2D`) over a grid from one corner.

Chapter 2.7; Goodfellow et al. 2016, §10.3; Graves, Fernández & Schmidhuber 2007.
"""

from jaxrnn.directions.bidirectional import Bidirectional, Directions
from jaxrnn.directions.bidirectional_stack import BidirectionalStack
from jaxrnn.directions.elman2d import Elman2D
from jaxrnn.directions.grid_weights import GridParams
from jaxrnn.directions.lstm2d import LSTM2D
from jaxrnn.directions.multidirectional import Cell2D, Multidirectional, unroll_2d, unroll_2d_python
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "LSTM2D",
    "Bidirectional",
    "BidirectionalStack",
    "Cell2D",
    "Directions",
    "Elman2D",
    "GridParams",
    "Multidirectional",
    "unroll_2d",
    "unroll_2d_python",
]

register_records(__name__)
