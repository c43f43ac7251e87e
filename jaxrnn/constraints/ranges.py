"""Parameters that stay what they are, or within bounds: time constants above all.

    θ = c                                        `Fixed`
    θ = low + (high − low) σ(raw)                `Bounded`

A time constant that falls below Δt makes Euler's rule oscillate; within bounds it cannot.  The raw value of a fixed
parameter is None: there is nothing for an optimizer to move, or for weight decay to shrink.

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
      ValueError: when it is used, as many numbers as there are not entries.

    >>> Fixed((100.0,), at="tau").apply(None).tolist()
    [100.0]

    References: Song, Yang & Wang 2016.
    """

    value: tuple[float, ...]
    at: str

    def init(self, key: Key, weight: Array) -> None:
        """Return None, once the number of entries is checked."""
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
      low, high: the bounds.
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
        """Return the raw value of the weight, which is brought within a thousandth of the bounds."""
        part = jnp.clip((weight - self.low) / (self.high - self.low), 1e-3, 1 - 1e-3)
        return jnp.log(part / (1 - part))

    def apply(self, raw: Array) -> Array:
        """Return low + (high − low) σ(raw)."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(raw)
