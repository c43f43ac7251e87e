"""The floating part of a pytree: separated from the rest, and as vectors.

A carry may hold integers, booleans and keys beside its floating arrays.  What has a derivative is the floating part;
taken as one vector it is the h that Jacobians, influence matrices and context vectors are about.
"""

import math
from types import ModuleType
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

Vectors = Float[Array, "*leading n"] | Float[np.ndarray, "*leading n"]
"""On the device or on the host."""


def is_floating(leaf) -> bool:
    """Return whether an array, or a shape with a dtype, is floating or complex.

    >>> is_floating(jnp.ones(2)), is_floating(jnp.arange(2))
    (True, False)
    """
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


def partition(tree: PyTree) -> tuple[list, list]:
    """Return the floating leaves, and the others.

    >>> partition((jnp.ones(2), jnp.array(7)))
    ([Array([1., 1.], dtype=float32)], [Array(7, dtype=int32, weak_type=True)])
    """
    leaves = jax.tree.leaves(tree)
    return [a for a in leaves if is_floating(a)], [a for a in leaves if not is_floating(a)]


def combine(floats: list, others: list, like: PyTree) -> PyTree:
    """Return the tree whose `partition` is `(floats, others)`, with the structure and the dtypes of `like`.

    >>> combine(["h"], ["n"], (jnp.array(7), jnp.ones(2)))
    ('n', 'h')
    """
    leaves, structure = jax.tree.flatten(like)
    parts = {True: iter(floats), False: iter(others)}
    return structure.unflatten([next(parts[is_floating(leaf)]) for leaf in leaves])


@overload
def ravel_floating(tree: PyTree, batch_axes: int = 0) -> Float[Array, "*leading n"]: ...
@overload
def ravel_floating(tree: PyTree, batch_axes: int = 0, *, module: ModuleType) -> Vectors: ...
def ravel_floating(tree: PyTree, batch_axes: int = 0, *, module: ModuleType = jnp) -> Vectors:
    """Return all floating numbers behind the first `batch_axes` axes as vectors, array after array.

    Args:
      tree: any pytree of arrays.
      batch_axes: the number of leading axes that stay.
      module: `jax.numpy`, or `numpy` for arrays on the host.

    >>> ravel_floating((jnp.zeros((2, 3)), jnp.arange(2), jnp.ones((2, 1))), 1).shape
    (2, 4)
    """
    floats, others = partition(tree)
    if not floats:
        return module.zeros((*jnp.shape(others[0])[:batch_axes], 0) if others else (0,))
    flat = [a.reshape(*a.shape[:batch_axes], math.prod(a.shape[batch_axes:])) for a in floats]
    return module.concatenate(flat, axis=-1)


def unravel_floating(vectors: Vectors, like: PyTree) -> PyTree:
    """Return the tree of which `vectors` is the floating part; everything else is that of `like`.

    Args:
      vectors: as from `ravel_floating`.
      like: the tree, or its shapes, without the leading axes.

    >>> unravel_floating(jnp.arange(4.0), (jnp.zeros(3), jnp.array(7), jnp.zeros(1)))
    (Array([0., 1., 2.], dtype=float32), Array(7, dtype=int32, weak_type=True), Array([3.], dtype=float32))
    """
    floats, others = partition(like)
    arrays, start = [], 0
    for leaf in floats:
        size = math.prod(leaf.shape)
        part = vectors[..., start : start + size]
        arrays.append(part.reshape((*vectors.shape[:-1], *leaf.shape)).astype(leaf.dtype))
        start += size
    return combine(arrays, others, like)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Return whether every floating number of the tree is finite.

    >>> bool(all_finite((jnp.ones(2), jnp.array(7)))), bool(all_finite([jnp.array([0.0, jnp.nan])]))
    (True, False)
    """
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in partition(tree)[0]], bool))
