"""Back-propagation through structure: the explicit backward pass of a recursive network.

    ∇_{h_n}L = (∂h_{parent of n}/∂h_n)ᵀ ∇_{h_parent}L + (∂y_n/∂h_n)ᵀ ∇_{y_n}L       from the roots to the leaves
    ∇_θ L   = Σₙ (of what `step_tree` reads) + Σₙ (of what `project` and `leaf` read)     one contraction each, after it

The pass splits as in 2.2.2 and 2.2.3.  A node has one parent, so each step stores the cotangents of its children in
consecutive rows, and the nodes below read them with a gather.  `jax.grad` of the forward gather instead scatters into
an array of all nodes, and carries a cotangent of the shape of the weights, at every step.

The forward pass keeps the states of all nodes and the residuals of the cell's own rule.

References: Goller & Küchler 1996; chapter 五; Goodfellow et al. 2016, §10.6.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.local_rules import as_cotangent, pullback, reverse_mode_alone, storable
from jaxrnn.core.types import Carry, Params
from jaxrnn.machines.meshes import alike, scan, spread
from jaxrnn.trees.forest import Forest, Nodes
from jaxrnn.trees.recursion import (
    at_places,
    check_unroll_tree,
    forward,
    read_children,
    rows,
    run_leaves,
    take,
    tree_layout,
    write,
)
from jaxrnn.trees.tree_cell import TreeCell, tree_local_rules
from jaxrnn.unrolling.scan import select, zeros


def unroll_tree_bpts(
    cell: TreeCell, params: Params, forest: Forest, xs: Nodes | Float[Array, "leaves batch features"]
) -> tuple[Carry, Nodes]:
    """Run a recursive network whose gradient is explicit back-propagation through structure: the fast way to train.

    It uses the cell's own local rules if there are any, and `TreeAutodiffRules` otherwise.  Reverse mode works to any
    order; for `jvp` use `unroll_tree`.

    Args:
      cell: any tree cell.
      params: its parameters.
      forest: the trees, from `pack`.
      xs: inputs of the leaves, `[leaves, batch, input]`, or `Nodes` of inputs of leaves and of inner nodes.

    Returns:
      As `unroll_tree`.

    Raises:
      TypeError, TreeError, ValueError: as `unroll_tree`; TypeError: forward mode, as `unroll_bptt`.

    >>> from jaxrnn.trees import TreeElman, balanced_tree, pack, unroll_tree
    >>> cell, forest, xs = TreeElman(3, 5), pack([balanced_tree(8)]), jnp.ones((8, 1, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> explicit = jax.grad(lambda p: unroll_tree_bpts(cell, p, forest, xs)[0].sum())(params)
    >>> implicit = jax.grad(lambda p: unroll_tree(cell, p, forest, xs)[0].sum())(params)
    >>> bool(jnp.allclose(explicit.w, implicit.w, atol=1e-5))
    True

    References: Goller & Küchler 1996.
    """
    forest, xs = check_unroll_tree(cell, params, forest, xs)
    with reverse_mode_alone("unroll_tree_bpts", instead="unroll_tree"):
        return spread(partial(_bpts, cell), partial(tree_layout, xs), params, forest, xs)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _bpts(cell, params, forest, xs):
    return _forward(cell, params, forest, xs)[0]


@partial(jax.jit, static_argnums=0)
def _forward(cell, params, forest, xs):
    step = partial(tree_local_rules(cell).step_tree_fwd, params)
    out, states, residuals = forward(cell, params, forest, xs, step)
    return out, (params, forest, xs, states, residuals)


@partial(jax.jit, static_argnums=0)
def _backward(cell, saved, cotangents):
    params, forest, xs, states, residuals = saved
    dcarry, dys = cotangents
    below, dzs, locals_ = _reverse_scan(cell, params, forest, states, residuals, dcarry, dys.inner)
    children, present = read_children(forest)

    def read(params, leaves, inner):
        """Compute everything that does not depend on children."""
        zs = jax.tree.map(
            lambda z: jnp.broadcast_to(z, (*forest.node.shape, *z.shape[2:])), cell.project(params, inner)
        )
        outside, _ = alike(cell.initial_carry(params), params)
        return run_leaves(cell, forest, params, leaves), zs, outside

    read_once, back = pullback(read, params, xs.leaves, at_places(forest, xs))
    dh = rows(below, forest.edge[: forest.leaf.size])
    dy = select(forest.leaf, dys.leaves, zeros(dys.leaves))
    dy = jax.tree.map(lambda d: d.reshape(-1, *d.shape[2:]), dy)
    missing = jnp.concatenate([~present.reshape(-1), forest.root == forest.edge.shape[0]])
    doutside = jax.tree.map(lambda d: select(missing, d[:-1], jnp.zeros_like(d[:-1])).sum(0), below)
    dread = jax.tree.map(lambda x, d: d.astype(x.dtype), read_once, ((dh, dy), dzs, doutside))
    dparams, dleaves, dinner = back(dread)
    dinner = None if xs.inner is None else take(dinner.reshape(-1, dinner.shape[-1]), forest.place)
    more = tree_local_rules(cell).tree_weight_bwd(params, rows(states, children), present, residuals, locals_)
    dparams = as_cotangent(params, jax.tree.map(jnp.add, dparams, more))
    return dparams, None, as_cotangent(xs, Nodes(dleaves, dinner))


_bpts.defvjp(_forward, _backward)


def _reverse_scan(cell: TreeCell, params: Params, forest: Forest, states: Carry, residuals, dcarry, dys):
    """Return the cotangents along all edges, `[edges + batch + 1, ...]`, and ∇z and the locals of every node."""
    rules, shape = tree_local_rules(cell), forest.shape
    dcarry = storable(rows(states, forest.root), dcarry)
    below = jax.tree.map(partial(_edges, forest.children.size), dcarry)
    dys = jax.tree.map(lambda d: take(d.reshape(-1, *d.shape[2:]), forest.node), dys)

    def body(below, at):
        start, children, present, edge, residual, dy = at
        down, dz, local = rules.step_tree_bwd(params, rows(states, children), present, residual, rows(below, edge), dy)
        down = jax.tree.map(lambda d: d.reshape(-1, *d.shape[2:]), down)
        return write(below, down, start), (dz, local)

    starts = shape.width * shape.arity * jnp.arange(shape.steps)
    edge = forest.edge[forest.leaf.size :].reshape(forest.node.shape)
    over_steps = starts, *read_children(forest), edge, residuals, dys
    below, (dzs, locals_) = scan(body, below, over_steps, reverse=True)
    return below, dzs, locals_


def _edges(size: int, dcarry: Array) -> Array:
    """Return one array of cotangents: space for the edges, then those of the roots, then a row of zeros."""
    features = dcarry.shape[1:]
    return jnp.concatenate(
        [jnp.zeros((size, *features), dcarry.dtype), dcarry, jnp.zeros((1, *features), dcarry.dtype)]
    )
