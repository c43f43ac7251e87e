"""Random parameters of any model, without compiling an initialization."""

import jax
import numpy as np


def random_params(model, seed: int = 0, scale: float = 0.5):
    """Draw normal numbers in the shapes that `init` returns, so that biases are not 0."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.eval_shape(lambda: jax.random.key(0)))
    return jax.device_put(jax.tree.map(lambda a: (scale * rng.standard_normal(a.shape)).astype(a.dtype), shapes))
