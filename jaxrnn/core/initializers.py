"""Initializers for the packed weights of gated cells: those of JAX, applied gate by gate.

An initializer that depends on the shape (Glorot's bound √(6/(in + out)), an orthogonal matrix) must see the matrix of
one gate, `[in, hidden]`, not the packed `[in, gates·hidden]`.

References: Glorot & Bengio 2010, §4.2.1; Saxe, McClelland & Ganguli 2014, §2 (orthogonal);
Gers, Schmidhuber & Cummins 2000, §3 and Jozefowicz, Zaremba & Sutskever 2015, §2.2 (forget bias 1).
"""

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


def per_gate(initializer, key: Key, gates: int, shape: tuple[int, int]) -> Array:
    """Draw one matrix of `shape` per gate and pack them: `[in, gates·hidden]`.

    >>> per_gate(recurrent_weights, jax.random.key(0), 4, (3, 3)).shape
    (3, 12)
    """
    return jnp.concatenate([initializer(k, shape) for k in jax.random.split(key, gates)], axis=1)
