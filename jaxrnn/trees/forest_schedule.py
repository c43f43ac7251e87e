"""The schedule of a forest: the step in which each inner node of a batch of trees is computed.

Hu's rule takes the nodes that are farthest from their root first, among those whose children are done.

References: Hu 1961; Brent 1974.
"""

from itertools import chain
from typing import NamedTuple

import numpy as np

from jaxrnn.trees.tree import Tree

OVERHEAD = 32
"""The fixed cost of a step, in nodes, when the width is chosen; about right on a CPU."""


class Edges(NamedTuple):
    """The inner nodes of all trees, numbered tree after tree, and the edges to their children.

    >>> Edges._fields[:3]
    ('tree', 'number', 'depth')
    """

    tree: np.ndarray
    """The tree of each inner node."""
    number: np.ndarray
    """The number of each inner node within its tree."""
    depth: np.ndarray
    """The distance of each inner node from its root."""
    above: np.ndarray
    """The parent of each inner node; −1 for a root."""
    parent: np.ndarray
    """The inner node above each edge."""
    which: np.ndarray
    """The position of the child below each edge among its siblings."""
    child: np.ndarray
    """The node below each edge: k for leaf k of its tree, −1 − n for inner node n."""


def edges_of(trees: list[Tree]) -> Edges:
    """Return the inner nodes of all trees, and the edges to their children."""
    counts = [len(tree.children) for tree in trees]
    total, start = sum(counts), np.cumsum([0, *counts])[:-1]
    lines = list(chain.from_iterable(tree.children for tree in trees))
    arities = np.fromiter(map(len, lines), np.int64, total)
    parent = np.repeat(np.arange(total), arities)
    which = np.arange(len(parent)) - np.repeat(np.cumsum(arities) - arities, arities)
    tree = np.repeat(np.arange(len(trees)), counts)
    child = np.fromiter(chain.from_iterable(lines), np.int64, len(parent))
    first = np.array([len(tree.leaves) for tree in trees], np.int64)
    below = child - first[tree[parent]]  # ≥ 0 for inner nodes
    inner = below >= 0
    below = below + start[tree[parent]]
    above = np.full(total, -1)
    above[below[inner]] = parent[inner]
    depth = np.fromiter(chain.from_iterable(tree.depths for tree in trees), np.int64, total)
    number = np.arange(total) - start[tree]
    return Edges(tree, number, depth, above, parent, which, np.where(inner, -1 - below, child))


def best_width(edges: Edges) -> int:
    """Return the power of two for which Hu's schedule costs least."""
    deep = np.cumsum(np.bincount(edges.depth, minlength=1)[::-1])[::-1]  # the number of nodes at a distance ≥ d
    widths = [1 << i for i in range(max(len(edges.depth) - 1, 0).bit_length() + 1)]
    return min(widths, key=lambda w: int((np.arange(len(deep)) - (-deep // w)).max()) * (w + OVERHEAD))


def schedule(edges: Edges, width: int) -> list[np.ndarray]:
    """Return the inner nodes of each step: among those whose children are done, the farthest from their root."""
    waits = np.bincount(edges.above[edges.above >= 0], minlength=len(edges.above))
    ready, order = np.flatnonzero(waits == 0), []
    while len(ready):
        ready = ready[np.argsort(-edges.depth[ready], kind="stable")]
        now, ready = ready[:width], ready[width:]
        order.append(now)
        above = edges.above[now]
        above = above[above >= 0]
        np.subtract.at(waits, above, 1)
        ready = np.concatenate([ready, np.unique(above[waits[above] == 0])])
    return order
