"""Trees built from other data: nested tuples, brackets, parents, syntax trees.

    from_nested      (("the", "cat"), "sleeps")
    from_bracketed   "(S (NP the cat) (VP sleeps))"
    from_parents     [2, 2, 4, 4, -1]
    from_ast         Python's own syntax trees
    from_children    any objects with a function that gives their children

Nothing here recurses, so trees of any depth are fine.

References: Socher, Lin, Ng & Manning 2011; Marcus, Santorini & Marcinkiewicz 1993 (the Penn Treebank); chapter 五, item
4.
"""

import ast
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jaxrnn.trees.tree import Tree, TreeError


def from_children(
    root: Any, children: Callable[[Any], Iterable[Any]], label: Callable[[Any], Any] = lambda node: node
) -> Tree:
    """Build the tree below an object, from a function that gives the children of an object.

    An object that occurs in several places becomes several nodes.

    Args:
      root: any object.
      children: returns the children of an object from left to right; empty for a leaf.
      label: returns the label of the node that an object becomes.

    Returns:
      A `Tree`.

    Raises:
      TreeError: a cycle.

    >>> from_children(6, lambda n: [d for d in (2, 3) if n % d == 0 and n > d], lambda n: n % 5).leaves
    (2, 3)
    """
    leaves: list[Any] = []
    inner: list[Any] = []
    rows: list[list[_Subtree]] = []
    waiting: list[_Subtree] = []  # for their parent
    above: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, _Complete):
            above.discard(id(node.node))
            rows.append(waiting[-node.children :])
            waiting[-node.children :] = [_Subtree(False, len(inner))]
            inner.append(label(node.node))
        elif below := tuple(children(node)):
            if id(node) in above:
                raise TreeError(f"a cycle: {_brief(node)} is below itself.")
            above.add(id(node))
            todo += [_Complete(node, len(below)), *reversed(below)]
        else:
            waiting.append(_Subtree(True, len(leaves)))
            leaves.append(label(node))
    ordered = tuple(tuple(n if is_leaf else len(leaves) + n for is_leaf, n in row) for row in rows)
    return Tree(ordered, tuple(leaves), tuple(inner))


class _Complete(NamedTuple):
    """A mark after the children of a node in the list of what is to be done."""

    node: Any
    children: int


class _Subtree(NamedTuple):
    """The root of a subtree, by its number among the leaves or among the inner nodes."""

    is_leaf: bool
    number: int


def from_nested(nested: Any) -> Tree:
    """Build a tree from nested tuples or lists: they are inner nodes without labels, everything else is a leaf.

    Args:
      nested: tuples and lists within one another.

    Returns:
      A `Tree` whose inner nodes have the label None.

    Raises:
      TreeError: an empty tuple or list, None as a child, or a cycle.

    >>> from_nested((("the", "cat"), "sleeps"))
    Tree(children=((0, 1), (3, 2)), leaves=('the', 'cat', 'sleeps'), inner=(None, None))
    """

    def children(node):
        if not isinstance(node, tuple | list):
            return ()
        if not node or any(child is None for child in node):
            raise TreeError(f"a child is missing in {_brief(node)}.")
        return node

    return from_children(nested, children, lambda node: None if isinstance(node, tuple | list) else node)


def from_parents(parents: Sequence[int], labels: Sequence[Any] | None = None) -> Tree:
    """Build the tree in which the parent of node i is node parents[i], with −1 at the root.

    The children of a node are ordered by their numbers.

    Args:
      parents: one integer per node.
      labels: the label of node i; the default is i, so that the labels say which node each one was.

    Returns:
      A `Tree`.

    Raises:
      TypeError: a parent that is not an integer.
      TreeError: no root, or two; a parent that does not exist; a cycle; another number of labels than of nodes.

    >>> from_parents([2, 2, 4, 4, -1], "ABCDE")
    Tree(children=((0, 1), (3, 2)), leaves=('A', 'B', 'D'), inner=('C', 'E'))
    """
    parents = [_as_integer(node, parent) for node, parent in enumerate(parents)]
    size = len(parents)
    labels = range(size) if labels is None else labels
    if len(labels) != size:
        raise TreeError(f"`labels` must have one label for each of {size} nodes, got {len(labels)}.")
    below: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if not -1 <= parent < size:
            raise TreeError(f"the parent {parent} of node {node} is missing: the nodes are 0 … {size - 1}.")
        if parent >= 0:
            below[parent].append(node)
    roots = [node for node, parent in enumerate(parents) if parent == -1]
    if len(roots) > 1:
        raise TreeError(f"there must be one root, got nodes {roots[0]} and {roots[1]} without a parent.")
    tree = from_children(roots[0], below.__getitem__, labels.__getitem__) if roots else None
    if tree is None or tree.size < size:
        raise TreeError(_cycle(parents, roots) if parents else "there must be one root, got no node.")
    return tree


