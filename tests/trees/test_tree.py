"""Trees from every supported format, and an error for everything that is not a tree."""

import ast

import numpy as np
import pytest

from jaxrnn.trees import (
    Tree,
    TreeError,
    balanced_tree,
    from_ast,
    from_bracketed,
    from_children,
    from_nested,
    from_parents,
    right_comb,
)
from tests.trees.random_trees import random_tree

SENTENCE = Tree(((0, 1), (3, 2)), ("the", "cat", "sleeps"), (None, None))


def nested(tree: Tree, node: int | None = None):
    """Back to tuples."""
    node = tree.size - 1 if node is None else node
    if node < len(tree.leaves):
        return tree.leaves[node]
    return tuple(nested(tree, child) for child in tree.children[node - len(tree.leaves)])


def test_four_spellings_of_one_tree():
    parents = from_parents([2, 2, 4, 4, -1], ["the", "cat", None, "sleeps", None])
    parse = from_bracketed("(S (NP the cat) sleeps)")
    assert from_nested([["the", "cat"], "sleeps"]) == parents == SENTENCE
    assert (parse.children, parse.leaves) == (SENTENCE.children, SENTENCE.leaves)
    expression = from_ast(ast.parse("f(a)(b)", mode="eval").body, label=lambda n: getattr(n, "id", None))
    assert expression.leaves == (None, None, None)  # the contexts of the names: Load()


def test_nested_tuples_there_and_back():
    rng = np.random.default_rng(0)
    for leaves in range(1, 12):
        tree = random_tree(rng, leaves, arity=4)
        assert from_nested(nested(tree)) == tree and tree.leaves == tuple(range(leaves))


def test_a_parent_array_in_any_order_of_the_nodes_is_the_same_tree():
    rng = np.random.default_rng(1)
    for leaves in range(1, 9):
        tree = random_tree(rng, leaves, arity=3)
        above = {c: n for n, row in enumerate(tree.children, len(tree.leaves)) for c in row}
        siblings = {c: k for row in tree.children for k, c in enumerate(row)}
        # any numbering that keeps siblings in their order
        rank = {n: (rng.random() + siblings.get(n, 0)) for n in range(tree.size)}
        order = sorted(range(tree.size), key=rank.__getitem__)
        new = {n: i for i, n in enumerate(order)}
        again = from_parents([new[above[n]] if n in above else -1 for n in order], order)
        assert again.children == tree.children and again.leaves == tree.leaves


@pytest.mark.parametrize("leaves", [1, 2, 3, 7, 8, 9, 100, 128, 1000])
def test_a_balanced_tree_has_the_logarithm_for_its_height_and_its_leaves_in_order(leaves):
    tree = balanced_tree(leaves)
    assert tree.height == int(np.ceil(np.log2(leaves)))
    assert tree.arity == (2 if leaves > 1 else 0) and len(tree.children) == leaves - 1
    flat = [nested(tree)]
    while any(isinstance(x, tuple) for x in flat):
        flat = [y for x in flat for y in (x if isinstance(x, tuple) else (x,))]
    assert flat == list(range(leaves))


def test_a_comb_is_as_high_as_it_has_branches():
    assert nested(right_comb("abcd")) == ("a", ("b", ("c", "d")))
    assert right_comb(50).height == 49 and right_comb("a") == Tree((), ("a",), ())


def test_a_tree_deeper_than_the_interpreter_s_stack():
    deep = "x"
    for _ in range(20_000):
        deep = ("y", deep)
    assert from_nested(deep).height == 20_000
    text = "(a " * 20_000 + "x" + ")" * 20_000
    assert from_bracketed(text).height == 20_000
    assert from_parents([*range(1, 20_000), -1]).height == 19_999


