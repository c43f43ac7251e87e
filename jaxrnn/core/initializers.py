"""Initializers for the packed weights of gated cells: those of JAX, applied gate by gate.

An initializer that depends on the shape (Glorot's bound √(6/(in + out)), an orthogonal matrix) must see the matrix of
one gate, `[in, hidden]`, not the packed `[in, gates·hidden]`.

References: Glorot & Bengio 2010, §4.2.1; Saxe, McClelland & Ganguli 2014, §2 (orthogonal);
Gers, Schmidhuber & Cummins 2000, §3 and Jozefowicz, Zaremba & Sutskever 2015, §2.2 (forget bias 1).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.types import Key

input_weights = jax.nn.initializers.glorot_uniform()
"""The initializer of U and V: variance 2/(in + out), which preserves the scale of forward and backward signals."""

_orthogonal = jax.nn.initializers.orthogonal()


def recurrent_weights(key: Key, shape: tuple[int, int]) -> Array:
    """Draw W orthogonal: its singular values are 1, so Wᵗ neither grows nor shrinks at first (chapter 3.1).

    Under `vmap` the matrices are drawn one after the other: two batched QRs in parallel can deadlock jaxlib 0.10.
    """
    return jax.custom_batching.sequential_vmap(partial(_orthogonal, shape=shape))(key)


def step_size_bias(key: Key, shape: tuple[int, ...], least: float = 1e-3, largest: float = 0.1) -> Array:
    """Draw step sizes Δ, log-uniform in [least, largest] and at least 1e-4, and return softplus⁻¹(Δ).

    >>> bool((jax.nn.softplus(step_size_bias(jax.random.key(0), (9,))) < 0.11).all())
    True

    References: Gu & Dao 2023, "Mamba", §3.6.
    """
    low, high = math.log(least), math.log(largest)
    dt = jnp.maximum(jnp.exp(jax.random.uniform(key, shape, minval=low, maxval=high)), 1e-4)
    return dt + jnp.log(-jnp.expm1(-dt))


@partial(jax.jit, static_argnums=(0, 2, 3))
def per_gate(initializer, key: Key, gates: int, shape: tuple[int, int]) -> Array:
    """Draw one matrix of `shape` per gate and pack them: `[in, gates·hidden]`.

    The initializer is compiled once, and not once per gate.

    >>> per_gate(recurrent_weights, jax.random.key(0), 4, (3, 3)).shape
    (3, 12)
    """
    matrices = jax.lax.map(lambda k: initializer(k, shape), jax.random.split(key, gates))
    return jnp.moveaxis(matrices, 0, 1).reshape(shape[0], gates * shape[1])
