"""The laws' own bookkeeping, in NumPy: beside the programs that they try, nothing is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


def host(tree: PyTree) -> PyTree:
    """Every leaf as NumPy's, typed keys excepted.

    >>> type(host(jnp.ones(3))).__name__
    'ndarray'
    """
    return jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray(a), tree)


def select(condition, if_true: PyTree, if_false: PyTree) -> PyTree:
    """`where`, leaf by leaf; `condition` covers the leading axes and all features of a leaf."""
    condition = np.asarray(condition)

    def leaf(a, b):
        return np.where(condition.reshape(condition.shape + (1,) * (np.ndim(a) - condition.ndim)), a, b)

    return jax.tree.map(leaf, if_true, if_false)


def zeros(tree: PyTree) -> PyTree:
    """Zeros like every leaf."""
    return jax.tree.map(np.zeros_like, tree)


def add(*trees: PyTree) -> PyTree:
    """The sum of trees, leaf by leaf, in the leaves' own dtype."""
    return jax.tree.map(lambda a, *more: sum(more, a).astype(a.dtype), *trees)


def steps_like(mask):
    """0 … T − 1 along the first axis of `mask`, to be compared with one number a row."""
    return np.arange(mask.shape[0]).reshape(-1, *[1] * (mask.ndim - 1))
