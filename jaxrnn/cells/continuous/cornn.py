"""The coupled oscillatory network: every unit a driven, damped oscillator.

    y″ = tanh(b + U x + W y + V y′) − γ ⊙ y − ε ⊙ y′

    z⁽ᵗ⁾ = z⁽ᵗ⁻¹⁾ + Δt [tanh(b + U x⁽ᵗ⁾ + W y⁽ᵗ⁻¹⁾ + V z⁽ᵗ⁻¹⁾) − γ ⊙ y⁽ᵗ⁻¹⁾ − ε ⊙ z⁽ᵗ⁻¹⁾]
    y⁽ᵗ⁾ = y⁽ᵗ⁻¹⁾ + Δt z⁽ᵗ⁾

z = y′.  The damping is explicit (it uses z⁽ᵗ⁻¹⁾), which is one of the paper's two choices and that of its program.  γ
and ε are parameters here, one of each per unit; to get the paper's network, freeze them with an optax mask.  The
gradient neither vanishes nor explodes as long as Δt is small: a few hundredths, if γ and ε are of the order of 1.

U, W, V, b, γ, ε → `params.u`, `.w`, `.v`, `.b`, `.gamma`, `.epsilon`.

References: Rusch & Mishra 2021, "Coupled oscillatory recurrent neural network (coRNN)", equations 1 and 3.
"""

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
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import (
    accumulator,
    add_bias,
    in_rank,
    matmul,
    matmul_in_loop,
    matmul_transposed,
    outer_sum,
    row_sum,
)
from jaxrnn.core.types import Inputs, Key, Timed


class CoRNNParams(NamedTuple):
    """The paper's matrices, transposed, with one γ and one ε per unit.

    >>> CoRNN(input_size=3, hidden_size=5).init(jax.random.key(0)).gamma.shape
    (5,)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to acceleration."""
    w: Float[Array, "hidden hidden"]
    """Wᵀ: position to acceleration."""
    v: Float[Array, "hidden hidden"]
    """Vᵀ: velocity to acceleration."""
    b: Float[Array, " hidden"]
    """b."""
    gamma: Float[Array, " hidden"]
    """γ, the squared frequency."""
    epsilon: Float[Array, " hidden"]
    """ε, the damping."""


class CoRNNCarry(NamedTuple):
    """Position and velocity.

    >>> CoRNNCarry(y="y", z="z").y
    'y'
    """

    y: Array
    """y⁽ᵗ⁾, the output."""
    z: Array
    """z⁽ᵗ⁾ = y′."""


class CoRNNResidual(NamedTuple):
    """The record of a step for its backward."""

    before: CoRNNCarry
    """y⁽ᵗ⁻¹⁾ and z⁽ᵗ⁻¹⁾."""
    z: Float[Array, "*batch hidden"]
    """z⁽ᵗ⁾."""
    force: Float[Array, "*batch hidden"]
    """tanh(b + …)."""
    dt: Float[Array, "*batch 1"]
    """Δt."""


class CoRNNLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the force."""
    dchange: Float[Array, "*batch hidden"]
    """∇ of the acceleration."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class CoRNN:
    """z⁽ᵗ⁾ = z⁽ᵗ⁻¹⁾ + Δt [tanh(b + U x + W y + V z) − γ y − ε z], y⁽ᵗ⁾ = y⁽ᵗ⁻¹⁾ + Δt z⁽ᵗ⁾.

    Args:
      input_size: the size of x.
      hidden_size: the number of oscillators.
      dt: Δt of every step where the input is an array and not `Timed`.
      gamma: the initial γ of every unit.
      epsilon: the initial ε of every unit.

    Raises:
      ValueError: a size below 1; a Δt, γ or ε that is not above 0.

    >>> from jaxrnn import unroll
    >>> cell = CoRNN(input_size=3, hidden_size=5, dt=0.1)
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> ys.shape, bool(jnp.allclose(ys[-1] - ys[-2], 0.1 * carry.z, atol=1e-6))
    ((7, 2, 5), True)

    References: Rusch & Mishra 2021.
    """

    input_size: int
    hidden_size: int
    dt: float = 0.05
    gamma: float = 1.0
    epsilon: float = 1.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_step_length(self.dt)
        for name in ("gamma", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)!r}.")

    def init(self, key: Key) -> CoRNNParams:
        """Draw U by Glorot's uniform rule, and W and V orthogonal; set b = 0, and γ and ε from the fields."""
        check_key(key=key)
        n, (u_key, w_key, v_key) = self.hidden_size, jax.random.split(key, 3)
        return CoRNNParams(
            u=input_weights(u_key, (self.input_size, n)),
            w=recurrent_weights(w_key, (n, n)),
            v=recurrent_weights(v_key, (n, n)),
            b=jnp.zeros(n),
            gamma=jnp.full(n, float(self.gamma)),
            epsilon=jnp.full(n, float(self.epsilon)),
        )

    def initial_carry(self, params: CoRNNParams, batch_shape: tuple[int, ...] = ()) -> CoRNNCarry:
        """Return the state of rest, y⁽⁰⁾ = z⁽⁰⁾ = 0, `[*batch, hidden]`."""
        shape, dtype = (*batch_shape, self.hidden_size), accumulator(params.w.dtype)
        return CoRNNCarry(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def carry_parts(self, carry: CoRNNCarry) -> CarryParts:
        """State that the output is y⁽ᵗ⁾."""
        return CarryParts(output=carry.y)

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` as it is, an array with equal steps `dt`."""
        return as_timed(xs, self.dt, input_size=self.input_size)

    def project(self, params: CoRNNParams, xs: Inputs) -> tuple[Array, Array]:
        """Return b + U x⁽ᵗ⁾, `[..., hidden]`, and Δt, `[..., 1]`."""
        timed = self.timed(xs)
        return add_bias(matmul(timed.x, params.u), params.b), timed.dt.astype(accumulator(params.w.dtype))

    def step(self, params: CoRNNParams, carry: CoRNNCarry, z: tuple[Array, Array]) -> tuple[CoRNNCarry, Array]:
        """Update the velocity, then the position, which is the output."""
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: CoRNNParams, carry: CoRNNCarry, z: tuple[Array, Array]):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: CoRNNParams, carry: CoRNNCarry, z: tuple[Array, Array]):
        (a, dt), (y, velocity) = z, carry
        force = jnp.tanh(a + matmul(y, params.w) + matmul(velocity, params.v))
        velocity = velocity + dt * (force - _pull(params, carry))
        y = y + dt * velocity
        return (CoRNNCarry(y, velocity), y), CoRNNResidual(carry, velocity, force, dt)

    def step_bwd(self, params: CoRNNParams, residual: CoRNNResidual, dcarry: CoRNNCarry, dy: Array):
        """Apply the recursion of 2.2.2, through the position first and then through the velocity."""
        before, velocity, force, dt = residual
        dy = dcarry.y + dy
        dz = dcarry.z + dt * dy
        dchange = dt * dz
        da = dchange * (1 - force**2)
        dbefore = CoRNNCarry(
            y=dy - in_rank(params.gamma, dy) * dchange + matmul_transposed(da, params.w),
            z=dz - in_rank(params.epsilon, dy) * dchange + matmul_transposed(da, params.v),
        )
        ddt = jnp.sum(dy * velocity + dz * (force - _pull(params, before)), axis=-1, keepdims=True)
        return dbefore, (da, ddt), CoRNNLocals(da, dchange)

    def weight_bwd(self, params: CoRNNParams, residuals: CoRNNResidual, locals: CoRNNLocals) -> CoRNNParams:
        """Apply the sums of 2.2.3 for W, V, γ and ε; those of U and b come from `project`."""
        y, velocity = residuals.before
        return CoRNNParams(
            u=jnp.zeros_like(params.u),
            w=outer_sum(y, locals.da, params.w),
            v=outer_sum(velocity, locals.da, params.v),
            b=jnp.zeros_like(params.b),
            gamma=row_sum(-locals.dchange * y, params.gamma),
            epsilon=row_sum(-locals.dchange * velocity, params.epsilon),
        )


def _pull(params: CoRNNParams, carry: CoRNNCarry) -> Array:
    """Return γ ⊙ y + ε ⊙ z."""
    return in_rank(params.gamma, carry.y) * carry.y + in_rank(params.epsilon, carry.y) * carry.z
