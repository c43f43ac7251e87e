"""A batch of different trees as a few arrays of fixed shapes.

`pack` puts the trees of a batch side by side and divides their inner nodes into *steps* of `width` nodes.  The children
of a node always belong to earlier steps, so one loop over the steps computes every tree of the batch:

    rows of the states:   leaves of all trees            | step 0      | step 1      | …        | none
                          row leaf·batch + tree          | width rows  | width rows  |          | a missing child

The states of a step are stored in consecutive rows, and every array of indices is one gather: of the children in the
forward pass, of the single edge to the parent in the backward pass.  Nothing is ever scattered.

Without a limit on the width, a step is a level: all nodes at one distance from the leaves.  There are as many levels as
the highest tree has, ⌈log₂ τ⌉ for balanced trees.  But levels get narrower toward the roots while the loop has one
width: for balanced trees over 128 leaves, 7 levels as wide as the widest hold 3.5 times as many nodes as there are.  A
smaller width splits the wide levels.  Hu's rule orders the nodes: those farthest from their root go first.  No order
takes fewer steps than

    max over d of  d + ⌈number of nodes at a distance ≥ d from their root / width⌉.

References: Hu 1961 (the schedule); Brent 1974 (depth and work); Looks, Herreshoff, Hutchins & Norvig 2017 (dynamic
batching); chapter 五; Goodfellow et al. 2016, §10.6.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from jaxrnn.core.checks import check_positive
from jaxrnn.core.masks import bucket
from jaxrnn.trees.forest_schedule import Edges, best_width, edges_of, schedule
from jaxrnn.trees.tree import Tree, TreeError


class Nodes(NamedTuple):
    """A value for every node of a batch of trees: inputs, outputs or labels.

    >>> Nodes(leaves=np.ones((8, 1, 3))).inner is None
    True
    """

    leaves: Shaped[Array, "leaves batch *features"]
    """The values of the leaves, from left to right."""
    inner: Shaped[Array, "inner batch *features"] | None = None
    """The values of the inner nodes, children before parents; None if they have none."""


class ForestShape(NamedTuple):
    """The sizes of a `Forest`; a program is compiled once per `ForestShape`.

    >>> from jaxrnn.trees import balanced_tree
    >>> pack([balanced_tree(4)]).shape.leaves
    4
    """

    batch: int
    """The number of trees."""
    leaves: int
    """The most leaves of a tree."""
    inner: int
    """The most inner nodes of a tree."""
    arity: int
    """The most children of a node."""
    steps: int
    """The number of steps of the loop."""
    width: int
    """The number of inner nodes in a step."""


class Forest(NamedTuple):
    """A batch of trees as index arrays, built by `pack`.  An index one past the end means "none".

    >>> from jaxrnn.trees import balanced_tree
    >>> pack([balanced_tree(4), balanced_tree(3)]).leaf.sum(0).tolist()
    [4, 3]
    """

    leaf: Bool[Array, "leaves batch"]
    """True where the leaf exists."""
    place: Int[Array, "inner batch"]
    """The place of each inner node: step·width + position in the step."""
    node: Int[Array, "steps width"]
    """The inverse: the node at each place, as inner·batch + tree."""
    children: Int[Array, "steps width arity"]
    """The rows of the children of each node."""
    edge: Int[Array, " rows"]
    """The edge from each row to its parent, place·arity + child; for a root, places·arity + tree."""
    root: Int[Array, " batch"]
    """The row of the root of each tree."""

    @property
    def shape(self) -> ForestShape:
        """The sizes of the arrays."""
        steps, width, arity = self.children.shape
        return ForestShape(self.leaf.shape[1], self.leaf.shape[0], self.place.shape[0], arity, steps, width)


def pack(
    trees: Iterable[Any],
    build: Callable[[Any], Tree] | None = None,
    *,
    leaves: int | None = None,
    inner: int | None = None,
    arity: int | None = None,
    steps: int | None = None,
    width: int | Literal["level"] | None = None,
) -> Forest:
    """Pack a batch of trees into arrays, with NumPy on the host.

    Sizes that are not given are rounded up (`bucket`), so that a thousand different batches compile a handful of times.
    With all sizes given, they compile once.

    Args:
      trees: `Tree`s, or objects from which `build` makes a `Tree`.
      build: makes a `Tree` from an element of `trees`.
      leaves: the capacity for leaves per tree.
      inner: the capacity for inner nodes per tree.
      arity: the capacity for children per node.
      steps: the capacity for steps.
      width: the number of inner nodes in a step; with "level" a step is a level, as wide as the widest one.  The
        default is the power of two that makes steps·(width + `OVERHEAD`) smallest.

    Returns:
      A `Forest`.

    Raises:
      TreeError: an element that is not a tree, or a tree that exceeds a capacity; the message says which.
      ValueError: a size below 1, or trees that need more steps than `steps`.

    >>> from jaxrnn.trees.tree import balanced_tree
    >>> pack([balanced_tree(128)] * 16, width="level").shape
    ForestShape(batch=16, leaves=128, inner=128, arity=2, steps=7, width=1024)
    >>> pack([balanced_tree(128)] * 16).shape
    ForestShape(batch=16, leaves=128, inner=128, arity=2, steps=20, width=128)

    References: Hu 1961; Looks et al. 2017.
    """
    given = {"steps": steps, "width": None if width == "level" else width}
    check_positive(**{name: size for name, size in given.items() if size is not None})
    found = [_built(i, tree, build) for i, tree in enumerate(trees)]
    leaves = _room("leaves", leaves, [len(tree.leaves) for tree in found])
    inner = _room("inner", inner, [len(tree.children) for tree in found], least=leaves)
    arity = _room("arity", arity, [tree.arity for tree in found], round_up=int)
    edges = edges_of(found)
    if width is None:
        width = best_width(edges)
    order = schedule(edges, max(len(edges.depth), 1) if width == "level" else width)
    if width == "level":
        width = bucket(max(map(len, order), default=1))
    if steps is not None and len(order) > steps:
        raise ValueError(f"`steps` must be at least {len(order)} for these trees at width {width}, got {steps}.")
    steps = bucket(max(len(order), 1), parts=4) if steps is None else steps
    return _forest(found, edges, order, ForestShape(len(found), leaves, inner, arity, steps, width))


def node_values(
    trees: Sequence[Tree],
    forest: Forest,
    leaf: Callable[[Any], Any] | None = None,
    inner: Callable[[Any], Any] | None = None,
) -> Nodes:
    """Return values computed from the labels, in the layout of the inputs; 0 where there is no node.

    Args:
      trees: the trees that `forest` was packed from.
      forest: their arrays.
      leaf: maps the label of a leaf to a number or an array; None takes the label itself.
      inner: maps the label of an inner node likewise; None leaves the inner nodes without values.

    Returns:
      `Nodes` of NumPy arrays, `[leaves, batch, …]` and `[inner, batch, …]`.

    >>> from jaxrnn.trees.tree import balanced_tree
    >>> trees = [balanced_tree([5, 6, 7]), balanced_tree([8])]
    >>> node_values(trees, pack(trees)).leaves
    array([[5, 8],
           [6, 0],
           [7, 0]])
    """
    shape = forest.shape
    leaves = _layout([[label if leaf is None else leaf(label) for label in t.leaves] for t in trees], shape.leaves)
    if inner is None:
        return Nodes(leaves)
    return Nodes(leaves, _layout([[inner(label) for label in tree.inner] for tree in trees], shape.inner))


def _layout(rows: list[list], size: int) -> Any:
    example = np.asarray(next((value for row in rows for value in row), 0))
    array = np.zeros((size, len(rows), *example.shape), example.dtype)
    for i, row in enumerate(rows):
        if row:
            array[: len(row), i] = row
    return array


def _built(i: int, tree: Any, build: Callable[[Any], Tree] | None) -> Tree:
    try:
        tree = tree if build is None else build(tree)
    except TreeError as error:
        raise TreeError(f"`trees[{i}]`: {error}") from None
    if not isinstance(tree, Tree):
        raise TreeError(f"`trees[{i}]` must be a Tree, got {type(tree).__name__}; convert it first, or pass `build`.")
    return tree


def _room(name: str, size: int | None, needed: list[int], least: int = 1, round_up: Callable = bucket) -> int:
    most = max(needed, default=0)
    if size is None:
        return max(round_up(most), least)
    check_positive(**{name: size})
    if most > size:
        raise TreeError(f"`trees[{needed.index(most)}]` needs {name}={most}, but the capacity is {name}={size}.")
    return size


def _forest(trees: list[Tree], edges: Edges, order: list[np.ndarray], shape: ForestShape) -> Forest:
    batch, leaves, inner, arity, steps, width = shape
    first = leaves * batch  # the row of the first inner node
    rows, places = first + steps * width, steps * width
    place = np.empty(len(edges.tree), np.int64)
    for step, now in enumerate(order):
        place[now] = step * width + np.arange(len(now))
    tree = edges.tree[edges.parent]
    row = edges.child * batch + tree
    row[edges.child < 0] = first + place[-1 - edges.child[edges.child < 0]]
    at = place[edges.parent] * arity + edges.which
    counts = np.array([len(tree.leaves) for tree in trees], np.int64)
    tops = np.array([len(tree.children) for tree in trees], np.int64)
    root = np.where(counts > 0, np.arange(batch), rows)  # a tree of one leaf, or an empty one
    root[tops > 0] = first + place[np.cumsum(tops)[tops > 0] - 1]

    def filled(size, nothing, where, values) -> Any:
        array = np.full(size, nothing, np.int32)
        array[where] = values
        return array

    edge = filled(rows, places * arity + batch, row, at)
    edge[root[root < rows]] = places * arity + np.flatnonzero(root < rows)
    node = edges.number * batch + edges.tree
    leaf: Any = np.arange(leaves)[:, None] < counts
    return Forest(
        leaf=leaf,
        place=filled(inner * batch, places, node, place).reshape(inner, batch),
        node=filled(places, inner * batch, place, node).reshape(steps, width),
        children=filled(places * arity, rows, at, row).reshape(steps, width, arity),
        edge=edge,
        root=filled(batch, rows, np.arange(batch), root),
    )
