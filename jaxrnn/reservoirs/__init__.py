"""reservoirs."""

from jaxrnn.reservoirs.echo_state import forgetting_rate, intrinsic_plasticity, memory_capacity
from jaxrnn.reservoirs.esn import ESN
from jaxrnn.reservoirs.recursive_least_squares import Tracker, track, tracker
from jaxrnn.reservoirs.reservoir import (
    Reservoir,
    ReservoirParams,
    recurrent_matrix,
    spectral_radius,
    with_spectral_radius,
)
from jaxrnn.reservoirs.ridge_regression import Equations, add_equations, no_equations, ridge, solve
from jaxrnn.reservoirs.spiking import LIF, LIFCarry, LIFParams
from jaxrnn.reservoirs.washout import washout_mask

__all__ = [
    "ESN",
    "LIF",
    "Equations",
    "LIFCarry",
    "LIFParams",
    "Reservoir",
    "ReservoirParams",
    "Tracker",
    "add_equations",
    "forgetting_rate",
    "intrinsic_plasticity",
    "memory_capacity",
    "no_equations",
    "recurrent_matrix",
    "ridge",
    "solve",
    "spectral_radius",
    "track",
    "tracker",
    "washout_mask",
    "with_spectral_radius",
]
