"""The spectral radius of a recurrent matrix, and matrices of a given one: chapter 6.2, item 2.

References: Jaeger 2001, "The echo state approach" (GMD report 148), §3.2.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.checks import known_values


def spectral_radius(w: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return the spectral radius of W, max |λ| over its eigenvalues (chapter 6.2, item 2).

    Args:
      w: `[n, n]`.

    Returns:
      A scalar.

    Raises:
      ValueError: `w` is not square.

    >>> round(float(spectral_radius(jnp.array([[0.0, 2.0], [-2.0, 0.0]]))), 4)
    2.0
    """
    if jnp.ndim(w) != 2 or jnp.shape(w)[0] != jnp.shape(w)[1]:
        raise ValueError(f"`w` must be a square matrix, got shape {jnp.shape(w)}.")
    return largest_modulus(jnp.asarray(w))


def with_spectral_radius(w: Float[Array, "n n"], radius: float | Float[Array, ""]) -> Float[Array, "n n"]:
    """Scale W to a given spectral radius.

    Args:
      w: `[n, n]`.
      radius: the spectral radius of the result.

    Returns:
      `[n, n]`.

    Raises:
      ValueError: `w` is not square; or all its eigenvalues are 0, as in a network without a cycle (checked
        outside `jit`; under `jit` no entry of the result is finite).

    >>> import jax
    >>> w = with_spectral_radius(jax.random.normal(jax.random.key(0), (5, 5)), 0.8)
    >>> round(float(spectral_radius(w)), 5)
    0.8
    """
    now = spectral_radius(w)
    known = known_values(now)
    if known is not None and not (np.isfinite(known) and known > 0):
        raise ValueError(
            f"`w` must have a nonzero eigenvalue to be scaled to a spectral radius; its own radius is {known}. "
            "A nilpotent matrix (a network without a cycle) has radius 0 after any scaling."
        )
    return w * (radius / now)


def largest_modulus(w: Array) -> Array:
    """Return max |λ| of a square matrix."""
    return jnp.max(jnp.abs(jnp.linalg.eigvals(w))).astype(w.dtype)
