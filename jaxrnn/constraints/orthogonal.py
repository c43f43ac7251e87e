"""Recurrent weights that stay orthogonal: W = exp(A − Aᵀ).

The exponential of a skew-symmetric matrix is a rotation: it turns orthogonal planes by angles θₖ, where ±iθₖ are the
eigenvalues of A − Aᵀ.  Every rotation is the exponential of such a matrix; reflections (det W = −1) are not reached.  A
takes any value, so the optimizer is the usual one.  All singular values of W are 1, whatever the updates: Wᵗ neither
shrinks nor enlarges a signal or a gradient (chapter 3.1).  `Constraints.apply` computes the exponential once for each
update, and not at every step; its gradient is that of `jax.scipy.linalg.expm`.

A → the raw value, `[hidden, gates·hidden]`, one matrix A for each gate.  w = Wᵀ, because inputs are row vectors.

References: Lezcano-Casado & Martínez-Rubio 2019, "Cheap orthogonal constraints in neural networks: a simple
parametrization of the orthogonal and unitary group", §3; Helfrich, Willmott & Ye 2018 (the Cayley transform in place of
the exponential); Arjovsky, Shah & Bengio 2016 (why); Henaff, Szlam & LeCun 2016, §4 (the first angles).
"""

from dataclasses import dataclass
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import expm
from jaxtyping import Array

from jaxrnn.core.arguments import known_values
from jaxrnn.core.precision import accumulator
from jaxrnn.core.types import Key


@jax.tree_util.register_static
@dataclass(frozen=True)
class Orthogonal:
    """The weight exp(A − Aᵀ), a rotation, with a learned A.  It must be the only constraint on its parameter.

    Args:
      angle: the first angles are uniform in [−angle, angle]; 0 starts with W = I.
      at: the parameter, a square matrix for each gate.

    Raises:
      ValueError: an angle outside [0, π]; when it is used, a weight that is not square, or a radius other than 1.

    >>> from jaxrnn import Elman
    >>> from jaxrnn.constraints import Constraints
    >>> constraints, key = Constraints((Orthogonal(),)), jax.random.key(0)
    >>> raw = constraints.init(key, Elman(3, 6).init(key))
    >>> w = constraints.apply(raw._replace(w=raw.w + jax.random.normal(key, (6, 6)))).w  # after any update
    >>> bool(jnp.allclose(w @ w.T, jnp.eye(6), atol=1e-5))
    True

    References: Lezcano-Casado & Martínez-Rubio 2019.
    """

    angle: float = np.pi
    at: str = "w"

    def __post_init__(self):
        if not isinstance(self.angle, Real) or not 0 <= self.angle <= np.pi:
            raise ValueError(f"`angle` must be in [0, π], got {self.angle!r}.")

    def init(self, key: Key, weight: Array) -> Array:
        """Draw an angle for each pair of successive units; of an odd number of units, the last keeps its value."""
        (*batch, n, _), gates = weight.shape, len(self._blocks(weight))
        angles = jax.random.uniform(key, (*batch, gates, n // 2), minval=-self.angle, maxval=self.angle)
        first = jnp.arange(n // 2) * 2

        def skew(angles: Array) -> Array:
            """Return A of one gate, which is 0 but for the angles above the diagonal."""
            return jnp.zeros((n, n), weight.dtype).at[first, first + 1].set(angles.astype(weight.dtype))

        return jnp.concatenate(jnp.moveaxis(jnp.vectorize(skew, signature="(k)->(n,n)")(angles), -3, 0), axis=-1)

    def apply(self, raw: Array) -> Array:
        """Return exp(A − Aᵀ) of every gate."""
        blocks = jnp.stack(self._blocks(raw)).astype(accumulator(raw.dtype))
        w = jax.lax.map(lambda a: expm(a - jnp.swapaxes(a, -1, -2)), blocks)
        return jnp.concatenate(list(w), axis=-1).astype(raw.dtype)

    def scaled(self, raw: Array, columns: Array) -> Array:
        """Return the raw value unchanged: the radius of an orthogonal matrix is 1."""
        known = known_values(columns)
        if known is not None and not np.allclose(known, 1, atol=1e-3):
            raise ValueError(f"`radius` must be 1 or None for the orthogonal weight `{self.at}`.")
        return raw

    def _blocks(self, weight: Array) -> list[Array]:
        """Return the square matrix of each gate."""
        rows, columns = weight.shape[-2:]
        if columns % rows:
            raise ValueError(f"`{self.at}` must have shape [hidden, gates·hidden], got {weight.shape}.")
        return jnp.split(weight, columns // rows, axis=-1)
