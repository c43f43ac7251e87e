"""Cells in continuous time: differential equations of the state, in steps of Δt.

    τ ẋ = −x + W φ(x) + U u + b + noise,   r = φ(x)              `RateNetwork`

`RateNetwork` is the network that theoretical neuroscience trains and takes apart; `RateNoise` adds private and shared
noise to its currents.  `jaxrnn.constraints` gives it Dale's principle, areas and low rank, and `jaxrnn.dynamics` finds
its fixed points.

Chapter 3.2.3; Sompolinsky, Crisanti & Sommers 1988; Song, Yang & Wang 2016.
"""

from jaxrnn.cells.continuous.rate_network import RateNetwork, RateParams
from jaxrnn.cells.continuous.rate_noise import RateNoise
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "RateNetwork",
    "RateNoise",
    "RateParams",
]

register_records(__name__)
