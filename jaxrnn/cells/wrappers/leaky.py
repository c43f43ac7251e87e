"""Leaky units: linear self-connections.

    μ⁽ᵗ⁾ = α μ⁽ᵗ⁻¹⁾ + (1 − α) v⁽ᵗ⁾

as a wrapper: μ is h, the first array of the carry of the cell and its output, and v is the new state of the cell,
h̃⁽ᵗ⁾ = f(h⁽ᵗ⁻¹⁾, x⁽ᵗ⁾):

    h⁽ᵗ⁾ = α ⊙ h⁽ᵗ⁻¹⁾ + (1 − α) ⊙ h̃⁽ᵗ⁾

α = 0 is the cell itself; α = 1 never moves; in between, h is a running mean over about 1/(1 − α) steps, and
∂h⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ = diag(α) + diag(1 − α) ∂h̃⁽ᵗ⁾/∂h⁽ᵗ⁻¹⁾ is close to I for α close to 1.  Other arrays of the carry (an
LSTM's C) are those of the cell.

In the backward pass, with g⁽ᵗ⁾ = ∇_{h⁽ᵗ⁾}L, the cell receives (1 − α) ⊙ g⁽ᵗ⁾, h⁽ᵗ⁻¹⁾ also receives α ⊙ g⁽ᵗ⁾, and
∇_α L = Σₜ (h⁽ᵗ⁻¹⁾ − h̃⁽ᵗ⁾) ⊙ g⁽ᵗ⁾, summed over the units that share an α.

α → `params.alpha`, an ordinary parameter.  To learn it within [0, 1], chain `jaxrnn.training.bound_alphas`; to fix it,
use the optax mask `jaxrnn.training.alphas`.

References: Mozer 1992; Jaeger, Lukoševičius, Popovici & Siewert 2007, §2 (whose leaking rate is 1 − α);
Bengio, Boulanger-Lewandowski & Pascanu 2013, §3.2; chapter 3.2.3; Goodfellow et al. 2016, §10.9.2.
"""

from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.unit_groups import check_groups, spread
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import output_place, parts_of_cell
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import rules_of
from jaxrnn.core.precision import in_rank, row_sum
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params


class LeakyParams(NamedTuple):
    """The cell's parameters, and α.

    >>> from jaxrnn import Elman
    >>> Leaky(Elman(2, 3), 0.5).init(jax.random.key(0)).alpha.shape
    (1,)
    """

    cell: Params
    """The cell's own."""
    alpha: Float[Array, " groups"]
    """α of every group: one entry for all units, one per unit, or one per group."""


