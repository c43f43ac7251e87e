"""The laws' own bookkeeping, in NumPy: only the programs that they test are compiled."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxrnn.core.types import Noisy, Timed


def host(tree: PyTree) -> PyTree:
    """Return every leaf as a NumPy array, except typed keys.

    >>> type(host(jnp.ones(3))).__name__
    'ndarray'
    """
    return jax.tree.map(lambda a: a if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray(a), tree)


def select(condition, if_true: PyTree, if_false: PyTree) -> PyTree:
    """Apply `where` leaf by leaf; `condition` covers the leading axes and all features of a leaf."""
    condition = np.asarray(condition)

    def leaf(a, b):
        return np.where(condition.reshape(condition.shape + (1,) * (np.ndim(a) - condition.ndim)), a, b)

    return jax.tree.map(leaf, if_true, if_false)


def zeros(tree: PyTree) -> PyTree:
    """Return a tree of zeros like every leaf."""
    return jax.tree.map(np.zeros_like, tree)


def add(*trees: PyTree) -> PyTree:
    """Add trees leaf by leaf, in the dtype of the first."""
    return jax.tree.map(lambda a, *more: sum(more, a).astype(a.dtype), *trees)


def steps_like(mask):
    """Return 0 … T − 1 along the first axis of `mask`, to compare with one number per row."""
    return np.arange(mask.shape[0]).reshape(-1, *[1] * (mask.ndim - 1))


def noisy(rng, tree: PyTree, scale: float, *, ints: bool = False) -> PyTree:
    """Add noise to floating leaves; with `ints`, add 0, 1 or 2 to integers and draw booleans."""

    def leaf(a):
        if jnp.issubdtype(a.dtype, jnp.floating):
            return (np.asarray(a, np.float64) + scale * rng.standard_normal(a.shape)).astype(a.dtype)
        if ints and jnp.issubdtype(a.dtype, jnp.integer):
            return (np.asarray(a) + rng.integers(0, 3, a.shape)).astype(a.dtype)
        if ints and a.dtype == bool:
            return rng.random(a.shape) < 0.7
        return a

    return jax.device_put(jax.tree.map(leaf, tree))


def forwards_in_time(xs: PyTree) -> PyTree:
    """Return the inputs with every Δt above 0."""
    if not isinstance(xs, Noisy | Timed):
        return xs
    xs = xs._replace(x=forwards_in_time(xs.x))
    return xs._replace(dt=abs(xs.dt) / 2 + 0.1) if isinstance(xs, Timed) else xs
