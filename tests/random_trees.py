"""Random trees of any arity, combs and single leaves among them, and their arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import Nodes, Tree, tree_from_nested


def random_tree(rng: np.random.Generator, leaves: int, arity: int = 2, *, unary: bool = True) -> Tree:
    """Neighbours are joined until one is left; 0 leaves is the empty tree."""
    if leaves == 0:
        return Tree((), (), ())
    items: list = list(range(leaves))
    while len(items) > 1 or (unary and rng.random() < 0.2):
        n = int(rng.integers(1 if unary else 2, 1 + min(arity, len(items))))
        at = int(rng.integers(0, 1 + len(items) - n))
        items[at : at + n] = [tuple(items[at : at + n])]
    return tree_from_nested(items[0])


def random_xs(key, forest, features: int, *, inner: bool = True) -> Nodes:
    """Inputs of all places, those without a node too."""
    first, second = jax.random.split(key)
    leaves = jax.random.normal(first, (*forest.leaf.shape, features))
    return Nodes(leaves, jax.random.normal(second, (*forest.place.shape, features)) if inner else None)


def random_params(cell, seed: int = 0):
    """Biases other than 0, too."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: a + jnp.asarray(0.3 * rng.standard_normal(a.shape)), cell.init(jax.random.key(0)))
