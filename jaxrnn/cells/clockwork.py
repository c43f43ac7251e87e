"""Groups of units that are updated at different periods, the clockwork network: chapter 3.2.3, item 6.

    hᵢ⁽ᵗ⁾ = f(b + Σ_{j : Tⱼ ≥ Tᵢ} Wᵢⱼ hⱼ⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾)ᵢ      where t mod Tᵢ = 0
    hᵢ⁽ᵗ⁾ = hᵢ⁽ᵗ⁻¹⁾                                        elsewhere,          y⁽ᵗ⁾ = h⁽ᵗ⁾,     t = 0, 1, 2, …

A slow group tells the faster ones what it holds and does not hear them.  A unit of period T is held, with a
derivative of 1, in T − 1 of T steps, so a gradient through it passes one factor W every T steps, as in 3.2.1.

At the first step, t = 0, every group is updated.  The clock is a part of the carry: a reset starts it again, and
a masked step does not count.  What W has from a faster group to a slower one is never read, and its gradient is 0.

U, W, b → `params.u`, `params.w`, `params.b`; T → `periods`.

References: Koutník, Greff, Gomez & Schmidhuber 2014, "A clockwork RNN", §3; El Hihi & Bengio 1996.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrnn.cells.elman import ACTIVATIONS, Elman, ElmanParams
from jaxrnn.cells.unit_groups import check_groups, spread
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_positive
from jaxrnn.core.precision import in_rank, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class ClockworkCarry(NamedTuple):
    """h⁽ᵗ⁾, and the clock.

    >>> cell = Clockwork(2, 4, periods=(1, 2))
    >>> int(cell.initial_carry(cell.init(jax.random.key(0))).clock)
    0
    """

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾."""
    clock: Int[Array, "*batch"]
    """The number of the next step, modulo the least common multiple of the periods."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Clockwork:
    """A plain network in groups of units; group i is updated every `periods[i]` steps.

    Args:
      input_size: the size of x.
      hidden_size: the size of h, a multiple of the number of groups.
      periods: T of each group: `(1, 2, 4, 8)` are the paper's, for four groups of one size.
      activation: f: "tanh" (the paper's), "relu" or "identity".

    Raises:
      ValueError: a size or a period below 1, groups that do not divide `hidden_size`, or an unknown activation.

    >>> from jaxrnn import unroll
    >>> cell = Clockwork(input_size=3, hidden_size=4, periods=(1, 4))
    >>> _, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((6, 3)))
    >>> [bool((a == b).all()) for a, b in zip(ys[:-1, 2:], ys[1:, 2:])]
    [True, True, True, False, True]

    References: Koutník et al. 2014.
    """

    input_size: int
    hidden_size: int
    periods: tuple[int, ...]
    activation: str = "tanh"

    def __post_init__(self):
        Elman(self.input_size, self.hidden_size, self.activation)
        if not isinstance(self.periods, tuple) or not self.periods:
            raise ValueError(f"`periods` must be a tuple of integers, such as (1, 2, 4, 8), got {self.periods!r}.")
        for i, period in enumerate(self.periods):
            check_positive(**{f"periods[{i}]": period})
        check_groups("periods", len(self.periods), self.hidden_size)

    def init(self, key: Key) -> ElmanParams:
        """Draw the parameters as for `Elman`, with 0 where W is not read."""
        check_key(key=key)
        params = Elman(self.input_size, self.hidden_size).init(key)
        return params._replace(w=self._w(params))

    def initial_carry(self, params: ElmanParams, batch_shape: tuple[int, ...] = ()) -> ClockworkCarry:
        """Return h⁽⁰⁾ = 0, with the clock at 0."""
        h = Elman(self.input_size, self.hidden_size).initial_carry(params, batch_shape)
        return ClockworkCarry(h, jnp.zeros(batch_shape, jnp.int32))

    carry_parts = h_is_output

    def project(self, params: ElmanParams, xs: Array) -> Array:
        """Return z⁽ᵗ⁾ = b + U x⁽ᵗ⁾ for every t and every group: `[..., input]` → `[..., hidden]`."""
        return Elman(self.input_size, self.hidden_size).project(params, xs)

    def step(self, params: ElmanParams, carry: ClockworkCarry, z: Array) -> tuple[ClockworkCarry, Array]:
        """Update the groups whose turn it is; hold the others."""
        out, _ = self._step(matmul, params, carry, z)
        return out

    def step_fwd(self, params: ElmanParams, carry: ClockworkCarry, z: Array):
        """Run `step`; the residual is (h⁽ᵗ⁻¹⁾, whose turn it is, h⁽ᵗ⁾)."""
        return self._step(matmul_in_loop, params, carry, z)

    def step_bwd(self, params: ElmanParams, residual, dcarry: ClockworkCarry, dy: Array):
        """Apply the recursion of 2.2.2 for the groups whose turn it was; pass ∇h⁽ᵗ⁾ on unchanged for the others."""
        _, derivative = ACTIVATIONS[self.activation]
        _, active, h = residual
        dh = dcarry.h + dy
        dz = jnp.where(active, derivative(h) * dh, 0)
        dh = jnp.where(active, 0, dh) + matmul_transposed(dz, self._w(params))
        return ClockworkCarry(dh, jnp.zeros_like(dcarry.clock)), dz, dz

    def weight_bwd(self, params: ElmanParams, residuals, locals) -> ElmanParams:
        """Apply the sums of 2.2.3: ∇_W = Σₜ δ⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ᵀ where W is read.

        The gradients of U and b come from `project`.
        """
        hs, *_ = residuals
        dw = jnp.where(self._is_read(), outer_sum(hs, locals, params.w), 0)
        return ElmanParams(u=jnp.zeros_like(params.u), w=dw, b=jnp.zeros_like(params.b))

    def _step(self, matmul: Callable, params: ElmanParams, carry: ClockworkCarry, z: Array):
        f, _ = ACTIVATIONS[self.activation]
        active = carry.clock[..., None] % in_rank(self._period_of_unit(), carry.h) == 0
        h = jnp.where(active, f(z + matmul(carry.h, self._w(params))), carry.h)
        clock = (carry.clock + 1) % math.lcm(*self.periods)
        return (ClockworkCarry(h, clock), h), (carry.h, active, h)

    def _period_of_unit(self) -> Array:
        return spread(jnp.array(self.periods, jnp.int32), self.hidden_size)

    def _is_read(self) -> Array:
        """Return which entries of W are read, `[from, to]`: a unit reads the units whose period is at least its own."""
        period = self._period_of_unit()
        return period[:, None] >= period[None, :]

    def _w(self, params: ElmanParams) -> Array:
        return jnp.where(self._is_read(), params.w, 0)
