"""Series to forecast with a reservoir: the Mackey-Glass equation and a chaotic laser.

Start with `MackeyGlass`.  Chapter 六; Goodfellow et al. 2016, §10.8.
"""

from jaxrnn.tasks.reservoirs.laser import Laser, intensities
from jaxrnn.tasks.reservoirs.mackey_glass import HORIZON, MackeyGlass, mackey_glass_series

__all__ = [
    "HORIZON",
    "Laser",
    "MackeyGlass",
    "intensities",
    "mackey_glass_series",
]
