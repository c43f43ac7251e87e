"""Random trees of any arity, combs and single leaves among them, and their arrays."""

import jax
import numpy as np

from jaxrnn.trees import Nodes, Tree, from_nested


def random_tree(rng: np.random.Generator, leaves: int, arity: int = 2, *, unary: bool = True) -> Tree:
    """Neighbors are joined until one is left; 0 leaves is the empty tree."""
    if leaves == 0:
        return Tree((), (), ())
    items: list = list(range(leaves))
    while len(items) > 1 or (unary and rng.random() < 0.2):
        n = int(rng.integers(1 if unary else 2, 1 + min(arity, len(items))))
        at = int(rng.integers(0, 1 + len(items) - n))
        items[at : at + n] = [tuple(items[at : at + n])]
    return from_nested(items[0])


def random_xs(seed: int, forest, features: int, *, inner: bool = True) -> Nodes:
    """Draw inputs for all places, including those without a node."""
    rng = np.random.default_rng(seed)
    leaves = rng.standard_normal((*forest.leaf.shape, features))
    return jax.device_put(Nodes(leaves, rng.standard_normal((*forest.place.shape, features)) if inner else None))
