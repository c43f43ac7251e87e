"""Reservoir computing: a fixed random network, and a read-out that is solved for, not trained.

    h⁽ᵗ⁾ = tanh(W h⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾ + b)   fixed;        min_V Σₜ ‖y⁽ᵗ⁾ − V h⁽ᵗ⁾‖² + λ‖V‖²   solved in float64

Start with `ESN`, an echo state network: `fit` solves for its read-out, and `apply` runs it, on its own outputs if it
has feedback.  `Reservoir` is its cell, whose spectral radius is a parameter (0.8 to 1.25 is the usual advice).
`ridge`, `add_equations` and `solve` are the regression by itself, and `track` solves it recursively, step by step;
`force` and `full_force` do so in a network that runs on its own output.  `LIF` is the spiking cell of a liquid state
machine; `memory_capacity` and `forgetting_rate` measure a reservoir.

Chapter 六; Goodfellow et al. 2016, §10.8; Jaeger 2001; Maass, Natschläger & Markram 2002.
"""

from jaxrnn.machines.plain_trees import register_records
from jaxrnn.reservoirs.closed_loop import FullForceCarry, force, force_params, full_force
from jaxrnn.reservoirs.echo_state import forgetting_rate, intrinsic_plasticity, memory_capacity
from jaxrnn.reservoirs.esn import ESN
from jaxrnn.reservoirs.recursive_least_squares import Tracker, track, tracker
from jaxrnn.reservoirs.reservoir import (
    Reservoir,
    ReservoirParams,
    recurrent_matrix,
)
from jaxrnn.reservoirs.ridge_regression import Equations, add_equations, no_equations, ridge, solve
from jaxrnn.reservoirs.spectrum import spectral_radius, with_spectral_radius
from jaxrnn.reservoirs.spiking import LIF, LIFCarry, LIFParams
from jaxrnn.reservoirs.washout import washout_mask

__all__ = [
    "ESN",
    "LIF",
    "Equations",
    "FullForceCarry",
    "LIFCarry",
    "LIFParams",
    "Reservoir",
    "ReservoirParams",
    "Tracker",
    "add_equations",
    "force",
    "force_params",
    "forgetting_rate",
    "full_force",
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

register_records(__name__)
