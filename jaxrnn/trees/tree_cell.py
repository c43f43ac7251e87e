"""The protocol of a tree cell, and local backward rules for any of them.

One node of a recursive network has two halves, like a step of a sequence:

    (h_n, y_n) = f(h of the children of n, z_n; θ),        z_n = b + U x_n

`project` computes what all nodes can compute at once, `step_tree` what depends on the children, and `leaf` replaces
`step_tree` at a node without children.  With J the Jacobian of `step_tree`, back-propagation through structure needs

    step_tree_bwd:    (∇h of the children, ∇z_n) = Jᵀ (∇h_n, ∇y_n)
    tree_weight_bwd:  ∇θ = Σₙ J_θᵀ (∇h_n, ∇y_n)

and `TreeAutodiffRules` derives them for any cell with `jax.vjp`.  The residuals do not hold the states of the children,
which one gather reads again.

References: Goller & Küchler 1996 (back-propagation through structure); chapter 五; Goodfellow et al. 2016, §10.6.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.local_rules import pullback
from jaxrnn.core.types import Carry, Cell, Inputs, Key, Params


@runtime_checkable
class TreeCell(Protocol):
    """One node of a tree as pure functions of `params`: the methods that your own tree cell needs."""

    @property
    def arity(self) -> int | None:
        """The largest number of children; None for any number."""
        ...

    def init(self, key: Key) -> Params:
        """Draw random parameters."""
        ...

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """Return the state of a missing child: arrays with leading axes `batch_shape`."""
        ...

    def project(self, params: Params, xs: Inputs) -> Inputs:
        """Compute the part of a node that needs no children, for any leading axes."""
        ...

    def leaf(self, params: Params, z: Inputs) -> tuple[Carry, Any]:
        """Map z → (h, y) at a node without children, for any leading axes."""
        ...

    def step_tree(self, params: Params, children: Carry, present: Array, z: Inputs) -> tuple[Carry, Any]:
        """Map (h of the children, z) → (h, y), for any batch axes.

        `children` is `[*batch, n, ...]` with n at most `arity`, and `present` is boolean, `[*batch, n]`.  Missing
        children come last and have the initial carry.
        """
        ...


@runtime_checkable
class TreeLocalRules(TreeCell, Protocol):
    """A tree cell with its own local backward rules."""

    def step_tree_fwd(
        self, params: Params, children: Carry, present: Array, z: Inputs
    ) -> tuple[tuple[Carry, Any], Any]:
        """Run `step_tree` and return `((h, y), residual)`; the residual need not hold the children."""
        ...

    def step_tree_bwd(
        self, params: Params, children: Carry, present: Array, residual: Any, dcarry: Carry, dy: Any
    ) -> tuple[Carry, Inputs, Any]:
        """Map ∇h and ∇y to (∇h of the children, ∇z, local), linearly in (dcarry, dy)."""
        ...

    def tree_weight_bwd(self, params: Params, children: Carry, present: Array, residuals: Any, locals: Any) -> Params:
        """Return the gradient of the parameters that `step_tree` reads, summed over all leading axes."""
        ...


@jax.tree_util.register_static
@dataclass(frozen=True)
class TreeAutodiffRules:
    """A tree cell with local rules derived by `jax.vjp` of one node.

    Args:
      cell: any tree cell.

    >>> from jaxrnn.trees import ChildSumTreeLSTM
    >>> TreeAutodiffRules(ChildSumTreeLSTM(2, 3))
    TreeAutodiffRules(cell=ChildSumTreeLSTM(input_size=2, hidden_size=3))
    """

    cell: TreeCell

    @property
    def arity(self) -> int | None:
        """The largest number of children that the cell takes; None for any number."""
        return self.cell.arity

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)
    project = forwarded(Cell.project)

    def leaf(self, params: Params, z: Inputs) -> tuple[Carry, Any]:
        """Run the leaf of the cell."""
        return self.cell.leaf(params, z)

    def step_tree(self, params: Params, children: Carry, present: Array, z: Inputs) -> tuple[Carry, Any]:
        """Run the step of the cell."""
        return self.cell.step_tree(params, children, present, z)

    def step_tree_fwd(self, params: Params, children: Carry, present: Array, z: Inputs):
        """Run `step_tree`; the residual is z."""
        return self.cell.step_tree(params, children, present, z), z

    def step_tree_bwd(self, params: Params, children: Carry, present: Array, residual, dcarry: Carry, dy):
        """Return Jᵀ (∇h, ∇y)."""
        _, back = pullback(lambda c, z: self.cell.step_tree(params, c, present, z), children, residual)
        dchildren, dz = back((dcarry, dy))
        return dchildren, dz, (dcarry, dy)

    def tree_weight_bwd(self, params: Params, children: Carry, present: Array, residuals, locals) -> Params:
        """Return Σ J_θᵀ (∇h, ∇y), over all steps at once."""

        def steps(params):
            return jax.vmap(lambda *at: self.cell.step_tree(params, *at))(children, present, residuals)

        return pullback(steps, params)[1](locals)[0]


def output_of_leaf(cell: TreeCell, input_size: int) -> jax.ShapeDtypeStruct | None:
    """Return the shape of y at a leaf, or None if it is not one array.

    Raises:
      ValueError: a cell of another input size.

    >>> from jaxrnn.trees import ChildSumTreeLSTM
    >>> output_of_leaf(ChildSumTreeLSTM(2, 3), input_size=2).shape
    (3,)
    """

    def one_leaf(key, x):
        params = cell.init(key)
        return cell.leaf(params, cell.project(params, x))[1]

    key = jax.eval_shape(lambda: jax.random.key(0))
    leaves = jax.tree.leaves(jax.eval_shape(one_leaf, key, jax.ShapeDtypeStruct((input_size,), jnp.result_type(float))))
    return leaves[0] if len(leaves) == 1 and leaves[0].ndim else None


def tree_local_rules(cell: TreeCell) -> TreeLocalRules:
    """Return the cell itself if it has its own rules, else `TreeAutodiffRules(cell)`."""
    return cell if isinstance(cell, TreeLocalRules) else TreeAutodiffRules(cell)