def _as_integer(node: int, parent: Any) -> int:
    """Return a parent as an integer, without rounding."""
    try:
        return operator.index(parent)
    except TypeError as error:
        message = f"`parents[{node}]` must be an integer, the number of a node or -1 at the root, got {parent!r}."
        raise TypeError(message) from error


def _cycle(parents: list[int], roots: list[int]) -> str:
    """Describe a cycle among the nodes that are not below the root."""
    safe, node = set(roots), 0
    while True:
        way = []
        while node not in safe and node not in way:
            way.append(node)
            node = parents[node]
        if node in way:
            return f"a cycle: node {' → '.join(map(str, [*way[way.index(node) :], node]))}."
        safe |= set(way)
        node = next(n for n in range(len(parents)) if n not in safe)


def from_bracketed(text: str, brackets: str = "()") -> Tree:
    """Build a tree from a bracketed parse: the first word in a bracket is its label, the other words are leaves.

    Args:
      text: a parse such as "(S (NP the cat) (VP sleeps))"; a bracket that begins with a bracket has no label.
      brackets: the opening and the closing bracket.

    Returns:
      A `Tree`.

    Raises:
      TreeError: brackets that do not match, an empty pair of brackets, or more than one tree.

    >>> from_bracketed("(S (NP the cat) (VP sleeps))")
    Tree(children=((0, 1), (2,), (3, 4)), leaves=('the', 'cat', 'sleeps'), inner=('NP', 'VP', 'S'))
    >>> from_bracketed("[MAX 2 [MIN 4 7 ] 0 ]", "[]").inner
    ('MIN', 'MAX')

    References: Marcus, Santorini & Marcinkiewicz 1993 (the Penn Treebank).
    """
    opening, closing = brackets
    words = text.replace(opening, f" {opening} ").replace(closing, f" {closing} ").split()
    top: list[Any] = []
    way = [top]
    for i, word in enumerate(words):
        if word == opening:
            labelled = i + 1 < len(words) and words[i + 1] not in brackets
            way[-1].append([] if labelled else [None])
            way.append(way[-1][-1])
        elif word == closing:
            if len(way) == 1:
                raise TreeError(f"a bracket is closed that was not opened, at word {i + 1} of {_brief(text)}.")
            if len(way.pop()) < 2:
                raise TreeError(f"a child is missing: a bracket without a leaf, at word {i + 1} of {_brief(text)}.")
        else:
            way[-1].append(word)
    if len(way) > 1:
        raise TreeError(f"{len(way) - 1} brackets are not closed in {_brief(text)}.")
    if len(top) != 1:
        raise TreeError(f"there must be one root, got {len(top)} in {_brief(text)}.")
    return from_children(
        top[0],
        children=lambda node: node[1:] if isinstance(node, list) else (),
        label=lambda node: node[0] if isinstance(node, list) else node,
    )


def from_ast(
    node: ast.AST,
    children: Callable[[ast.AST], Iterable[ast.AST]] = ast.iter_child_nodes,
    label: Callable[[ast.AST], Any] = lambda node: type(node).__name__,
) -> Tree:
    """Build a tree from a syntax tree of Python's `ast`.

    Args:
      node: the node that becomes the root.
      children: returns the children of a node from left to right; by default all of them.
      label: returns the label of a node; by default the name of its class.

    Returns:
      A `Tree`.

    >>> from_ast(ast.parse("a + 1", mode="eval").body).leaves
    ('Load', 'Add', 'Constant')
    """
    return from_children(node, children, label)


def _brief(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except RecursionError:  # a repr that recurses too deeply
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
