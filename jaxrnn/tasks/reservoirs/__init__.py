"""Series to forecast with a reservoir: the Mackey-Glass equation and a chaotic laser."""

from jaxrnn.tasks.reservoirs.laser import Laser, intensities
from jaxrnn.tasks.reservoirs.mackey_glass import HORIZON, MackeyGlass, mackey_glass_series
from jaxrnn.tasks.reservoirs.solved import draw_series, nrmse

__all__ = [
    "HORIZON",
    "Laser",
    "MackeyGlass",
    "draw_series",
    "intensities",
    "mackey_glass_series",
    "nrmse",
]
