"""e-prop: the gradient that flows within the units, not through the recurrent weights.

    J⁽ᵗ⁾ = D̂⁽ᵗ⁾ J⁽ᵗ⁻¹⁾ + I⁽ᵗ⁾,      D̂ = ∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ without the path through W h⁽ᵗ⁻¹⁾

J is the eligibility trace e_{ji} of every synapse.  It is local because D̂ is diagonal: 0 for Elman, f for an LSTM's C,
z for a GRU's h.  The learning signal is ∂L⁽ᵗ⁾/∂h⁽ᵗ⁾ itself (the paper's symmetric e-prop).

In other words, e-prop is the exact gradient of a network whose recurrent products are constants under differentiation.
The implementation follows that: `CutProducts(cell)` is such a network, a cell like any other, and SnAp is exact on it.

e-prop is defined for `Elman`, `LSTM` and `GRU(reset="after")`.  With the reset before the product, r acts only through
W and would never learn.

References: Bellec et al. 2020, "A solution to the learning dilemma for recurrent networks of spiking neurons",
Nature Communications 11, eqs. 4 and 13, and its supplement on LSTMs; chapter 2.2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import lax

from jaxrnn.cells.elman import Elman
from jaxrnn.cells.gru import GRU
from jaxrnn.cells.lstm import LSTM
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.types import Carry, Cell, Inputs, Params
from jaxrnn.online.influence import OnlineState, OnlineStep
from jaxrnn.online.snap import SnAp


@jax.tree_util.register_static
@dataclass(frozen=True)
class CutProducts:
    """A cell with the same values and no gradient through its recurrent products.

    Args:
      cell: `Elman`, `LSTM` or `GRU(..., reset="after")`.

    Raises:
      TypeError: a cell for which e-prop is not defined.

    >>> CutProducts(Elman(2, 3))
    CutProducts(cell=Elman(input_size=2, hidden_size=3, activation='tanh'))
    """

    cell: Cell

    def __post_init__(self):
        if not isinstance(self.cell, Elman | LSTM | GRU) or (isinstance(self.cell, GRU) and self.cell.reset != "after"):
            raise TypeError(f'e-prop is defined for Elman, LSTM and GRU(..., reset="after"), not for {self.cell!r}.')

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    project = forwarded(Cell.project)

    def step(self, params: Params, carry: Carry, z: Inputs):
        """Run the step of the cell with W h⁽ᵗ⁻¹⁾ constant under differentiation."""
        if isinstance(self.cell, LSTM):
            return self.cell.step(params, carry._replace(h=lax.stop_gradient(carry.h)), z)
        fixed = lax.stop_gradient(carry)
        h, _ = self.cell.step(params, fixed, z)
        if isinstance(self.cell, GRU):  # z⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ is not a product with W and keeps its gradient
            _, residual = self.cell.step_fwd(lax.stop_gradient(params), fixed, lax.stop_gradient(z))
            h = h + residual.keep * (carry - fixed)
        return h, h


@jax.tree_util.register_static
@dataclass(frozen=True)
class EProp:
    """Gradients that flow only through the memories of the units.

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
        """Return the state before the first step; arguments as for `RTRL.init`."""
        return SnAp(CutProducts(self.cell)).init(params, x, carry)

    def step(
        self, params: Params, state: OnlineState, x: Inputs, loss: Callable, *, mask=None, reset=None
    ) -> tuple[OnlineState, OnlineStep]:
        """Run one step; arguments and result as for `RTRL.step`."""
        return SnAp(CutProducts(self.cell)).step(params, state, x, loss, mask=mask, reset=reset)
