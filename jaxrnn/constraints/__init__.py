"""Constraints on the parameters, as maps raw → θ that compose.

    w_ij = s_i |raw_ij|            `Dale`: signs of the sending units, balanced at first
    w_ij = m_ij raw_ij             `Sparse`, `Areas`, `NoSelfConnections`, `Mask`
    w = n mᵀ / N                   `LowRank`, with `Factors.overlaps`
    τ = 100,  20 < τ < 200         `Fixed`, `Bounded`

Start with `Constraints((…, …))`: `init` makes raw parameters from those that a cell drew, with the spectral radius that
you ask for, and `apply`, inside the loss, maps the raw parameters to those of the network.  The optimizer sees the raw
ones, so the constraints hold exactly after every update.  They fit every cell whose recurrent weight is
`[hidden, gates·hidden]`.  `ConstrainedNetwork` is a network with its constraints as one value, to train and to save.
Penalties, which pull but do not bind, are in `jaxrnn.objectives`.

Chapter 6.2 and 3.2.3; Song, Yang & Wang 2016; Mastrogiuseppe & Ostojic 2018.
"""

from jaxrnn.constraints.connections import Areas, Mask, NoSelfConnections, Sparse
from jaxrnn.constraints.constrained import ConstrainedNetwork, Constraint, Constraints
from jaxrnn.constraints.low_rank import Factors, LowRank, gaussian_factors
from jaxrnn.constraints.ranges import Bounded, Fixed
from jaxrnn.constraints.signs import Dale
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "Areas",
    "Bounded",
    "ConstrainedNetwork",
    "Constraint",
    "Constraints",
    "Dale",
    "Factors",
    "Fixed",
    "LowRank",
    "Mask",
    "NoSelfConnections",
    "Sparse",
    "gaussian_factors",
]

register_records(__name__)
