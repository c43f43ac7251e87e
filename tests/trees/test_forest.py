"""Packing: the arrays represent the trees, in the fewest steps that any order allows."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrnn.trees import (
    Tree,
    TreeError,
    balanced_tree,
    from_nested,
    from_parents,
    node_values,
    pack,
    right_comb,
)
from jaxrnn.trees.forest import bucket
from tests.trees.random_trees import random_tree


def unpacked(forest) -> list:
    """Nested tuples again, by doing what the loop does: a step reads rows of earlier steps and writes its own."""
    batch, leaves, inner, _, steps, width = forest.shape
    none = leaves * batch + steps * width
    rows = [(leaf, tree) if forest.leaf[leaf, tree] else None for leaf, tree in np.ndindex(leaves, batch)]
    for step in range(steps):
        new = []
        for row, node in zip(forest.children[step], forest.node[step], strict=True):
            there = [rows[r] for r in row if r != none]
            assert all(r == none for r in row[len(there) :])  # what is missing comes last
            assert (len(there) > 0) == (node < inner * batch) and None not in there
            new.append(tuple(there) or None)
        rows += new
    return [rows[r] if r != none else None for r in forest.root]


def with_tree(tree: Tree, b: int):
    """Nested tuples of (leaf, b)."""
    found: list = [(leaf, b) for leaf in range(len(tree.leaves))]
    for row in tree.children:
        found.append(tuple(found[c] for c in row))
    return found[-1] if found else None


def batch_of(seed: int) -> list[Tree]:
    """Up to six trees of up to nine leaves."""
    rng = np.random.default_rng(seed)
    return [random_tree(rng, int(rng.integers(0, 10)), int(rng.integers(2, 5))) for _ in range(rng.integers(1, 7))]


SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.sampled_from([None, 1, 2, 3, 4, 100]))
def test_the_arrays_are_the_trees(seed, width):
    trees = batch_of(seed)
    forest = pack(trees, width=width)
    assert unpacked(forest) == [with_tree(tree, b) for b, tree in enumerate(trees)]


@given(SEEDS, st.sampled_from([None, 1, 3, 100]))
def test_every_edge_is_read_by_the_child_that_hangs_on_it_and_by_no_other(seed, width):
    trees = batch_of(seed)
    forest = pack(trees, width=width)
    batch, leaves, _, arity, steps, width = forest.shape
    none, edges = leaves * batch + steps * width, steps * width * arity
    assert len(forest.edge) == none
    for row, child in enumerate(forest.children.reshape(-1)):
        assert child == none or forest.edge[child] == row
    read = forest.edge[forest.edge < edges + batch]
    assert len(set(read.tolist())) == len(read) == sum(tree.size for tree in trees)
    for b, row in enumerate(forest.root):
        assert row == none or forest.edge[row] == edges + b
    for (n, b), place in np.ndenumerate(forest.place):
        there = n < len(trees[b].children)
        assert (place == steps * width) == (not there)
        assert not there or forest.node.reshape(-1)[place] == n * batch + b
    assert (forest.leaf == (np.arange(leaves)[:, None] < [len(tree.leaves) for tree in trees])).all()


@given(SEEDS, st.integers(1, 5))
def test_no_order_takes_fewer_steps(seed, width):
    """Hu 1961: a bound that holds for any order, and is reached."""
    trees = batch_of(seed)
    depths = np.array([depth for tree in trees for depth in tree.depths])
    least = max((d + int(np.ceil((depths >= d).sum() / width)) for d in range(depths.max(initial=-1) + 1)), default=0)
    forest = pack(trees, width=width)
    assert (forest.node < forest.place.size).any(axis=1).sum() == least


@pytest.mark.parametrize("leaves", [2, 5, 8, 100])
def test_without_a_limit_to_the_width_a_step_is_a_level(leaves):
    shape = pack([balanced_tree(leaves), balanced_tree(2)], width="level").shape
    assert shape.steps == int(np.ceil(np.log2(leaves)))
    assert pack([right_comb(leaves)], width="level").shape[-2:] == (bucket(leaves - 1, parts=4), 1)


@pytest.mark.parametrize("parts", [2, 4])
def test_sizes_are_rounded_to_few_buckets(parts):
    sizes = {n: bucket(n, parts) for n in range(1, 2000)}
    assert all(n <= size <= (1 + 1 / parts) * n for n, size in sizes.items())
    assert len(set(sizes.values())) <= 11 * parts and all(bucket(size, parts) == size for size in sizes.values())


def test_given_sizes_are_the_sizes():
    trees = [right_comb(5), balanced_tree(3)]
    forest = pack(trees, leaves=9, inner=11, arity=3, steps=7, width=4)
    assert forest.shape[1:5] == (9, 11, 3, 7)
    assert pack(trees, **{k: v for k, v in forest.shape._asdict().items() if k != "batch"}).shape == forest.shape
    assert unpacked(forest) == [with_tree(tree, b) for b, tree in enumerate(trees)]


def test_a_batch_of_leaves_of_nothing_and_of_no_trees():
    assert unpacked(pack([balanced_tree(1), Tree((), (), ())])) == [(0, 0), None]
    assert pack([]).shape.batch == 0


def test_labels_stand_where_the_inputs_stand():
    trees = [from_nested(((1, 2), 3)), from_nested(4)]
    forest = pack(trees, leaves=4)
    values = node_values(trees, forest, lambda n: 10 * n, lambda _: 7)
    np.testing.assert_array_equal(values.leaves, [[10, 40], [20, 0], [30, 0], [0, 0]])
    np.testing.assert_array_equal(values.inner, [[7, 0], [7, 0], [0, 0], [0, 0]])
    assert node_values(trees, forest, lambda n: np.ones(3) * n).leaves.shape == (4, 2, 3)
    assert node_values(trees, forest).inner is None


def test_the_example_that_is_not_a_tree_or_does_not_fit_is_named():
    good = [-1, 0, 0]
    with pytest.raises(TreeError, match=r"`trees\[2\]`: a cycle: node 1 → 2 → 1"):
        pack([good, good, [-1, 2, 1]], from_parents)
    with pytest.raises(TreeError, match=r"`trees\[1\]`: there must be one root, got nodes 0 and 1"):
        pack([good, [-1, -1]], from_parents)
    with pytest.raises(TreeError, match=r"`trees\[1\]`: a child is missing"):
        pack([("a", "b"), ("a", ())], from_nested)
    with pytest.raises(TreeError, match=r"`trees\[1\]` must be a Tree, got tuple"):
        pack([balanced_tree(2), ("a", "b")])
    trees = [balanced_tree(2), balanced_tree(4), from_nested((1, 2, 3))]
    with pytest.raises(TreeError, match=r"`trees\[2\]` needs arity=3, but the capacity is arity=2"):
        pack(trees, arity=2)
    with pytest.raises(TreeError, match=r"`trees\[1\]` needs leaves=4, but the capacity is leaves=3"):
        pack(trees, leaves=3)
    with pytest.raises(TreeError, match=r"`trees\[1\]` needs inner=3, but the capacity is inner=2"):
        pack(trees, inner=2)
    with pytest.raises(ValueError, match="`steps` must be at least 2 for these trees"):
        pack(trees, steps=1)
    for name, size in itertools.product(("leaves", "inner", "arity", "steps", "width"), (0, -1)):
        with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1"):
            pack(trees, **{name: size})
