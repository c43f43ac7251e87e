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
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.timed_inputs import as_timed, check_step_length
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import CarryParts
from jaxrnn.core.checks import check_positive
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
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


class LEMResidual(NamedTuple):
    """The record of a step for its backward."""

    before: LEMCarry
    """y⁽ᵗ⁻¹⁾ and z⁽ᵗ⁻¹⁾."""
    z: Float[Array, "*batch hidden"]
    """z⁽ᵗ⁾."""
    first: Float[Array, "*batch hidden"]
    """Δ₁/Δt."""
    second: Float[Array, "*batch hidden"]
    """Δ₂/Δt."""
    new_z: Float[Array, "*batch hidden"]
    """tanh(bᶻ + …)."""
    new_y: Float[Array, "*batch hidden"]
    """tanh(bʸ + …)."""
    dt: Float[Array, "*batch 1"]
    """Δt."""


class LEMLocals(NamedTuple):
    """The share of a step in the sums over t."""

    dgates: Float[Array, "*batch gates_hidden"]
    """∇ of the pre-activations of Δ₁, Δ₂ and z: `[*batch, 3·hidden]`."""
    day: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of y."""


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
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: LEMParams, carry: LEMCarry, z: tuple[Array, Array]):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: LEMParams, carry: LEMCarry, z: tuple[Array, Array]):
        (a, dt), n = z, self.hidden_size
        first, second, new_z = jnp.split(a[..., : 3 * n] + matmul(carry.y, params.w), 3, axis=-1)
        first, second, new_z = jax.nn.sigmoid(first), jax.nn.sigmoid(second), jnp.tanh(new_z)
        after = (1 - dt * first) * carry.z + dt * first * new_z
        new_y = jnp.tanh(a[..., 3 * n :] + matmul(after, params.w_y))
        y = (1 - dt * second) * carry.y + dt * second * new_y
        return (LEMCarry(y, after), y), LEMResidual(carry, after, first, second, new_z, new_y, dt)

    def step_bwd(self, params: LEMParams, residual: LEMResidual, dcarry: LEMCarry, dy: Array):
        """Apply the recursion of 2.2.2, through y first and then through z, which y reads."""
        (y, z), _, first, second, new_z, new_y, dt = residual
        dy = dcarry.y + dy
        day = dy * dt * second * (1 - new_y**2)
        dz = dcarry.z + matmul_transposed(day, params.w_y)
        dfirst, dsecond = dz * (new_z - z), dy * (new_y - y)  # ∇Δ₁, ∇Δ₂
        da_first, da_second = dt * dfirst * first * (1 - first), dt * dsecond * second * (1 - second)
        dgates = jnp.concatenate([da_first, da_second, dz * dt * first * (1 - new_z**2)], axis=-1)
        before = LEMCarry(
            y=dy * (1 - dt * second) + matmul_transposed(dgates, params.w),
            z=dz * (1 - dt * first),
        )
        ddt = jnp.sum(dfirst * first + dsecond * second, axis=-1, keepdims=True)
        return before, (jnp.concatenate([dgates, day], axis=-1), ddt), LEMLocals(dgates, day)

    def weight_bwd(self, params: LEMParams, residuals: LEMResidual, locals: LEMLocals) -> LEMParams:
        """Apply the sums of 2.2.3 for W and Wʸ; those of U and b come from `project`."""
        return LEMParams(
            u=jnp.zeros_like(params.u),
            w=outer_sum(residuals.before.y, locals.dgates, params.w),
            w_y=outer_sum(residuals.z, locals.day, params.w_y),
            b=jnp.zeros_like(params.b),
        )
