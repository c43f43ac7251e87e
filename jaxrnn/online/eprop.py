"""e-prop: the gradient that flows inside the units, and not through the recurrent weights.

    J⁽ᵗ⁾ = D̂⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾,      D̂ = ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ without the way through W h⁽ᵗ⁻¹⁾

J is the eligibility trace e_{ji} of every synapse; it is local, as D̂ is diagonal: 0 for the plain cell, f for an
LSTM's C, z for a GRU's h.  The learning signal is ∂L⁽ᵗ⁾/∂h⁽ᵗ⁾ as it is (the paper's symmetric e-prop).

So e-prop is the exact gradient of another network, whose recurrent products are constants when they are
differentiated, which is how it is written here and what it is tested against: `CutProducts(cell)`, a cell like
any other, and on it SnAp, which is exact there.

It is defined for `Elman`, `LSTM` and `GRU(reset="after")`.  With the reset before the product, r acts through W
alone and would never learn.

References: Bellec et al. 2020, "A solution to the learning dilemma for recurrent networks of spiking neurons",
Nature Communications 11, eqs. 4 and 13, and its supplement on LSTMs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import lax

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params
from jaxrnn.online.influence import OnlineState, OnlineStep
from jaxrnn.online.snap import SnAp


@jax.tree_util.register_static
@dataclass(frozen=True)
class CutProducts:
    """`cell` with no gradient through what W multiplies; the values are the cell's.

    Raises:
      TypeError: a cell for which e-prop is not defined.

    >>> CutProducts(Elman(2, 3))
    CutProducts(cell=Elman(input_size=2, hidden_size=3, activation='tanh'))
    """

    cell: Cell

    def __post_init__(self):
        if not isinstance(self.cell, Elman | LSTM | GRU) or (isinstance(self.cell, GRU) and self.cell.reset != "after"):
            raise TypeError(f'e-prop is defined for Elman, LSTM and GRU(..., reset="after"), not for {self.cell!r}.')

    def init(self, key: Key) -> Params:
        """The cell's own."""
        return self.cell.init(key)

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The cell's own."""
        return self.cell.initial_carry(params, batch_shape)

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """The cell's own."""
        return self.cell.project(params, xs)

    def step(self, params: Params, carry: Carry, z: Inputs):
        """The cell's step, in which h⁽ᵗ⁻¹⁾ is a constant to W."""
        if isinstance(self.cell, LSTM):
            return self.cell.step(params, carry._replace(h=lax.stop_gradient(carry.h)), z)
        fixed = lax.stop_gradient(carry)
        h, _ = self.cell.step(params, fixed, z)
        if isinstance(self.cell, GRU):  # z⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ is no product with W
            _, (_, _, keep, *_) = self.cell.step_fwd(lax.stop_gradient(params), fixed, lax.stop_gradient(z))
            h = h + keep * (carry - fixed)
        return h, h


@jax.tree_util.register_static
@dataclass(frozen=True)
class EProp:
    """The gradient through the units' own memories.

    Args:
      cell: `Elman`, `LSTM` or `GRU(..., reset="after")`.

    Raises:
      TypeError: another cell.

    >>> import jax.numpy as jnp
    >>> algorithm = EProp(LSTM(input_size=2, hidden_size=3))
    >>> params, x = algorithm.cell.init(jax.random.key(0)), jnp.ones(2)
    >>> state = algorithm.init(params, x)
    >>> state, done = algorithm.step(params, state, x, jnp.sum)

    References: Bellec et al. 2020.
    """

    cell: Cell

    def __post_init__(self):
        CutProducts(self.cell)

    def init(self, params: Params, x: Inputs, carry: Carry | None = None) -> OnlineState:
        """The state before the first step, as of `RTRL`."""
        return SnAp(CutProducts(self.cell)).init(params, x, carry)

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """The next step, as of `RTRL`."""
        return SnAp(CutProducts(self.cell)).step(params, state, x, loss, mask=mask, reset=reset)
