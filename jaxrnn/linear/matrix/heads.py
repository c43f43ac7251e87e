"""What the cells with matrix states share: heads, normalized keys, the gate of a decay."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key

LEAST_NORM = 1e-6
"""Added to |x|² before its root, so that a key of zeros has a finite gradient."""


def split_heads(x: Float[Array, "*batch features"], heads: int) -> Float[Array, "*batch heads size"]:
    """`[..., heads · size]` → `[..., heads, size]`."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def merge_heads(x: Float[Array, "*batch heads size"]) -> Float[Array, "*batch features"]:
    """`[..., heads, size]` → `[..., heads · size]`."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def normalize(x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
    """x/|x|.

    >>> normalize(jnp.array([3.0, 4.0])).round(3).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + LEAST_NORM)


def zero_state(like: Array, *shape: int) -> Float[Array, "*batch heads key value"]:
    """S⁽⁰⁾ = 0, in the dtype in which states of parameters such as `like` are kept."""
    return jnp.zeros(shape, accumulator(like.dtype))


def wide(x: Array) -> Array:
    """A parameter in the dtype in which sums are kept."""
    return x.astype(accumulator(x.dtype))


def init_step_bias(key: Key, shape: tuple[int, ...], low: float = 1e-3, high: float = 0.1) -> Array:
    """softplus⁻¹(Δ), Δ log-uniform in [low, high] and at least 1e-4.

    References: Gu & Dao 2023, "Mamba", §3.6.
    """
    dt = jnp.exp(jax.random.uniform(key, shape, minval=math.log(low), maxval=math.log(high)))
    dt = jnp.maximum(dt, 1e-4)
    return dt + jnp.log(-jnp.expm1(-dt))


def softplus_decay(a_log: Array, dt: Array) -> Array:
    """log d = −exp(A_log) softplus(dt), in the dtype in which sums are kept."""
    return -jnp.exp(wide(a_log)) * jax.nn.softplus(dt)


def split_qkv(
    qkv: Float[Array, "*batch features"], heads: int, key_size: int
) -> tuple[Float[Array, "*batch heads key"], Float[Array, "*batch heads key"], Float[Array, "*batch heads value"]]:
    """q, k and v of each head from one array of them side by side."""
    keys = heads * key_size
    q, k, v = (split_heads(a, heads) for a in jnp.split(qkv, (keys, 2 * keys), axis=-1))
    return q, k, v
