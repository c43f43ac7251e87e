"""Float64 for the few computations that need it, for any setting of `jax_enable_x64`.

The read-out of a reservoir solves a least-squares problem with a condition number of 10⁷ and more.  In float32, where
1/ε is about 10⁷, the solution would be noise.  So this computation is traced with float64 enabled; its arguments and
results are float32 arrays.

A value that must survive *between* such computations, where float64 arrays cannot exist, is stored as an unevaluated
sum of two arrays (`Double`): two float32 numbers hold 48 bits of precision, and float64 loses nothing.

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
    """The remainder that the rounding lost."""


def in_float64(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Wrap a function of arrays so that it computes in float64 and returns the default dtype.

    A `Double` argument arrives as one float64 array, and a `Double(x, 0)` result keeps all its digits.  `jit`, `vmap`
    and reverse mode work in any order.  Forward mode and higher derivatives need x64 enabled, where the wrapper is
    `function` itself instead of a `jax.custom_vjp`.  Use `product` for `@`.

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
    """Return a @ b within such a function.

    `jnp.matmul` fixes the dtype of its result, so a transformation applied outside would round it.
    """
    return lax.dot_general(a, b, (((a.ndim - 1,), (0,)), ((), ())))


def _is_double(value: Any) -> bool:
    return isinstance(value, Double)


def _widen(tree: PyTree) -> PyTree:
    """Cast floating leaves to float64."""

    def leaf(a):
        if _is_double(a):
            return leaf(a.high) + leaf(a.low)
        return lax.convert_element_type(a, jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(leaf, tree, is_leaf=_is_double)


def _narrow(dtype, tree: PyTree) -> PyTree:
    """Cast floating leaves to `dtype` and split a `Double` in two."""
    digits = jnp.finfo(dtype)

    def leaf(a):
        if _is_double(a):
            whole = a.high + a.low
            high = lax.reduce_precision(whole, digits.nexp, digits.nmant)  # a pair of casts could be optimized away
            return Double(*(lax.convert_element_type(part, dtype) for part in (high, whole - high)))
        return lax.convert_element_type(a, dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(leaf, tree, is_leaf=_is_double)
