"""Private and shared noise of a rate network: white noise in the current, which the network low-pass filters.

    τ dx = (−x + W φ(x) + U u + b) dt + √(2τ) (σ_private dB + σ_shared dB₀)

In steps of Δt, with α = Δt/τ, this term is added to the current of step t:

    √(2/α) (σ_private ξ⁽ᵗ⁾ + σ_shared ξ₀⁽ᵗ⁾),            ξ, ξ₀ ~ N(0, 1)

where every unit has a ξ of its own, and all units of a row share one ξ₀.  A unit without other input is then an
Ornstein-Uhlenbeck process with variance σ²/(1 − α/2), close to σ² for small steps, whatever τ is: σ is in the units of
x.

σ_private, σ_shared → `private`, `shared`; the noise comes with the input, for the reasons in `jaxrnn.core.noise`.

References: Song, Yang & Wang 2016, equations 7 and 10 (private noise in the same scaling); Uhlenbeck & Ornstein 1930;
chapter 3.2.3.
"""

from dataclasses import dataclass
from numbers import Real

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrnn.cells.continuous.rate_network import RateNetwork, RateParams
from jaxrnn.cells.unit_groups import spread
from jaxrnn.core.forwarding import forwarded
from jaxrnn.core.noise import normal, part_input
from jaxrnn.core.precision import in_rank
from jaxrnn.core.types import Cell, LocalRules, Noisy


@jax.tree_util.register_static
@dataclass(frozen=True)
class RateNoise:
    """A rate network with noise in its currents.

    Its parameters and its carry are those of the network.  It takes `with_noise(key, xs)`; `quiet` is the network.

    Args:
      cell: a `RateNetwork`.
      private: σ of the noise that is independent for each unit.
      shared: σ of the noise that all units have in common.

    Raises:
      TypeError: `cell` is not a `RateNetwork`.
      ValueError: a negative σ.

    >>> from jaxrnn import unroll, with_noise
    >>> cell = RateNoise(RateNetwork(3, 50), private=0.1, shared=0.05)
    >>> params, us = cell.init(jax.random.key(0)), jnp.zeros((30, 8, 3))
    >>> x, rs = unroll(cell, params, with_noise(jax.random.key(1), us))
    >>> rs.shape, bool(jnp.std(rs) > 0.05)
    ((30, 8, 50), True)

    References: Song, Yang & Wang 2016.
    """

    cell: RateNetwork
    private: float
    shared: float = 0.0

    def __post_init__(self):
        if not isinstance(self.cell, RateNetwork):
            raise TypeError(f"`cell` must be a RateNetwork, got {self.cell!r}. StateNoise adds noise to other cells.")
        for name in ("private", "shared"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not float(value) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {value!r}.")

    def quiet(self) -> RateNetwork:
        """Return the network without its noise."""
        return self.cell

    init = forwarded(Cell.init)
    initial_carry = forwarded(Cell.initial_carry)

    def project(self, params: RateParams, xs: Noisy) -> Array | tuple[Array, Array]:
        """Return b + U u⁽ᵗ⁾ + √(2/α) (σ_private ξ⁽ᵗ⁾ + σ_shared ξ₀⁽ᵗ⁾) for every t.

        Raises:
          TypeError: `xs` without noise.
        """
        noisy, n = part_input(self, xs, 0), self.cell.hidden_size
        z = self.cell.project(params, part_input(self.cell, xs, 1))
        z, dt = z if isinstance(z, tuple) else (z, None)
        drawn = normal(noisy, n + 1).astype(z.dtype)
        tau = in_rank(spread(params.tau.astype(z.dtype), n), z)
        size = jnp.sqrt(2 * tau / (self.cell.dt if dt is None else dt))
        z = z + size * (self.private * drawn[..., :n] + self.shared * drawn[..., n:])
        return z if dt is None else (z, dt)

    step = forwarded(Cell.step)
    step_fwd = forwarded(LocalRules.step_fwd)
    step_bwd = forwarded(LocalRules.step_bwd)
    weight_bwd = forwarded(LocalRules.weight_bwd)
