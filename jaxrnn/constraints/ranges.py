"""Parameters that stay fixed, or within bounds, such as time constants.

    θ = c                                        `Fixed`
    θ = low + (high − low) σ(raw)                `Bounded`

A time constant below Δt makes Euler's rule oscillate; bounds prevent this.  The raw value of a fixed parameter is None,
so neither an optimizer nor weight decay can change it.

References: Song, Yang & Wang 2016 (fixed time constants); Perez-Nieves, Leung, Dragotti & Goodman 2021 (learned ones);
chapter 3.2.3.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.core.types import Key


@jax.tree_util.register_static
@dataclass(frozen=True)
class Fixed:
    """A parameter that is not learned.

    Args:
      value: its entries, such as `cell.taus` for the time constants of a `RateNetwork`.
      at: the parameter, which has one axis.

    Raises:
      ValueError: when it is used, a wrong number of entries.

    >>> Fixed((100.0,), at="tau").apply(None).tolist()
    [100.0]

    References: Song, Yang & Wang 2016.
    """

    value: tuple[float, ...]
    at: str

    def init(self, key: Key, weight: Array) -> None:
        """Check the number of entries, and return None."""
        if weight.shape != (len(self.value),):
            raise ValueError(
                f"`value` must have the shape of `{self.at}`, {weight.shape}, got {len(self.value)} entries."
            )

    def apply(self, raw: None) -> Array:
        """Return the value."""
        return jnp.array(self.value, float)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Bounded:
    """A parameter in (low, high), by a sigmoid.

    Args:
      low: the lower bound.
      high: the upper bound.
      at: the parameter.

    Raises:
      ValueError: bounds in the wrong order.

    >>> bounded = Bounded(20.0, 200.0, at="tau")
    >>> round(float(bounded.apply(bounded.init(jax.random.key(0), jnp.array(100.0)))), 3)
    100.0
    >>> float(bounded.apply(jnp.array(-1e6)))
    20.0

    References: Perez-Nieves, Leung, Dragotti & Goodman 2021.
    """

    low: float
    high: float
    at: str

    def __post_init__(self):
        if not self.low < self.high:
            raise ValueError(f"`low` must be below `high`, got {self.low!r} and {self.high!r}.")

    def init(self, key: Key, weight: Array) -> Array:
        """Return the raw value of the weight, after clipping it to a thousandth of the range inside the bounds."""
        part = jnp.clip((weight - self.low) / (self.high - self.low), 1e-3, 1 - 1e-3)
        return jnp.log(part / (1 - part))

    def apply(self, raw: Array) -> Array:
        """Return low + (high − low) σ(raw)."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(raw)
