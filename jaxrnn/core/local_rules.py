"""Local backward rules for any cell, by automatic differentiation of one step.

With J the Jacobian of (h⁽ᵗ⁾, y⁽ᵗ⁾) = step(θ, h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾),

    step_bwd:    (∇h⁽ᵗ⁻¹⁾, ∇z⁽ᵗ⁾) = J_{(h, z)}ᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)      (2.2.2)
    weight_bwd:  ∇θ = Σₜ J_θᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)                        (2.2.3)

so any cell has explicit BPTT, and hand-written rules have an oracle.  The residual is the input of the step, and the
backward pass runs the step again.

References: chapter 2.2; Goodfellow et al. 2016, §10.2.2.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.carry_facts import CarryParts, carry_parts
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.types import Carry, Cell, Inputs, LocalRules, Params


@jax.tree_util.register_static
@dataclass(frozen=True)
class AutodiffRules:
    """A cell with `step_fwd`, `step_bwd` and `weight_bwd` derived by `jax.vjp` of one step.

    Args:
      cell: any cell.

    Raises:
      TypeError: `cell` is not a cell.

    >>> from jaxrnn import LSTM
    >>> AutodiffRules(LSTM(2, 3))
    AutodiffRules(cell=LSTM(input_size=2, hidden_size=3, peephole=None))
    """

    cell: Cell

    def __post_init__(self):
        check_is_cell(cell=self.cell)

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    project = forwarded(Cell.project)
    step = forwarded(Cell.step)

    def carry_parts(self, carry: Carry) -> CarryParts:
        """Return the parts of the cell\'s carry."""
        return carry_parts(self.cell, carry)

    def step_fwd(self, params: Params, carry: Carry, z: Inputs):
        """Run `step`; the residual is its input."""
        return self.cell.step(params, carry, z), (carry, z)

    def step_bwd(self, params: Params, residual, dcarry: Carry, dy):
        """Return J_{(h, z)}ᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)."""
        out, vjp = jax.vjp(lambda carry, z: self.cell.step(params, carry, z), *residual)
        cotangents = (dcarry, dy)
        dcarry, dz = storable(residual, vjp(tangent(out, cotangents)))
        return dcarry, dz, cotangents

    def weight_bwd(self, params: Params, residuals, locals) -> Params:
        """Return Σₜ J_θᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾), over all steps at once."""

        def steps(params):
            return jax.vmap(lambda carry, z: self.cell.step(params, carry, z))(*residuals)

        out, vjp = jax.vjp(steps, params)
        return vjp(tangent(out, locals))[0]


def rules_of(cell: Cell) -> LocalRules:
    """Return the cell itself if it has its own rules, else `AutodiffRules(cell)`."""
    return cell if isinstance(cell, LocalRules) else AutodiffRules(cell)


def tangent(primal: PyTree, cotangent: PyTree) -> PyTree:
    """Return the cotangent as `jax.vjp` expects it: float0 for a primal leaf that is not floating."""

    def leaf(x, d):
        return d if jnp.issubdtype(x.dtype, jnp.inexact) else np.zeros(x.shape, jax.dtypes.float0)

    return jax.tree.map(leaf, primal, cotangent)


def storable(primal: PyTree, cotangent: PyTree) -> PyTree:
    """Return the cotangent as a scan can carry it: zeros of the primal type instead of float0."""

    def leaf(x, d):
        return d if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.zeros_like(x)

    return jax.tree.map(leaf, primal, cotangent)
