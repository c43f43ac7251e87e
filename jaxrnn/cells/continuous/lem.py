"""The long expressive memory: two states with time steps of their own, learned from the input.

    Δ₁⁽ᵗ⁾ = Δt σ(b¹ + U¹ x⁽ᵗ⁾ + W¹ y⁽ᵗ⁻¹⁾)
    Δ₂⁽ᵗ⁾ = Δt σ(b² + U² x⁽ᵗ⁾ + W² y⁽ᵗ⁻¹⁾)
    z⁽ᵗ⁾ = (1 − Δ₁⁽ᵗ⁾) ⊙ z⁽ᵗ⁻¹⁾ + Δ₁⁽ᵗ⁾ ⊙ tanh(bᶻ + Uᶻ x⁽ᵗ⁾ + Wᶻ y⁽ᵗ⁻¹⁾)
    y⁽ᵗ⁾ = (1 − Δ₂⁽ᵗ⁾) ⊙ y⁽ᵗ⁻¹⁾ + Δ₂⁽ᵗ⁾ ⊙ tanh(bʸ + Uʸ x⁽ᵗ⁾ + Wʸ z⁽ᵗ⁾)

This is an implicit-explicit Euler step of y′ = σ(·) ⊙ (tanh(Wʸ z + …) − y) and of the same equation for z.  It is
stable for Δt < 2.  For Δt ≤ 1 it is a weighted mean of the old and the new value, so choose the unit of time such that
the longest gap is about 1.

1, 2, z, y side by side → `params.u`, `params.b`; W¹, W², Wᶻ → `params.w`; Wʸ → `params.w_y`.

References: Rusch, Mishra, Erichson & Mahoney 2022, "Long expressive memory for sequence modeling", equation 3.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.timed_inputs import as_timed, check_step_length
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.checks import check_positive
from jaxrnn.core.precision import accumulator, add_bias, matmul
from jaxrnn.core.types import Inputs, Key, Timed


class LEMParams(NamedTuple):
    """The parameters of both time steps, z and y side by side.

    >>> LEM(input_size=3, hidden_size=5).init(jax.random.key(0)).w.shape
    (5, 15)
    """

    u: Float[Array, "input gates_hidden"]
    """(U¹, U², Uᶻ, Uʸ)ᵀ: `[input, 4·hidden]`."""
    w: Float[Array, "hidden gates_hidden"]
    """(W¹, W², Wᶻ)ᵀ, which read y: `[hidden, 3·hidden]`."""
    w_y: Float[Array, "hidden hidden"]
    """Wʸᵀ, which reads z."""
    b: Float[Array, " gates_hidden"]
    """(b¹, b², bᶻ, bʸ): `[4·hidden]`."""


class LEMCarry(NamedTuple):
    """The two states.

    >>> LEMCarry(y="y", z="z").z
    'z'
    """

    y: Array
    """y⁽ᵗ⁾, the output."""
    z: Array
    """z⁽ᵗ⁾."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class LEM:
    """y⁽ᵗ⁾ = (1 − Δ₂) ⊙ y⁽ᵗ⁻¹⁾ + Δ₂ ⊙ tanh(Wʸ z⁽ᵗ⁾ + …), and the same for z, which reads y⁽ᵗ⁻¹⁾.

    Args:
      input_size: the size of x.
      hidden_size: the size of y, and of z.
      dt: Δt of every step where the input is an array and not `Timed`.

    Raises:
      ValueError: a size below 1, a Δt that is not above 0.

    >>> from jaxrnn import unroll
    >>> from jaxrnn.cells.continuous import with_dt
    >>> cell = LEM(input_size=3, hidden_size=5)
    >>> xs = with_dt(jnp.ones((7, 2, 3)), jnp.array([1, 1, 0.5, 0.1, 0.4, 1, 1]))
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), xs)
    >>> ys.shape, carry._fields
    ((7, 2, 5), ('y', 'z'))

    References: Rusch et al. 2022.
    """

    input_size: int
    hidden_size: int
    dt: float = 1.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_step_length(self.dt)

    def init(self, key: Key) -> LEMParams:
        """Draw everything uniformly from ±1/√hidden, as the paper's program does."""
        check_key(key=key)
        n, most = self.hidden_size, 1 / math.sqrt(self.hidden_size)
        shapes = {"u": (self.input_size, 4 * n), "w": (n, 3 * n), "w_y": (n, n), "b": (4 * n,)}
        keys = jax.random.split(key, len(shapes))
        return LEMParams(
            **{
                name: jax.random.uniform(k, shape, minval=-most, maxval=most)
                for k, (name, shape) in zip(keys, shapes.items(), strict=True)
            }
        )

    def initial_carry(self, params: LEMParams, batch_shape: tuple[int, ...] = ()) -> LEMCarry:
        """Return y⁽⁰⁾ = z⁽⁰⁾ = 0, `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.w.dtype)
        return LEMCarry(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def carry_parts(self, carry: LEMCarry) -> CarryParts:
        """State that the output is y⁽ᵗ⁾."""
        return CarryParts(output=carry.y)

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` as it is, an array with equal steps `dt`."""
        return as_timed(xs, self.dt, input_size=self.input_size)

    def project(self, params: LEMParams, xs: Inputs) -> tuple[Array, Array]:
        """Return b + U x⁽ᵗ⁾ of all four, `[..., 4·hidden]`, and Δt, `[..., 1]`."""
        timed = self.timed(xs)
        return add_bias(matmul(timed.x, params.u), params.b), timed.dt.astype(accumulator(params.w.dtype))

    def step(self, params: LEMParams, carry: LEMCarry, z: tuple[Array, Array]) -> tuple[LEMCarry, Array]:
        """Update z, then y, which is the output."""
        a, dt = z
        n, (y, z_before) = self.hidden_size, carry
        gates = a[..., : 3 * n] + matmul(y, params.w)
        first, second = dt * jax.nn.sigmoid(gates[..., :n]), dt * jax.nn.sigmoid(gates[..., n : 2 * n])
        after = (1 - first) * z_before + first * jnp.tanh(gates[..., 2 * n :])
        y = (1 - second) * y + second * jnp.tanh(a[..., 3 * n :] + matmul(after, params.w_y))
        return LEMCarry(y, after), y
