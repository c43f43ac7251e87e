"""How the packed weights of gated cells are drawn: JAX's initialisers, once for each gate.

An initialiser that looks at the shape (Glorot's bound √(6/(in + out)), an orthogonal matrix) must see
one gate's matrix `[in, hidden]`, not the packed `[in, gates·hidden]`.

References: Glorot & Bengio 2010, §4.2.1; Saxe, McClelland & Ganguli 2014, §2 (orthogonal);
Gers, Schmidhuber & Cummins 2000, §3 and Jozefowicz, Zaremba & Sutskever 2015, §2.2 (forget bias 1).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.types import Key

input_weights = jax.nn.initializers.glorot_uniform()
"""For U and V: variance 2/(in + out), which keeps the forward and the backward signal of one size."""

_orthogonal = jax.nn.initializers.orthogonal()


def recurrent_weights(key: Key, shape: tuple[int, int]) -> Array:
    """For W: every singular value is 1, so that at the start Wᵗ neither grows nor shrinks (section 3.1).

    Under `vmap` one matrix after the other: two batched QRs side by side can block all threads of jaxlib 0.10 for ever.
    """
    return jax.custom_batching.sequential_vmap(partial(_orthogonal, shape=shape))(key)


def per_gate(initializer, key: Key, gates: int, shape: tuple[int, int]) -> Array:
    """`gates` independent draws of `shape`, side by side: `[in, gates·hidden]`.

    >>> per_gate(recurrent_weights, jax.random.key(0), 4, (3, 3)).shape
    (3, 12)
    """
    return jnp.concatenate([initializer(k, shape) for k in jax.random.split(key, gates)], axis=1)
