"""How the packed weights of gated cells are drawn: JAX's initialisers, once for each gate.

An initialiser that looks at the shape (Glorot's bound √(6/(in + out)), an orthogonal matrix) must see
one gate's matrix `[in, hidden]`, not the packed `[in, gates·hidden]`.

References: Glorot & Bengio 2010, §4.2.1; Saxe, McClelland & Ganguli 2014, §2 (orthogonal);
Gers, Schmidhuber & Cummins 2000, §3 and Jozefowicz, Zaremba & Sutskever 2015, §2.2 (forget bias 1).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.types import Key

input_weights = jax.nn.initializers.glorot_uniform()
"""For U and V: variance 2/(in + out), which keeps the forward and the backward signal of one size."""

recurrent_weights = jax.nn.initializers.orthogonal()
"""For W: every singular value is 1, so that at the start Wᵗ neither grows nor shrinks (section 3.1)."""


def per_gate(initializer, key: Key, gates: int, shape: tuple[int, int]) -> Array:
    """`gates` independent draws of `shape`, side by side: `[in, gates·hidden]`.

    >>> per_gate(recurrent_weights, jax.random.key(0), 4, (3, 3)).shape
    (3, 12)
    """
    drawn = jax.vmap(lambda key: initializer(key, shape))(jax.random.split(key, gates))  # one program for all gates
    return jnp.moveaxis(drawn, 0, 1).reshape(shape[0], gates * shape[1])
