"""Which dtype a computation runs in, and which one it is accumulated in.

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

import jax.numpy as jnp
from jaxtyping import Array


def accumulator(dtype) -> jnp.dtype:
    """The dtype in which sums and carries are kept: at least float32.

    >>> accumulator(jnp.bfloat16), accumulator(jnp.float32)
    (dtype('float32'), dtype('float32'))
    """
    return jnp.promote_types(dtype, jnp.float32)


def matmul(x: Array, w: Array) -> Array:
    """x @ w with operands in w's dtype and the sum in `accumulator(w.dtype)`."""
    return jnp.matmul(x.astype(w.dtype), w, preferred_element_type=accumulator(w.dtype))


def outer_sum(x: Array, dz: Array, w: Array) -> Array:
    """Σ xᵀ dz over every leading axis: the gradient of `w` in `matmul(x, w)`, in w's dtype.

    x: `[..., in]`, dz: `[..., out]`.  One contraction for however many steps and rows there are.
    """
    axes = tuple(range(x.ndim - 1))
    x, dz = x.astype(w.dtype), dz.astype(w.dtype)
    return jnp.tensordot(x, dz, axes=(axes, axes), preferred_element_type=accumulator(w.dtype)).astype(w.dtype)


def row_sum(dz: Array, b: Array) -> Array:
    """Σ dz over every leading axis: the gradient of the bias `b` in `z + b`, in b's dtype."""
    return jnp.sum(dz, axis=tuple(range(dz.ndim - b.ndim)), dtype=accumulator(dz.dtype)).astype(b.dtype)
