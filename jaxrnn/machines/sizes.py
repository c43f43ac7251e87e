"""Comparisons of sizes that may be unknown.

A program that is exported for any batch or any length is traced with symbolic sizes (`jax.export.symbolic_shape`).  JAX
cannot decide most comparisons of these, and raises an error.  What the library chooses by a size never changes a
result, so an unknown size has an answer too: it satisfies neither bound, and each rule takes the plain way when its
bound does not hold.

>>> from jax import export
>>> (batch,) = export.symbolic_shape("batch")
>>> at_most(100, 256), at_most(batch, 256), at_least(batch, 256)
(True, False, False)
"""

import math
import operator

import jax
from jaxtyping import PyTree


def known(size) -> int | None:
    """Return the size as an integer, or None if it is symbolic."""
    try:
        return operator.index(size)
    except (TypeError, jax.errors.JAXTypeError):
        return None


def at_most(size, bound: int) -> bool:
    """Return True if `size` is known and at most `bound`."""
    return (n := known(size)) is not None and n <= bound


def at_least(size, bound: int) -> bool:
    """Return True if `size` is known and at least `bound`."""
    return (n := known(size)) is not None and n >= bound


def bytes_of(tree: PyTree):
    """Return the number of bytes of all leaves; it is symbolic if a size is."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
