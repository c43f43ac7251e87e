"""Reservoirs on a ring of points: each reads a part of the ring, and all have the same weights.

References: Pathak, Hunt, Girvan, Lu & Ott 2018.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn import ESN, Readout
from jaxrnn.patterns.feedback import FeedbackParams
from jaxrnn.reservoirs import Reservoir, no_equations

WARMED = 200
"""Steps that a reservoir reads before it is fitted or continued."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Squared:
    """A cell that returns y and y²: twice as many read-out weights for the same reservoir."""

    cell: Reservoir

    def init(self, key):
        """Draw the parameters of the cell."""
        return self.cell.init(key)

    def initial_carry(self, params, batch_shape=()):
        """Return the initial carry of the cell."""
        return self.cell.initial_carry(params, batch_shape)

    def project(self, params, xs):
        """Return the projection of the cell."""
        return self.cell.project(params, xs)

    def step(self, params, carry, z):
        """Run the step of the cell, and return [y; y²] as the output."""
        h, y = self.cell.step(params, carry, z)
        return h, beside_squares(y)


def beside_squares(y):
    """Return [y; y²]."""
    return jnp.concatenate([y, y**2], axis=-1)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Ring:
    """Points on a ring in groups: each group has a reservoir that reads it and its margins; all share the weights.

    The groups are another axis of the batch.  A single group without margins is an ordinary reservoir.
    """

    network: ESN
    margin: int = 0

    def parts(self, u):
        """Return the points that each reservoir predicts: `[..., points]` → `[..., groups, group]`."""
        return u.reshape(*u.shape[:-1], -1, self.network.readout.output_size)

    def seen(self, u):
        """Return the points that each reservoir reads: `[..., points]` → `[..., groups, margin + group + margin]`."""
        points, group = u.shape[-1], self.network.readout.output_size
        window = np.arange(-self.margin, group + self.margin)
        return u[..., (np.arange(0, points, group)[:, None] + window) % points]

    @partial(jax.jit, static_argnums=0)
    def equations(self, params: FeedbackParams, us):
        """Return the equations of the read-out that predicts uₜ₊₁."""
        nothing = no_equations(params.readout.v.shape[0], self.network.readout.output_size)
        return self.network.accumulate(params, nothing, self.seen(us[:-1]), self.parts(us[1:]), washout=WARMED)[1]

    @partial(jax.jit, static_argnums=(0, 3))
    def go_on(self, params: FeedbackParams, us, steps: int):
        """Return u for `steps` more steps, each predicted from the one before."""
        h, os = self.network.apply(params, self.seen(us))

        def step(state, _):
            h, u = state
            h, os = self.network.apply(params, self.seen(u)[None], h)
            u = os.reshape(u.shape)
            return (h, u), u

        first = os[-1].reshape(us[-1].shape)
        return jnp.concatenate([first[None], lax.scan(step, (h, first), None, length=steps - 1)[1]])


def ring_of(group: int, units: int, scaling: float, radius: float, margin: int = 0) -> Ring:
    """Return reservoirs for so many points each."""
    cell = Reservoir(group + 2 * margin, units, 6, radius=radius, input_scaling=scaling, bias_scaling=0.1)
    return Ring(ESN(Squared(cell), Readout(2 * units, group)), margin)
