"""Running a recursive network over a batch of trees.

    h_n = f(h of the children of n, x_n; θ),        from the leaves to the root

`unroll_tree` is one `lax.scan` over the steps of a `Forest`, and each step covers every tree of the batch; the compiled
program depends on the sizes alone.  `unroll_tree_python` is the recursion in its plainest form, the oracle of the
tests.  The fast way to train is `unroll_tree_bpts`.

Balanced trees take ⌈log₂ τ⌉ steps if the forest was packed without a limit on the width, and more if the limit splits a
level.

References: Goller & Küchler 1996; Looks, Herreshoff, Hutchins & Norvig 2017 (dynamic batching); chapter 五;
Goodfellow et al. 2016, §10.6.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from jaxrnn.core.arguments import known_values
from jaxrnn.core.checks import check_params
from jaxrnn.core.types import Carry, Params
from jaxrnn.machines.meshes import scan, spec_of, spread
from jaxrnn.trees.forest import Forest, Nodes
from jaxrnn.trees.tree import Tree, TreeError
from jaxrnn.trees.tree_cell import TreeCell
from jaxrnn.unrolling.scan import readable, select, zeros


def unroll_tree(
    cell: TreeCell, params: Params, forest: Forest, xs: Nodes | Float[Array, "leaves batch features"]
) -> tuple[Carry, Nodes]:
    """Run `cell` over a batch of trees, from the leaves to the roots.

    Args:
      cell: any tree cell.
      params: its parameters.
      forest: the trees, from `pack`.
      xs: inputs of the leaves, `[leaves, batch, input]`, or `Nodes` of inputs of leaves and of inner nodes,
        `[inner, batch, input]`; inner nodes without inputs have x = 0.  Values where there is no node, NaN
        included, reach no value and no gradient.

    Returns:
      The states of the roots, `[batch, ...]` (the initial carry for a tree without nodes), and y of every node:
      `Nodes`, 0 where there is no node.

    Raises:
      TypeError: `cell` is not a tree cell; inputs that are not floating.
      TreeError: a tree with more children at a node than the cell takes.
      ValueError: `params` of another cell, or a wrong shape.

    >>> from jaxrnn.trees import ChildSumTreeLSTM, pack, from_nested
    >>> forest = pack([(("the", "cat"), "sleeps"), ("it", "rains")], from_nested)
    >>> cell = ChildSumTreeLSTM(input_size=3, hidden_size=5)
    >>> carry, ys = unroll_tree(cell, cell.init(jax.random.key(0)), forest, jnp.ones((3, 2, 3)))
    >>> carry.h.shape, ys.leaves.shape, ys.inner.shape
    ((2, 5), (3, 2, 5), (3, 2, 5))

    References: chapter 五; Goodfellow et al. 2016, §10.6.
    """
    forest, xs = check_unroll_tree(cell, params, forest, xs)
    return spread(partial(_unroll_tree, cell), partial(tree_layout, xs), params, forest, xs)


def tree_layout(xs: Nodes, results: tuple[Carry, Nodes]) -> tuple:
    """Return the layout of the results on a mesh with Explicit axes."""
    nodes, trees, _ = spec_of(xs.leaves)
    roots, ys = results
    return jax.tree.map(lambda _: PartitionSpec(trees), roots), jax.tree.map(lambda _: PartitionSpec(nodes, trees), ys)


@partial(jax.jit, static_argnums=0)
def _unroll_tree(cell, params, forest, xs):
    out, *_ = forward(cell, params, forest, xs, lambda *at: (cell.step_tree(params, *at), None))
    return out


def root_outputs(forest: Forest, ys: Nodes) -> Float[Array, "batch features"]:
    """Return y at the root of each tree.

    Args:
      forest: the trees.
      ys: the outputs of `unroll_tree`.

    Returns:
      `[batch, features]`; 0 for a tree without nodes.

    >>> from jaxrnn.trees import balanced_tree, pack
    >>> forest = pack([balanced_tree(3), balanced_tree(1)])
    >>> leaves = jnp.arange(6.0).reshape(3, 2, 1)
    >>> root_outputs(forest, Nodes(leaves, 10 + leaves))  # the second inner node of one, the leaf of the other
    Array([[12.],
           [ 1.]], dtype=float32)
    """
    return _root_outputs(forest, ys)


@jax.jit
def _root_outputs(forest, ys):
    first, none = forest.leaf.size, forest.edge.shape[0]
    place = jnp.clip(forest.root - first, 0, forest.node.size - 1)
    at = jnp.where(forest.root < first, forest.root, first + forest.node.reshape(-1)[place])
    at = jnp.where(forest.root < none, at, first + forest.place.size)
    return take(jnp.concatenate([y.reshape(-1, y.shape[-1]) for y in ys if y is not None]), at)


def unroll_tree_python(
    cell: TreeCell, params: Params, trees: Sequence[Tree], xs: Nodes | Float[Array, "leaves batch features"]
) -> tuple[Carry, Nodes]:
    """Run a recursive network one tree and one node at a time: the definition of `unroll_tree`.

    Args:
      cell: any tree cell.
      params: its parameters.
      trees: the trees.
      xs: inputs of the leaves, `[leaves, batch, input]`, or `Nodes` of inputs of leaves and of inner nodes.  The arrays
        may be longer than the trees.

    Returns:
      As `unroll_tree`.

    >>> from jaxrnn.trees import ChildSumTreeLSTM, balanced_tree, pack
    >>> cell, trees, xs = ChildSumTreeLSTM(3, 5), [balanced_tree(3), balanced_tree(2)], jnp.ones((3, 2, 3))
    >>> params = cell.init(jax.random.key(0))
    >>> (carry, _), (want, _) = unroll_tree_python(cell, params, trees, xs), unroll_tree(cell, params, pack(trees), xs)
    >>> bool(jnp.allclose(carry.h, want.h, atol=1e-6))
    True

    References: chapter 五, item 1.
    """
    xs = xs if isinstance(xs, Nodes) else Nodes(xs)
    carries, leaf_ys, inner_ys = [], {}, {}
    for b, tree in enumerate(trees):
        first = len(tree.leaves)

        def state(n, b=b, tree=tree, first=first):
            if n < first:
                carry, leaf_ys[n, b] = cell.leaf(params, cell.project(params, xs.leaves[n, b]))
                return carry
            x = jnp.zeros_like(xs.leaves[0, 0]) if xs.inner is None else xs.inner[n - first, b]
            below = [state(child) for child in tree.children[n - first]]
            children, present = _stack(below), jnp.ones(len(below), bool)
            carry, inner_ys[n - first, b] = cell.step_tree(params, children, present, cell.project(params, x))
            return carry

        carries.append(state(tree.size - 1) if tree.size else cell.initial_carry(params))
    highest = max((len(tree.children) for tree in trees), default=0)
    sizes = len(xs.leaves), highest if xs.inner is None else len(xs.inner)
    none = zeros(cell.leaf(params, cell.project(params, jnp.zeros_like(xs.leaves[0, 0])))[1])
    tables = [
        _stack([_stack([found.get((n, b), none) for b in range(len(trees))]) for n in range(size)])
        for found, size in zip((leaf_ys, inner_ys), sizes, strict=True)
    ]
    return _stack(carries), Nodes(*tables)


def _stack(trees: list) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def forward(cell: TreeCell, params: Params, forest: Forest, xs: Nodes, step: Callable):
    """Return ((roots, ys), all states, residuals), given `step(children, present, z) -> ((h, y), residual)`."""
    shape, none = forest.shape, forest.edge.shape[0]
    leaves, leaf_ys = run_leaves(cell, forest, params, xs.leaves)
    states = jax.tree.map(partial(_states, none), leaves, cell.initial_carry(params, (1,)))
    zs = cell.project(params, at_places(forest, xs))
    one = None
    if xs.inner is None:
        zs, one = None, jax.tree.map(lambda z: jnp.broadcast_to(z[0], (shape.width, *z.shape[2:])), zs)

    def body(states, at):
        start, children, present, z = at
        (h, y), residual = step(rows(states, children), present, one if z is None else z)
        return write(states, h, start), (y, residual)

    starts = shape.leaves * shape.batch + shape.width * jnp.arange(shape.steps)
    states, (inner_ys, residuals) = scan(body, states, (starts, *read_children(forest), zs))
    leaf_ys = jax.tree.map(lambda y: y.reshape(*forest.leaf.shape, *y.shape[1:]), leaf_ys)
    ys = Nodes(
        select(forest.leaf, leaf_ys, zeros(leaf_ys)),
        jax.tree.map(lambda y: take(y.reshape(-1, *y.shape[2:]), forest.place), inner_ys),
    )
    return (rows(states, forest.root), ys), states, residuals


def run_leaves(cell: TreeCell, forest: Forest, params: Params, xs: Array) -> tuple[Carry, Any]:
    """Return (h, y) of every leaf of every tree, `[leaves·batch, ...]`."""
    xs = readable(forest.leaf, xs)
    return cell.leaf(params, cell.project(params, xs.reshape(-1, xs.shape[-1])))


def at_places(forest: Forest, xs: Nodes) -> Array:
    """Return x of the inner nodes, `[steps, width, input]`; a single 0, `[1, 1, input]`, if they have no inputs."""
    if xs.inner is None:
        return jnp.zeros((1, 1, xs.leaves.shape[-1]), xs.leaves.dtype)
    return readable(~unused(forest), take(xs.inner.reshape(-1, xs.inner.shape[-1]), forest.node))


def unused(forest: Forest) -> Array:
    """Return which places of the steps hold no node, `[steps, width]`."""
    return forest.node == forest.place.size


def read_children(forest: Forest) -> tuple[Array, Array]:
    """Return the rows of the children and which of them exist.

    A place without a node reads the first leaf as each of its children: a cell that takes a mean over the children that
    exist, for instance, is undefined without any.
    """
    none, idle = forest.edge.shape[0], unused(forest)[..., None]
    children = jnp.where(idle, 0, forest.children)
    return children, children < none


def _states(none: int, leaves: Array, outside: Array) -> Array:
    """Return one array of states: the leaves, space for the inner nodes, and the initial carry for a missing child."""
    inner = jnp.zeros((none - len(leaves), *outside.shape[1:]), outside.dtype)
    return jnp.concatenate([leaves.astype(outside.dtype), inner, outside])


def rows(tree: Any, indices: Array) -> Any:
    """Return the given rows of every array; the indices must be in bounds."""
    return jax.tree.map(lambda a: a.at[indices].get(mode="promise_in_bounds"), tree)


def take(array: Array, indices: Array) -> Array:
    """Return the given rows of an array; 0 for an index one past the end."""
    return array.at[indices].get(mode="fill", fill_value=0)


def write(tree: Any, values: Any, start: Array) -> Any:
    """Write consecutive rows of every array."""
    return jax.tree.map(lambda a, v: lax.dynamic_update_slice_in_dim(a, v.astype(a.dtype), start, 0), tree, values)


def check_unroll_tree(cell: TreeCell, params: Params, forest: Forest, xs) -> tuple[Forest, Nodes]:
    """Check the arguments of `unroll_tree` and return `(forest, xs)` as arrays."""
    if not isinstance(cell, TreeCell) or isinstance(cell, type):
        raise TypeError(f"`cell` must have arity, init, initial_carry, project, leaf and step_tree, got {cell!r}.")
    check_params(params, cell)
    if not isinstance(forest, Forest):
        raise TypeError(f"`forest` must be a Forest, got {type(forest).__name__}; make one with `pack(trees)`.")
    _check_arity(cell, forest)
    shape = forest.shape
    xs = jax.tree.map(jnp.asarray, xs if isinstance(xs, Nodes) else Nodes(xs))
    for name, x, size in (("leaves", xs.leaves, shape.leaves), ("inner", xs.inner, shape.inner)):
        if x is not None and (x.ndim != 3 or x.shape[:2] != (size, shape.batch)):
            raise ValueError(
                f"`xs` must have shape [{name}, batch, features], here [{size}, {shape.batch}, …], got {x.shape}. "
                f"Pad it with zeros, or give the size to `pack`, as in pack(trees, {name}={(*x.shape, 1)[0]})."
            )
    return jax.device_put(forest), xs  # `jnp.asarray` is a program for each shape


def _check_arity(cell: TreeCell, forest: Forest) -> None:
    room, most, where = forest.shape.arity, cell.arity, "`forest` has room for"
    if most is None or room <= most:
        return
    children, node = known_values(forest.children), known_values(forest.node)
    if children is not None and node is not None:
        counts = (children < forest.edge.shape[0]).sum(-1)
        if (wrong := counts > most).any():
            room, where = counts[wrong][0], f"`forest`, tree {node[wrong][0] % forest.shape.batch}, has"
    raise TreeError(f"{where} {room} children at a node; {cell} takes at most {most}.")