class LeakyResidual(NamedTuple):
    """The record of a step for its backward."""

    cell: Any
    """The cell's own residual."""
    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    new: Float[Array, "*batch hidden"]
    """h̃⁽ᵗ⁾."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Leaky:
    """A cell with leaky units, h⁽ᵗ⁾ = α h⁽ᵗ⁻¹⁾ + (1 − α) h̃⁽ᵗ⁾.

    Args:
      cell: a cell whose output is the first array of its carry, y = h.
      alpha: the initial α: one number, or a tuple with one number per group of units of equal size, such as
        `(0.0, 0.9)` for a fast half and a slow half.  They are parameters: `params.alpha`.

    Raises:
      ValueError: an α outside [0, 1]; when it is used, groups that do not divide the number of units.
      TypeError: when it is used, a cell whose output is not the first array of its carry.

    >>> from jaxrnn import Elman, unroll
    >>> cell = Leaky(Elman(3, 4), alpha=(0.0, 1.0))
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 3)))
    >>> ys[-1, 2:].tolist()  # α = 1 never moves
    [0.0, 0.0]

    References: chapter 3.2.3; Mozer 1992.
    """

    cell: Cell
    alpha: float | tuple[float, ...]

    def __post_init__(self):
        check_is_cell(cell=self.cell)
        alphas = self.alpha if isinstance(self.alpha, tuple) else (self.alpha,)
        if not alphas or any(not isinstance(a, Real) or not 0 <= a <= 1 for a in alphas):
            raise ValueError(
                "`alpha` must be a number in [0, 1] (0 is the cell itself, 1 a unit that never moves), or a tuple of "
                f"them, got {self.alpha!r}."
            )

    def init(self, key: Key) -> LeakyParams:
        """Draw the parameters of the cell, and set α to the given values."""
        check_key(key=key)
        params = self.cell.init(key)
        alpha = jnp.array(self.alpha if isinstance(self.alpha, tuple) else (self.alpha,), float)
        size = jax.tree.leaves(jax.eval_shape(self.cell.initial_carry, params))[0].shape[-1]
        check_groups("alpha", len(alpha), size)
        return LeakyParams(params, alpha)

    initial_carry = forwarded(Cell.initial_carry, params="cell")
    project = forwarded(Cell.project, params="cell")
    carry_parts = parts_of_cell

    def step(self, params: LeakyParams, carry: Carry, z: Inputs) -> tuple[Carry, Any]:
        """Return h⁽ᵗ⁾ = α h⁽ᵗ⁻¹⁾ + (1 − α) h̃⁽ᵗ⁾ as the first array of the carry and as the output."""
        self._check_output(carry)
        after, _ = self.cell.step(params.cell, carry, z)
        out, _ = self._mixed(params, carry, after)
        return out

    def step_fwd(self, params: LeakyParams, carry: Carry, z: Inputs):
        """Run the step; the residual is that of the cell, h⁽ᵗ⁻¹⁾ and h̃⁽ᵗ⁾."""
        self._check_output(carry)
        (after, _), residual = rules_of(self.cell).step_fwd(params.cell, carry, z)
        out, pair = self._mixed(params, carry, after)
        return out, LeakyResidual(residual, *pair)

    def step_bwd(self, params: LeakyParams, residual: LeakyResidual, dcarry: Carry, dy: Array):
        """Pass (1 − α) g⁽ᵗ⁾ to the rule of the cell, and α g⁽ᵗ⁾ to h⁽ᵗ⁻¹⁾."""
        (dh, *others), structure = jax.tree.flatten(dcarry)
        g = dh + dy
        alpha = in_rank(spread(params.alpha, g.shape[-1]), g)
        dcarry = structure.unflatten([jnp.zeros_like(dh), *others])
        dcarry, dz, local = rules_of(self.cell).step_bwd(params.cell, residual.cell, dcarry, (1 - alpha) * g)
        (dh, *others), structure = jax.tree.flatten(dcarry)
        return structure.unflatten([dh + alpha * g, *others]), dz, (local, (residual.h - residual.new) * g)

    def weight_bwd(self, params: LeakyParams, residuals: LeakyResidual, locals) -> LeakyParams:
        """Compute the sums of the cell, and ∇_α = Σₜ (h⁽ᵗ⁻¹⁾ − h̃⁽ᵗ⁾) ⊙ g⁽ᵗ⁾ over the units of each group."""
        local, dalphas = locals
        n = params.alpha.shape[0]
        groups = dalphas.reshape(*dalphas.shape[:-1], n, dalphas.shape[-1] // n).sum(-1)
        dcell = rules_of(self.cell).weight_bwd(params.cell, residuals.cell, local)
        return LeakyParams(dcell, row_sum(groups, params.alpha))

    def _check_output(self, carry: Carry) -> None:
        if output_place(self.cell, carry) != 0:
            raise TypeError(
                f"`cell` must output the first array of its carry, y = h, to be leaky; {self.cell} does not. "
                "If a cell inside it does, wrap that one; if the cell itself does, define its `carry_parts`."
            )

    def _mixed(self, params: LeakyParams, carry: Carry, after: Carry):
        """Return the results of the step with the leaky h⁽ᵗ⁾, and (h⁽ᵗ⁻¹⁾, h̃⁽ᵗ⁾)."""
        old, (new, *others) = jax.tree.leaves(carry)[0], jax.tree.leaves(after)
        alpha = in_rank(spread(params.alpha, new.shape[-1]), new)
        h = alpha * old + (1 - alpha) * new
        return (jax.tree.structure(after).unflatten([h, *others]), h), (old, new)
