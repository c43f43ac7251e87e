"""Dale's principle: every unit either excites all of its targets or inhibits all of them.

    w_ij = s_i |raw_ij|,          s_i = +1 for excitatory, −1 for inhibitory units i

`w[i, j]` goes from unit i to unit j, so a sign belongs to a row.  The first units are the excitatory ones.

**Balance.**  With a fraction f of excitatory units and equal magnitudes, W has an outlying eigenvalue of the order of
(2f − 1) √N, and most units receive too much excitation.  `Constraints.init` scales the inhibition that each unit
receives so that its incoming weights add up to 0, over the connections that the other constraints leave:

    Σ_{i excitatory} w_ij + Σ_{i inhibitory} w_ij = 0        for every j

References: Dale 1935; Song, Yang & Wang 2016, equations 13 to 18; Rajan & Abbott 2006, "Eigenvalue spectra of random
matrices for neural networks"; chapter 6.2.
"""

from dataclasses import dataclass
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrnn.core.types import Key


@jax.tree_util.register_static
@dataclass(frozen=True)
class Dale:
    """Signs of the sending units: w_ij = s_i |raw_ij|.

    Args:
      signs: the fraction of excitatory units, which come first, or a tuple with +1 or −1 for each unit.  1.0 makes a
        weight without negative entries, which suits inputs (`at="u"`).
      at: the parameter.

    Raises:
      ValueError: a fraction outside [0, 1], or signs other than 1 and −1; when it is used, a number of signs that is
        not the number of rows of the weight.

    >>> dale = Dale(0.8)
    >>> dale.of(10).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0]
    >>> dale.apply(jnp.array([[1.0, -2.0], [-3.0, 4.0]])).tolist()  # 0.8 of two units is two units
    [[1.0, 2.0], [3.0, 4.0]]

    References: Song, Yang & Wang 2016.
    """

    signs: float | tuple[int, ...]
    at: str = "w"

    def __post_init__(self):
        if isinstance(self.signs, tuple):
            if not self.signs or any(sign not in (-1, 1) for sign in self.signs):
                raise ValueError(f"`signs` must be 1 or −1 for each unit, got {self.signs!r}.")
        elif not isinstance(self.signs, Real) or not 0 <= self.signs <= 1:
            raise ValueError(f"`signs` must be the fraction of excitatory units, in [0, 1], got {self.signs!r}.")

    def of(self, units: int) -> Float[np.ndarray, " units"]:
        """Return +1 or −1 for every unit.

        Raises:
          ValueError: a tuple of signs of another length.
        """
        if isinstance(self.signs, tuple):
            if len(self.signs) != units:
                raise ValueError(
                    f"`signs` must have one entry for each of the {units} rows of the weight, got {len(self.signs)}."
                )
            return np.array(self.signs, float)
        return np.where(np.arange(units) < round(self.signs * units), 1.0, -1.0)

    def init(self, key: Key, weight: Array) -> Array:
        """Return the weight unchanged; `apply` uses its magnitudes."""
        self.of(weight.shape[-2])
        return weight

    def apply(self, raw: Array) -> Array:
        """Return s_i |raw_ij|."""
        return jnp.asarray(self.of(raw.shape[-2])[:, None], raw.dtype) * jnp.abs(raw)

    def balanced(self, raw: Array, weight: Array) -> Array:
        """Return the raw value for which each unit receives as much inhibition as excitation."""
        if not hasattr(raw, "shape"):
            return raw  # factors of a low rank, whose product has to stay one
        inhibitory = self.of(weight.shape[-2])[:, None] < 0
        excitation = jnp.sum(jnp.where(inhibitory, 0, weight), axis=-2, keepdims=True)
        inhibition = -jnp.sum(jnp.where(inhibitory, weight, 0), axis=-2, keepdims=True)
        both = (excitation > 0) & (inhibition > 0)
        return jnp.where(inhibitory & both, raw * excitation / jnp.where(both, inhibition, 1), raw)
