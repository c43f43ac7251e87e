"""Trees as values.

The graph of a recursive network is a tree instead of a chain,

    h_n = f(h of the children of n, x_n; θ),

and it is computed from the leaves to the root.  How to choose the tree is an open question (chapter 五, item 4).  It
can be independent of the data: `balanced_tree`, of depth ⌈log₂ τ⌉, or `right_comb`, which is a sequence.  Or it comes
from another source, such as a parser: see `jaxrnn.trees.parsing`.

Every `Tree` numbers its leaves first, from left to right, 0 … τ − 1, and then its inner nodes, children before their
parents, τ … n − 1.  The root is the last node.

References: Goller & Küchler 1996; Socher, Lin, Ng & Manning 2011; Goodfellow, Bengio & Courville 2016, §10.6; chapter
五, items 1 and 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from jaxrnn.core.checks import check_positive


class TreeError(ValueError):
    """The error raised for input that is not a tree, or a tree that does not fit; the message says which and why."""


@dataclass(frozen=True)
class Tree:
    """An ordered tree.

    Args:
      children: for each inner node, the numbers of its children from left to right.
      leaves: the labels of the leaves, of any type.
      inner: the labels of the inner nodes, in the order of `children`.

    Raises:
      TreeError: a child that does not exist, comes after its parent (as in every cycle) or has two parents; an inner
        node without children; two roots.

    >>> Tree(children=((0, 1), (3, 2)), leaves=("the", "cat", "sleeps"), inner=("NP", "S"))
    Tree(children=((0, 1), (3, 2)), leaves=('the', 'cat', 'sleeps'), inner=('NP', 'S'))

    References: chapter 五; Goodfellow et al. 2016, §10.6.
    """

    children: tuple[tuple[int, ...], ...]
    leaves: tuple[Any, ...]
    inner: tuple[Any, ...]

    def __post_init__(self):
        if len(self.inner) != len(self.children):
            raise TreeError(f"`inner` must have a label for each of {len(self.children)} nodes, got {len(self.inner)}.")
        first, size = len(self.leaves), len(self.leaves) + len(self.children)
        parent: dict[int, int] = {}
        for node, children in enumerate(self.children, start=first):
            if not children:
                raise TreeError(f"inner node {node} has no children.")
            for child in children:
                if not 0 <= child < size:
                    raise TreeError(f"child {child} of node {node} is missing: the nodes are 0 … {size - 1}.")
                if child >= node:
                    raise TreeError(f"child {child} of node {node} must come before it; a cycle has no such order.")
                if child in parent:
                    raise TreeError(f"node {child} is a child of node {parent[child]} and of node {node}.")
                parent[child] = node
        if roots := [node for node in range(size - 1) if node not in parent]:
            raise TreeError(f"there must be one root, got nodes {roots[0]} and {size - 1} without a parent.")

    @property
    def size(self) -> int:
        """The number of nodes."""
        return len(self.leaves) + len(self.children)

    @property
    def arity(self) -> int:
        """The largest number of children."""
        return max(map(len, self.children), default=0)

    @property
    def height(self) -> int:
        """The number of edges on the longest path from a leaf to the root."""
        return 1 + max(self.depths) if self.children else 0

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """The number of edges between each inner node and the root."""
        first = len(self.leaves)
        depths = [0] * len(self.children)
        for node in reversed(range(len(depths))):
            for child in self.children[node]:
                if child >= first:
                    depths[child - first] = depths[node] + 1
        return tuple(depths)


def balanced_tree(leaves: int | Sequence[Any]) -> Tree:
    """Join neighbors in pairs, then the pairs, and so on: a binary tree of height ⌈log₂ τ⌉.

    Args:
      leaves: the labels of the leaves, or their number (the labels are then 0 … τ − 1); at least one.

    Returns:
      A `Tree` whose inner nodes have the label None.

    Raises:
      ValueError: no leaf.

    >>> balanced_tree("abcde").children
    ((0, 1), (2, 3), (5, 6), (7, 4))
    >>> balanced_tree(1000).height
    10

    References: chapter 五, item 4.
    """
    labels = _labels(leaves)
    children: list[tuple[int, ...]] = []
    level = list(range(len(labels)))
    while len(level) > 1:
        pairs = [(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
        above = [len(labels) + len(children) + i for i in range(len(pairs))]
        children += pairs
        level = above + level[2 * len(pairs) :]
    return Tree(tuple(children), labels, (None,) * len(children))


def right_comb(leaves: int | Sequence[Any]) -> Tree:
    """Return the tree (x₁, (x₂, (x₃, …))), which is a sequence read from its end.

    Args:
      leaves: as for `balanced_tree`.

    Returns:
      A `Tree` whose inner nodes have the label None.

    Raises:
      ValueError: no leaf.

    >>> right_comb("abc").children
    ((1, 2), (0, 3))
    """
    labels = _labels(leaves)
    n = len(labels)
    children = tuple((n - 2 - i, n - 1 + i) for i in range(n - 1))
    return Tree(children, labels, (None,) * (n - 1))


def _labels(leaves: int | Sequence[Any]) -> tuple[Any, ...]:
    labels = tuple(range(leaves)) if isinstance(leaves, int | np.integer) else tuple(leaves)
    check_positive(leaves=len(labels))
    return labels
