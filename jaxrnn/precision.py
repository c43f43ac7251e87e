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

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def accumulator(dtype) -> jnp.dtype:
    """The dtype in which sums and carries are kept: at least float32.

    >>> accumulator(jnp.bfloat16), accumulator(jnp.float32)
    (dtype('float32'), dtype('float32'))
    """
    return jnp.promote_types(dtype, jnp.float32)


def matmul(x: Array, w: Array) -> Array:
    """x @ w with operands in w's dtype and the sum in `accumulator(w.dtype)`."""
    rows = x.reshape(-1, x.shape[-1]).astype(w.dtype)
    return _dot(rows, w, 1, 0).reshape(*x.shape[:-1], w.shape[1])


def matmul_in_loop(x: Array, w: Array) -> Array:
    """`matmul` for an explicit rule: quicker in a loop over t, but not made to be differentiated.

    `jax.grad` would turn the gradient of the transposed weight round in every step.
    """
    if not _few(x):
        return matmul(x, w)
    # what does not depend on t stays behind a barrier, so that XLA makes it once, before the loop
    return _weight_first(x, lax.optimization_barrier(w.T))


def matmul_transposed(x: Array, w: Array) -> Array:
    """x @ wᵀ for an explicit rule: what ∇(h @ w) sends back to h."""
    w = lax.optimization_barrier(w)  # it may be a slice
    if _few(x):
        return _weight_first(x, w)
    rows = x.reshape(-1, x.shape[-1]).astype(w.dtype)
    return _dot(rows, w, 1, 1).reshape(*x.shape[:-1], w.shape[0])


def outer_sum(x: Array, dz: Array, w: Array) -> Array:
    """Σ xᵀ dz over every leading axis: the gradient of `w` in `matmul(x, w)`, in w's dtype.

    x: `[..., in]`, dz: `[..., out]`.  One contraction for however many steps and rows there are.
    """
    x, dz = (a.reshape(-1, a.shape[-1]).astype(w.dtype) for a in (x, dz))
    return _dot(lax.optimization_barrier(x.T), dz, 1, 0).astype(w.dtype)


def turned(x: Array) -> Array:
    """x, laid out in memory as xᵀ: what `outer_sum` does, for a product with x whose gradient is `jax.vjp`'s."""
    rows = x.reshape(-1, x.shape[-1])
    return lax.optimization_barrier(rows.T).T.reshape(x.shape)


def row_sum(dz: Array, b: Array) -> Array:
    """Σ dz over every leading axis: the gradient of the bias `b` in `z + b`, in b's dtype."""
    return jnp.sum(dz, axis=tuple(range(dz.ndim - b.ndim)), dtype=accumulator(dz.dtype)).astype(b.dtype)


def _few(x: Array) -> bool:
    """A batch for which the weight is the larger operand, and yet more than a vector."""
    return 4 <= math.prod(x.shape[:-1]) <= 256


def _weight_first(x: Array, w_t: Array) -> Array:
    """x @ w_tᵀ as (w_t @ xᵀ)ᵀ.

    XLA's CPU products rearrange their right operand on every call.  With few rows that is most of the work
    if the right operand is the weight, and next to nothing if it is the rows.  The barrier keeps XLA from
    swapping the operands back.
    """
    rows = x.reshape(-1, x.shape[-1]).astype(w_t.dtype)
    out = lax.optimization_barrier(_dot(w_t, rows, 1, 1)).T
    return out.reshape(*x.shape[:-1], w_t.shape[0])


def _dot(a: Array, b: Array, i: int, j: int) -> Array:
    """The product of two matrices over axis i of `a` and axis j of `b`."""
    return lax.dot_general(a, b, (((i,), (j,)), ((), ())), preferred_element_type=accumulator(b.dtype))
