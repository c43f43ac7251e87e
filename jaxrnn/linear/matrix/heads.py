"""Parts that cells with matrix states share: heads, normalized keys, the gate of a decay."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.precision import accumulator, in_rank

LEAST_NORM = 1e-6
"""Added to |x|² before its root, so that a key of zeros has a finite gradient."""


def split_heads(x: Float[Array, "*batch features"], heads: int) -> Float[Array, "*batch heads size"]:
    """Reshape `[..., heads · size]` to `[..., heads, size]`."""
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)


def merge_heads(x: Float[Array, "*batch heads size"]) -> Float[Array, "*batch features"]:
    """Reshape `[..., heads, size]` to `[..., heads · size]`."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def normalize(x: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
    """Return x/|x|.

    >>> normalize(jnp.array([3.0, 4.0])).round(3).tolist()
    [0.6000000238418579, 0.800000011920929]
    """
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + LEAST_NORM)


def zero_state(like: Array, *shape: int) -> Float[Array, "*batch heads key value"]:
    """Return S⁽⁰⁾ = 0, in the dtype of the states that belong to parameters such as `like`."""
    return jnp.zeros(shape, accumulator(like.dtype))


def wide(x: Array) -> Array:
    """Return a parameter in the dtype in which sums are accumulated."""
    return x.astype(accumulator(x.dtype))


def softplus_decay(a_log: Array, dt: Array) -> Array:
    """Return log d = −exp(A_log) softplus(dt), in the dtype in which sums are accumulated."""
    return in_rank(-jnp.exp(wide(a_log)), dt) * jax.nn.softplus(dt)


def split_qkv(
    qkv: Float[Array, "*batch features"], heads: int, key_size: int
) -> tuple[Float[Array, "*batch heads key"], Float[Array, "*batch heads key"], Float[Array, "*batch heads value"]]:
    """Return q, k and v of each head from one array that holds them side by side."""
    keys = heads * key_size
    q, k, v = (split_heads(a, heads) for a in jnp.split(qkv, (keys, 2 * keys), axis=-1))
    return q, k, v
