"""What a tree cell is, and the local backward rule of any of them: chapter, section 5.

One node of a recursive network, in two halves like a step of a sequence,

    (h_n, y_n) = f(h of the children of n, z_n; θ),        z_n = b + U x_n

`project` is what can be done for all nodes at once, `step_tree` what has to wait for the children, `leaf` what there
is of it without any.  With J the Jacobian of `step_tree`, back-propagation through structure needs

    step_tree_bwd:    (∇h of the children, ∇z_n) = Jᵀ (∇h_n, ∇y_n)
    tree_weight_bwd:  ∇θ = Σₙ J_θᵀ (∇h_n, ∇y_n)

and `TreeAutodiffRules` gets them for any cell from `jax.vjp`.  The children's states are not among the residuals:
they are still where they were read, one gather away.

References: Goller & Küchler 1996 (back-propagation through structure).
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array

from jaxrnn.core.local_rules import storable, tangent
from jaxrnn.core.types import Carry, Inputs, Key, Params


@runtime_checkable
class TreeCell(Protocol):
    """One node of a tree, as pure functions of `params`.  Write your own with these."""

    @property
    def arity(self) -> int | None:
        """The largest number of children; None is any number."""
        ...

    def init(self, key: Key) -> Params:
        """Random parameters."""
        ...

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The state of a child that is not there: arrays whose leading axes are `batch_shape`."""
        ...

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """The part of a node that needs no children.  It works on any leading axes."""
        ...

    def leaf(self, params: Params, z: Inputs) -> tuple[Carry, Any]:
        """z → (h, y) for a node without children, for any leading axes."""
        ...

    def step_tree(self, params: Params, children: Carry, present: Array, z: Inputs) -> tuple[Carry, Any]:
        """(h of the children, z) → (h, y), for any batch axes.

        `children` has an axis for them behind the batch axes, `[*batch, n, ...]`, n at most `arity`; `present` is
        boolean, `[*batch, n]`.  Those that are not there come last, with the initial carry.
        """
        ...


@runtime_checkable
class TreeLocalRules(TreeCell, Protocol):
    """A tree cell that states its own local backward rule."""

    def step_tree_fwd(
        self, params: Params, children: Carry, present: Array, z: Inputs
    ) -> tuple[tuple[Carry, Any], Any]:
        """The step, and the residual that its backward needs beyond the children: `((h, y), residual)`."""
        ...

    def step_tree_bwd(
        self, params: Params, children: Carry, present: Array, residual: Any, dcarry: Carry, dy: Any
    ) -> tuple[Carry, Inputs, Any]:
        """∇h and ∇y → (∇h of the children, ∇z, local); linear in (dcarry, dy)."""
        ...

    def tree_weight_bwd(self, params: Params, children: Carry, present: Array, residuals: Any, locals: Any) -> Params:
        """Σ over every leading axis: the gradient of the parameters that `step_tree` reads."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class TreeAutodiffRules:
    """`cell` with the three rules derived by `jax.vjp` of one node.

    >>> from jaxrnn.trees import ChildSumTreeLSTM
    >>> TreeAutodiffRules(ChildSumTreeLSTM(2, 3))
    TreeAutodiffRules(cell=ChildSumTreeLSTM(input_size=2, hidden_size=3))
    """

    cell: TreeCell

    @property
    def arity(self) -> int | None:
        """The cell's own."""
        return self.cell.arity

    def init(self, key: Key) -> Params:
        """The cell's own."""
        return self.cell.init(key)

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The cell's own."""
        return self.cell.initial_carry(params, batch_shape)

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """The cell's own."""
        return self.cell.project(params, xs)

    def leaf(self, params: Params, z: Inputs) -> tuple[Carry, Any]:
        """The cell's own."""
        return self.cell.leaf(params, z)

    def step_tree(self, params: Params, children: Carry, present: Array, z: Inputs) -> tuple[Carry, Any]:
        """The cell's own."""
        return self.cell.step_tree(params, children, present, z)

    def step_tree_fwd(self, params: Params, children: Carry, present: Array, z: Inputs):
        """The step, and z as the residual."""
        return self.cell.step_tree(params, children, present, z), z

    def step_tree_bwd(self, params: Params, children: Carry, present: Array, residual, dcarry: Carry, dy):
        """Jᵀ (∇h, ∇y)."""
        out, vjp = jax.vjp(lambda c, z: self.cell.step_tree(params, c, present, z), children, residual)
        dchildren, dz = storable((children, residual), vjp(tangent(out, (dcarry, dy))))
        return dchildren, dz, (dcarry, dy)

    def tree_weight_bwd(self, params: Params, children: Carry, present: Array, residuals, locals) -> Params:
        """Σ J_θᵀ (∇h, ∇y), the steps side by side."""

        def steps(params):
            return jax.vmap(lambda *at: self.cell.step_tree(params, *at))(children, present, residuals)

        out, vjp = jax.vjp(steps, params)
        return vjp(tangent(out, locals))[0]


def tree_local_rules(cell: TreeCell) -> TreeLocalRules:
    """The cell itself where it states its own rules, else `TreeAutodiffRules(cell)`."""
    return cell if isinstance(cell, TreeLocalRules) else TreeAutodiffRules(cell)
