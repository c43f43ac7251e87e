"""Cells in continuous time: differential equations of the state, and steps that read how much time has passed.

    xs = with_dt(x, dt)                        x: [time, *batch, features],   dt: [time] or [time, *batch]
    carry, ys = unroll(cell, params, xs)

`Timed(x, dt)` is an input with Δt; a plain array has equal steps of the cell's own `dt`.  For measurements at irregular
times with missing values, use `GRUD`: NaN marks the missing values, and input and state decay while nothing is
observed.  `CfC` learns how its state depends on Δt, and takes any Δt.  `LEM` and `CoRNN` are Euler steps of
differential equations whose gradients neither vanish nor explode: they remember for a long time, and need a small Δt
(`LEM` at most 1, `CoRNN` a few hundredths).

    τ ẋ = −x + W φ(x) + U u + b + noise,   r = φ(x)              `RateNetwork`

`RateNetwork` is the network that theoretical neuroscience trains and analyzes; `RateNoise` adds private and shared
noise to its currents.  `jaxrnn.constraints` gives it Dale's principle, areas and low rank, and
`jaxrnn.dynamics.fixed_points` finds its fixed points.

Any other cell can take Δt as a feature, `jnp.concatenate([x, jnp.log(dt)[..., None]], -1)`.  A masked step does not
happen and holds the carry, which is right for padding.  In a gap, time passes: use Δt and NaN there.  Wrappers pass Δt
on, and a `Stack` passes it to every layer that reads it.

Chapter 3.2 and 3.2.3; Goodfellow et al. 2016, §10.9 (several time scales); Sompolinsky, Crisanti & Sommers 1988; Song,
Yang & Wang 2016.
"""

from jaxrnn.cells.continuous.cfc import CfC, CfCParams
from jaxrnn.cells.continuous.cornn import CoRNN, CoRNNCarry, CoRNNParams
from jaxrnn.cells.continuous.gru_d import GRUD, GRUDCarry, GRUDParams
from jaxrnn.cells.continuous.lem import LEM, LEMCarry, LEMParams
from jaxrnn.cells.continuous.rate_network import RateNetwork, RateParams
from jaxrnn.cells.continuous.rate_noise import RateNoise
from jaxrnn.cells.continuous.timed_inputs import with_dt
from jaxrnn.machines.plain_trees import register_records

__all__ = [
    "GRUD",
    "LEM",
    "CfC",
    "CfCParams",
    "CoRNN",
    "CoRNNCarry",
    "CoRNNParams",
    "GRUDCarry",
    "GRUDParams",
    "LEMCarry",
    "LEMParams",
    "RateNetwork",
    "RateNoise",
    "RateParams",
    "with_dt",
]

register_records(__name__)