def test_labels_of_a_parse_and_of_syntax():
    tree = from_bracketed("(S (NP (D the) (N cat)) (VP sleeps))")
    assert tree.leaves == ("the", "cat", "sleeps") and tree.inner == ("D", "N", "NP", "VP", "S")
    tree = from_ast(ast.parse("a * (b + 1)", mode="eval").body)
    assert tree.inner[-1] == "BinOp" and tree.leaves == ("Load", "Mult", "Load", "Add", "Constant")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_parents([1, 2, 0]), "a cycle: node 0 → 1 → 2 → 0"),
        (lambda: from_parents([-1, 0, 3, 2]), "a cycle: node 2 → 3 → 2"),
        (lambda: from_parents([0]), "a cycle: node 0 → 0"),
        (lambda: from_parents([-1, 0, -1]), "one root, got nodes 0 and 2"),
        (lambda: from_parents([-1, 7]), "the parent 7 of node 1 is missing"),
        (lambda: from_parents([-1, -2]), "the parent -2 of node 1 is missing"),
        (lambda: from_parents([]), "one root, got no node"),
        (lambda: from_parents([-1], ["a", "b"]), "one label for each of 1 nodes, got 2"),
        (lambda: from_nested(("a", ())), r"a child is missing in \(\)"),
        (lambda: from_nested(("a", None)), r"a child is missing in \('a', None\)"),
        (lambda: from_bracketed("(S (NP the cat)"), "1 brackets are not closed"),
        (lambda: from_bracketed("(S a))"), "a bracket is closed that was not opened, at word 5"),
        (lambda: from_bracketed("(S a) (S b)"), "one root, got 2"),
        (lambda: from_bracketed(""), "one root, got 0"),
        (lambda: from_bracketed("(S (NP ) b)"), "a child is missing"),
        (lambda: Tree(((0, 2), (1, 1)), ("a", "b"), (0, 0)), "child 2 of node 2 must come before it"),
        (lambda: Tree(((0, 3), (1, 2)), ("a", "b"), (0, 0)), "child 3 of node 2 must come before it; a cycle"),
        (lambda: Tree(((0, 9),), ("a", "b"), (0,)), "child 9 of node 2 is missing"),
        (lambda: Tree(((0, 1, 0),), ("a", "b"), (0,)), "node 0 is a child of node 2 and of node 2"),
        (lambda: Tree(((0,), (1,)), ("a", "b"), (0, 0)), "one root, got nodes 2 and 3"),
        (lambda: Tree((), ("a", "b"), ()), "one root, got nodes 0 and 1"),
        (lambda: Tree(((),), (), (0,)), "inner node 0 has no children"),
        (lambda: Tree(((0,),), ("a",), ()), "`inner` must have a label for each of 1 nodes, got 0"),
    ],
)
def test_what_is_not_a_tree_is_named(make, message):
    with pytest.raises(TreeError, match=message):
        make()


@pytest.mark.parametrize("parents", [[-1, 0.5], [-1, 0.0], [-1, None], "ab"])
def test_a_parent_that_is_no_integer_is_named_and_not_rounded(parents, without_beartype):
    with pytest.raises(TypeError, match=r"`parents\[[01]\]` must be an integer, the number of a node or -1"):
        from_parents(parents)
    assert from_parents(np.array([-1, 0])).size == 2


def test_a_cycle_of_objects_is_found_before_memory_ends():
    loop = ["a"]
    loop.append(["b", loop])
    with pytest.raises(TreeError, match=r"a cycle: .* is below itself"):
        from_nested(loop)
    with pytest.raises(TreeError, match="a cycle"):
        from_children(1, lambda n: [n])


def test_one_object_in_two_places_is_two_nodes():
    pair = ("a", "b")
    assert from_nested((pair, pair)) == from_nested((("a", "b"), ("a", "b")))


def test_no_leaves_are_refused(without_beartype):
    for make in (balanced_tree, right_comb):
        with pytest.raises(ValueError, match="`leaves` must be an integer of at least 1"):
            make(0)
