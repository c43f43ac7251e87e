"""The dtypes of computations and of their accumulators.

One rule for the whole library.  The parameters' dtype decides: every matrix product takes its operands
in that dtype (inputs of any other floating dtype are cast to it).  Sums, carries and outputs are kept in
`accumulator(dtype)`, which is float32 for float16 and bfloat16 and the dtype itself otherwise: a carry
that is rounded to 8 bits at every one of 10⁴ steps loses what it was meant to remember.

| parameters | products' operands | carries, outputs, losses |
|---|---|---|
| bfloat16, float16 | the same | float32 |
| float32 | float32 | float32 |
| float64 | float64 | float64 |
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from jaxrnn.machines.meshes import explicit_mesh, mesh_axes, spec_of
from jaxrnn.machines.sizes import at_least, at_most, known

LARGE = 2**20
"""Numbers in a weight from which on it does not stay in the cache of a core."""


def accumulator(dtype) -> jnp.dtype:
    """Return the dtype of sums and carries: at least float32.

    >>> accumulator(jnp.bfloat16), accumulator(jnp.float32)
    (dtype('float32'), dtype('float32'))
    """
    return jnp.promote_types(dtype, jnp.float32)


def matmul(x: Array, w: Array) -> Array:
    """Compute x @ w with operands in w's dtype and the sum in `accumulator(w.dtype)`.

    Axes of size 1 are left out of a sequence: XLA's CPU computes the gradient of w faster from two axes than from
    three.
    """
    of_one = tuple(i for i in range(1, x.ndim - 1) if known(x.shape[i]) == 1)
    z = _dot(jnp.squeeze(x, of_one).astype(w.dtype), w, (-1,), (0,))
    return jnp.expand_dims(z, of_one)


def add_bias(z: Array, b: Array) -> Array:
    """Add b to z over every leading axis, at equal ranks, as `jax_numpy_rank_promotion="raise"` requires."""
    return z + in_rank(b, z)


def in_rank(b: Array, like: Array) -> Array:
    """Return b with axes of size 1 in front, as many as make it of the rank of `like`; b itself if it has that rank.

    >>> in_rank(jnp.ones(5), jnp.ones((7, 3, 5))).shape
    (1, 1, 5)
    """
    return jnp.expand_dims(b, tuple(range(like.ndim - b.ndim)))


def matmul_in_loop(x: Array, w: Array) -> Array:
    """Return `matmul` for an explicit rule: as fast as possible in a loop over t, but not to be differentiated.

    On every call, XLA's CPU products copy an operand that does not stay in the cache into another order.  If a large
    weight meets few rows, copying the weight would be most of the work, so the rows are transposed instead.
    """
    w, x = _fixed(w), x.astype(w.dtype)
    if at_least(rows(x), 8) and at_most(rows(x), 16) and w.size >= LARGE:
        return _dot(lax.optimization_barrier(_features_first(x)), w, (0,), (0,))
    return _dot(x, w, (-1,), (0,))


def matmul_transposed(x: Array, w: Array) -> Array:
    """Compute x @ wᵀ for an explicit rule: the gradient that h @ w passes back to h.

    A small weight is transposed once, before the loop.  A large one comes first, as (w @ xᵀ)ᵀ, so that the small
    result is transposed instead.  The barrier keeps XLA from swapping the operands back.
    """
    x = x.astype(w.dtype)
    if not (at_least(rows(x), 4) and at_most(rows(x), 256)):
        return _dot(x, _fixed(w), (-1,), (1,))
    if w.size >= LARGE and w.size >= 2**14 * rows(x):
        return jnp.moveaxis(lax.optimization_barrier(_dot(_fixed(w), x, (1,), (-1,))), 0, -1)
    return _dot(x, _fixed(w.T), (-1,), (0,))


def outer_sum(x: Array, dz: Array, w: Array) -> Array:
    """Sum xᵀ dz over every leading axis: the gradient of `w` in `matmul(x, w)`, in w's dtype.

    x is `[..., in]`, dz is `[..., out]`.  All steps and rows are one contraction.
    """
    x, dz = lax.optimization_barrier(_features_first(x.astype(w.dtype))), dz.astype(w.dtype)
    return _dot(x, dz, range(1, x.ndim), range(dz.ndim - 1)).astype(w.dtype)


def transposed_layout(x: Array) -> Array:
    """Return x, stored as xᵀ, as `outer_sum` stores it: `jax.vjp` of a product with x is then as fast.

    Integers and empty arrays come back as they are.
    """
    if not (x.size and jnp.issubdtype(x.dtype, jnp.floating)):
        return x
    return jnp.moveaxis(lax.optimization_barrier(_features_first(x)), 0, -1)


def row_sum(dz: Array, b: Array) -> Array:
    """Sum dz over every leading axis: the gradient of the bias `b` in `z + b`, in b's dtype."""
    return jnp.sum(dz, axis=tuple(range(dz.ndim - b.ndim)), dtype=accumulator(dz.dtype)).astype(b.dtype)


def rows(x: Array):
    """Return the number of rows over all leading axes, symbolic if one of them is."""
    return math.prod(x.shape[:-1])


def _features_first(x: Array) -> Array:
    """Move the features first: `[..., features]` → `[features, ...]`."""
    return jnp.moveaxis(x, -1, 0)


def _fixed(w: Array) -> Array:
    """Return w behind a barrier, so that a slice or a transpose of a weight is computed once, before the loop."""
    return lax.optimization_barrier(w)


def _dot(a: Array, b: Array, of_a: Sequence[int], of_b: Sequence[int]) -> Array:
    """Contract these axes of `a` and `b`.  No axes are merged, because each may be sharded in its own way."""
    axes = tuple(i % a.ndim for i in of_a), tuple(i % b.ndim for i in of_b)
    place = {"preferred_element_type": accumulator(b.dtype), "out_sharding": _product_sharding(a, b, axes)}
    return lax.dot_general(a, b, (axes, ((), ())), **place)


def _product_sharding(a: Array, b: Array, axes: tuple) -> NamedSharding | None:
    """Return the sharding of a product on a mesh with Explicit axes, or None without such a mesh.

    The remaining axes keep their shardings in `a` and `b`, except over mesh axes that another one already uses.
    """
    mesh, taken, spec = explicit_mesh((a, b)), frozenset(), []
    if mesh is None:
        return None
    for array, contracted in zip((a, b), axes, strict=True):
        for entry in (entry for i, entry in enumerate(spec_of(array)) if i not in contracted):
            spec.append(None if mesh_axes([(entry,)]) & taken else entry)
            taken |= mesh_axes([(entry,)])
    return NamedSharding(mesh, PartitionSpec(*spec))
