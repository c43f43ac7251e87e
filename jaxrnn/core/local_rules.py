"""Local backward rules for any cell, by automatic differentiation of one step.

With J the Jacobian of (h⁽ᵗ⁾, y⁽ᵗ⁾) = step(θ, h⁽ᵗ⁻¹⁾, z⁽ᵗ⁾),

    step_bwd:    (∇h⁽ᵗ⁻¹⁾, ∇z⁽ᵗ⁾) = J_{(h, z)}ᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)      (2.2.2)
    weight_bwd:  ∇θ = Σₜ J_θᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)                        (2.2.3)

so any cell has explicit BPTT, and hand-written rules have an oracle.  The residual is the input of the step, and the
backward pass runs the step again.

References: chapter 2.2; Goodfellow et al. 2016, §10.2.2.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxrnn.core.carry_facts import parts_of_cell
from jaxrnn.core.checks import check_is_cell
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.pytrees import combine, is_floating, partition
from jaxrnn.core.types import Carry, Cell, Inputs, LocalRules, Params
from jaxrnn.machines.meshes import alike, as_typed


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
    carry_parts = parts_of_cell

    def step_fwd(self, params: Params, carry: Carry, z: Inputs):
        """Run `step`; the residual is its input."""
        return self.cell.step(params, carry, z), (carry, z)

    def step_bwd(self, params: Params, residual, dcarry: Carry, dy):
        """Return J_{(h, z)}ᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾)."""
        cotangents = (dcarry, dy)
        _, back = pullback(partial(_step, self.cell, params), *residual)
        dcarry, dz = back(cotangents)
        return dcarry, dz, cotangents

    def weight_bwd(self, params: Params, residuals, locals) -> Params:
        """Return Σₜ J_θᵀ (∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾), over all steps at once."""

        def steps(params):
            return jax.vmap(partial(_step, self.cell, params))(*residuals)

        return pullback(steps, params)[1](locals)[0]


def _step(cell: Cell, params: Params, carry: Carry, z: Inputs):
    """Run one step, with results that vary over the same mesh axes as its arguments."""
    return alike(cell.step(params, carry, z), params, carry, z)[0]


def rules_of(cell: Cell) -> LocalRules:
    """Return the cell itself if it has its own rules, else `AutodiffRules(cell)`."""
    return cell if isinstance(cell, LocalRules) else AutodiffRules(cell)


class WholeResidual(NamedTuple):
    """The record of `whole_step_fwd`."""

    cell: Any
    """The residual of the cell."""
    x: Inputs
    """The input that was projected."""


class WholeLocals(NamedTuple):
    """The contribution of a whole step to the sums over t."""

    cell: Any
    """The cell's own."""
    dz: Inputs
    """∇ of the projection."""


def whole_step_fwd(cell: Cell, params: Params, carry: Carry, x: Inputs) -> tuple[tuple[Carry, Any], WholeResidual]:
    """Run `project` and `step_fwd` of a cell inside the step of another cell, which computes x."""
    out, residual = rules_of(cell).step_fwd(params, carry, cell.project(params, x))
    return out, WholeResidual(residual, x)


def whole_step_bwd(
    cell: Cell, params: Params, residual: WholeResidual, dcarry: Carry, dy: Any
) -> tuple[Carry, Inputs, WholeLocals]:
    """Go back through `step` and `project`: ∇h⁽ᵗ⁾, ∇y⁽ᵗ⁾ → ∇h⁽ᵗ⁻¹⁾, ∇x⁽ᵗ⁾, local."""
    dcarry, dz, local = rules_of(cell).step_bwd(params, residual.cell, dcarry, dy)
    (dx,) = pullback(partial(cell.project, params), residual.x)[1](dz)
    return dcarry, dx, WholeLocals(local, dz)


def whole_weight_bwd(cell: Cell, params: Params, residuals: WholeResidual, locals: WholeLocals) -> Params:
    """Sum the gradients of everything that `step` and `project` read over all steps."""
    from_step = rules_of(cell).weight_bwd(params, residuals.cell, locals.cell)
    (from_project,) = pullback(lambda p: cell.project(p, residuals.x), params)[1](locals.dz)
    return jax.tree.map(jnp.add, from_step, from_project)


def pullback(function: Callable, *primals: PyTree) -> tuple[PyTree, Callable[[PyTree], tuple]]:
    """Return `jax.vjp` between only the floating arrays: `(results, back)`.

    `back` maps a cotangent of the results to one of each primal.  It ignores the leaves of results that are not
    floating, and returns 0 for primals that are not floating.

    >>> results, back = pullback(lambda x, n: {"y": n * x, "n": n}, 2.0, 3)
    >>> back({"y": 1.0, "n": 0})
    (Array(3., dtype=float32, weak_type=True), Array(0, dtype=int32, weak_type=True))
    """
    primals = jax.tree.map(jnp.asarray, primals)
    floats, others = partition(primals)

    def between_floats(floats):
        results = jax.tree.map(jnp.asarray, function(*combine(floats, others, primals)))
        return partition(results)[0], results

    _, vjp, results = jax.vjp(between_floats, floats, has_aux=True)

    def back(cotangent: PyTree) -> tuple:
        leaves = zip(jax.tree.leaves(cotangent), jax.tree.leaves(results), strict=True)
        (dfloats,) = vjp(as_typed(partition(results)[0], [d for d, leaf in leaves if is_floating(leaf)]))
        return combine(dfloats, [jnp.zeros_like(a) for a in others], primals)

    return results, back


def as_cotangent(primal: PyTree, gradient: PyTree) -> PyTree:
    """Return the gradient as `jax.custom_vjp` expects it: of the primal's type, None where that is not floating."""
    return jax.tree.map(lambda x, d: as_typed(x, d) if is_floating(x) else None, primal, gradient)


def storable(primal: PyTree, cotangent: PyTree) -> PyTree:
    """Return the cotangent as a scan can carry it: zeros of the primal type instead of float0."""

    def leaf(x, d):
        return d if is_floating(x) else jnp.zeros_like(x)

    return jax.tree.map(leaf, primal, cotangent)


@contextlib.contextmanager
def reverse_mode_alone(function: str, instead: str) -> Iterator[None]:
    """Name the function in JAX's error about forward mode through a `jax.custom_vjp`, and what has forward mode."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise TypeError(
            f"`{function}` has no forward mode (jax.jvp, jax.jacfwd), because its gradient is an explicit backward "
            f"pass. Use `{instead}`, which has the same values."
        ) from error
