"""Float64 for the few computations that need it, whatever the setting of `jax_enable_x64`.

The read-out of a reservoir is the solution of a least-squares problem whose condition may be 10⁷ and more; in
float32, where 1/ε is about 10⁷, it would be noise.  So that one computation is traced with float64 enabled; it
takes float32 arrays and gives float32 arrays.

What must be kept *between* such computations, where no float64 array can be, is kept as an unevaluated sum of
two arrays (`Double`): 48 bits of precision in two float32 numbers, and nothing lost in float64.

References: Dekker 1971 (a number as the sum of two); `jax.enable_x64`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree


class Double(NamedTuple):
    """The number high + low."""

    high: Array
    """The number, rounded to the default dtype."""
    low: Array
    """What the rounding left."""


def in_float64(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`function` of arrays, computed in float64; floating results come back in the default dtype.

    A `Double` among the arguments comes in as one float64 array; a `Double(x, 0)` among the results goes out
    with all its digits.  `jit`, `vmap` and reverse mode work, in any order; forward mode and higher derivatives
    where x64 is enabled, as what is here a `jax.custom_vjp` is then `function` itself.  Use `product` for `@`.

    >>> total = in_float64(lambda a: (a + 1e8) - 1e8)
    >>> float(total(jnp.float32(0.125)))
    0.125
    """

    def computed(dtype, args):
        return _narrow(dtype, function(*_widen(args)))

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def wide(dtype, args):
        with jax.enable_x64(True):
            return computed(dtype, args)

    def backward(dtype, args, cotangents):
        with jax.enable_x64(True):
            _, vjp = jax.vjp(functools.partial(computed, dtype), args)
            return vjp(cotangents)

    wide.defvjp(lambda dtype, args: (wide(dtype, args), args), backward)

    @functools.wraps(function)
    def call(*args):
        dtype = jnp.result_type(float)
        return computed(dtype, args) if dtype == jnp.float64 else wide(dtype, args)

    return call


def product(a: Array, b: Array) -> Array:
    """a @ b inside such a function.

    `jnp` states the dtype of the result, and a transformation that comes later, outside, would round it.
    """
    return lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())))


def _is_double(value: Any) -> bool:
    return isinstance(value, Double)


def _widen(tree: PyTree) -> PyTree:
    """Floating leaves in float64."""

    def leaf(a):
        if _is_double(a):
            return leaf(a.high) + leaf(a.low)
        return lax.convert_element_type(a, jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(leaf, tree, is_leaf=_is_double)


def _narrow(dtype, tree: PyTree) -> PyTree:
    """Floating leaves in `dtype`, a `Double` split in two."""
    digits = jnp.finfo(dtype)

    def leaf(a):
        if _is_double(a):
            whole = a.high + a.low
            high = lax.reduce_precision(whole, digits.nexp, digits.nmant)  # a pair of casts could be optimised away
            return Double(*(lax.convert_element_type(part, dtype) for part in (high, whole - high)))
        return lax.convert_element_type(a, dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(leaf, tree, is_leaf=_is_double)
