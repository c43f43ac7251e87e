"""Constraints on the parameters, as maps raw → θ that compose.

    w_ij = s_i |raw_ij|            `Dale`: signs of the sending units, balanced at initialization
    w_ij = m_ij raw_ij             `Sparse`, `Areas`, `NoSelfConnections`, `Mask`
    w = n mᵀ / N                   `LowRank`, with `Factors.overlaps`
    w = exp(A − Aᵀ)                `Orthogonal`
    τ = 100,  20 < τ < 200         `Fixed`, `Bounded`

Start with `Constraints((…, …))`: `init` makes raw parameters from those that a cell drew, with a given spectral radius,
and `apply`, inside the loss, maps the raw parameters to those of the network.  The optimizer updates the raw
parameters, so the constraints hold exactly after every update.  They work for every cell whose recurrent weight is
`[hidden, gates·hidden]`.  `ConstrainedNetwork` combines a network and its constraints in one value, for training and
saving.  For soft penalties, see `jaxrnn.objectives`.

Chapter 3.1, 6.2 and 3.2.3; Song, Yang & Wang 2016; Mastrogiuseppe & Ostojic 2018; Lezcano-Casado & Martínez-Rubio 2019.
"""

from jaxrnn.constraints.connections import Areas, Mask, NoSelfConnections, Sparse
from jaxrnn.constraints.constrained import ConstrainedNetwork, Constraint, Constraints
from jaxrnn.constraints.low_rank import Factors, LowRank, gaussian_factors
from jaxrnn.constraints.orthogonal import Orthogonal
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
    "Orthogonal",
    "Sparse",
    "gaussian_factors",
]

register_records(__name__)
