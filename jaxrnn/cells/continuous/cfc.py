"""The closed-form continuous-time network: the state after Δt without a solver.

    a⁽ᵗ⁾ = lecun(b + U x⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾),                   lecun(u) = 1.7159 tanh(⅔ u)
    g, k = tanh(heads of a⁽ᵗ⁾),          f, c = heads of a⁽ᵗ⁾
    s⁽ᵗ⁾ = σ(f Δt + c)
    h⁽ᵗ⁾ = (1 − s⁽ᵗ⁾) ⊙ g + s⁽ᵗ⁾ ⊙ k,                       y⁽ᵗ⁾ = h⁽ᵗ⁾

The paper's equation is σ(−f t) ⊙ g + (1 − σ(−f t)) ⊙ k, which is the same with c = 0.  The bias c, which sets the gate
at Δt = 0, comes from the authors' program.  The backbone a has one layer.  h depends on Δt through the gate alone: as
Δt grows, h approaches g or k, depending on the sign of f, so any Δt is stable.

U, W, b → `params.u`, `.w`, `.b`; the heads g, k, f, c side by side → `params.v`, `params.c`.

References: Hasani et al. 2022, "Closed-form continuous-time neural networks", equation 3 and §"Closed-form
continuous-depth models".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.continuous.timed_inputs import as_timed, check_step_length
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.checks import check_positive
from jaxrnn.core.initializers import input_weights, per_gate
from jaxrnn.core.precision import (
    accumulator,
    add_bias,
    matmul,
    matmul_in_loop,
    matmul_transposed,
    outer_sum,
    row_sum,
)
from jaxrnn.core.types import Inputs, Key, Timed


class CfCParams(NamedTuple):
    """The backbone, and the four heads side by side.

    >>> CfC(input_size=3, hidden_size=5, backbone_size=8).init(jax.random.key(0)).v.shape
    (8, 20)
    """

    u: Float[Array, "input backbone"]
    """Uᵀ: input to backbone."""
    w: Float[Array, "hidden backbone"]
    """Wᵀ: state to backbone."""
    b: Float[Array, " backbone"]
    """b."""
    v: Float[Array, "backbone heads_hidden"]
    """The heads g, k, f, c, transposed: `[backbone, 4·hidden]`."""
    c: Float[Array, " heads_hidden"]
    """Their biases: `[4·hidden]`."""


SIZE, SLOPE = 1.7159, 2 / 3
"""The constants of the backbone, 1.7159 tanh(2/3 ·)."""


class CfCResidual(NamedTuple):
    """The record of a step for its backward."""

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    backbone: Float[Array, "*batch backbone"]
    """The output of the shared layer."""
    g: Float[Array, "*batch hidden"]
    """g."""
    k: Float[Array, "*batch hidden"]
    """k."""
    f: Float[Array, "*batch hidden"]
    """f."""
    s: Float[Array, "*batch hidden"]
    """s."""
    dt: Float[Array, "*batch 1"]
    """Δt."""


class CfCLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch backbone"]
    """∇ of the pre-activation of the backbone."""
    dheads: Float[Array, "*batch heads_hidden"]
    """∇ of the pre-activations of the four heads."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class CfC:
    """h⁽ᵗ⁾ = (1 − s) ⊙ g + s ⊙ k, s = σ(f Δt + c), with g, k, f and c from one layer over x⁽ᵗ⁾ and h⁽ᵗ⁻¹⁾.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      backbone_size: the size of the layer that the four heads share.
      dt: Δt of every step where the input is an array and not `Timed`.

    Raises:
      ValueError: a size below 1, a Δt that is not above 0.

    >>> from jaxrnn import unroll
    >>> from jaxrnn.cells.continuous import with_dt
    >>> cell = CfC(input_size=3, hidden_size=5, backbone_size=8)
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), with_dt(jnp.ones((7, 2, 3)), 0.5))
    >>> ys.shape
    (7, 2, 5)

    References: Hasani et al. 2022.
    """

    input_size: int
    hidden_size: int
    backbone_size: int = 128
    dt: float = 1.0

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size, backbone_size=self.backbone_size)
        check_step_length(self.dt)

    def init(self, key: Key) -> CfCParams:
        """Draw all matrices by Glorot's uniform rule, U and W as one and each head separately; set biases to 0."""
        check_key(key=key)
        size, n = self.backbone_size, self.hidden_size
        backbone_key, heads_key = jax.random.split(key)
        both = input_weights(backbone_key, (self.input_size + n, size))
        return CfCParams(
            u=both[: self.input_size],
            w=both[self.input_size :],
            b=jnp.zeros(size),
            v=per_gate(input_weights, heads_key, 4, (size, n)),
            c=jnp.zeros(4 * n),
        )

    def initial_carry(self, params: CfCParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    carry_parts = carry_is_output

    def timed(self, xs: Inputs) -> Timed:
        """Return the inputs with Δt: `Timed` unchanged, an array with equal steps `dt`."""
        return as_timed(xs, self.dt, input_size=self.input_size)

    def project(self, params: CfCParams, xs: Inputs) -> tuple[Array, Array]:
        """Return b + U x⁽ᵗ⁾, `[..., backbone]`, and Δt, `[..., 1]`."""
        timed = self.timed(xs)
        return add_bias(matmul(timed.x, params.u), params.b), timed.dt.astype(accumulator(params.w.dtype))

    def step(self, params: CfCParams, carry: Array, z: tuple[Array, Array]) -> tuple[Array, Array]:
        """Run one step; h⁽ᵗ⁾ is both the carry and the output."""
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: CfCParams, carry: Array, z: tuple[Array, Array]):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: CfCParams, carry: Array, z: tuple[Array, Array]):
        a, dt = z
        backbone = SIZE * jnp.tanh(SLOPE * (a + matmul(carry, params.w)))
        g, k, f, c = jnp.split(add_bias(matmul(backbone, params.v), params.c), 4, axis=-1)
        g, k, s = jnp.tanh(g), jnp.tanh(k), jax.nn.sigmoid(f * dt + c)
        h = (1 - s) * g + s * k
        return (h, h), CfCResidual(carry, backbone, g, k, f, s, dt)

    def step_bwd(self, params: CfCParams, residual: CfCResidual, dcarry: Array, dy: Array):
        """Apply the recursion of 2.2.2: ∇h⁽ᵗ⁾ → ∇h⁽ᵗ⁻¹⁾, ∇ of the backbone's pre-activation, and ∇Δt."""
        _, backbone, g, k, f, s, dt = residual
        dh = dcarry + dy
        ds = dh * (k - g) * s * (1 - s)
        dheads = jnp.concatenate([dh * (1 - s) * (1 - g**2), dh * s * (1 - k**2), ds * dt, ds], axis=-1)
        da = matmul_transposed(dheads, params.v) * SLOPE * (SIZE - backbone**2 / SIZE)
        ddt = jnp.sum(ds * f, axis=-1, keepdims=True)
        return matmul_transposed(da, params.w), (da, ddt), CfCLocals(da, dheads)

    def weight_bwd(self, params: CfCParams, residuals: CfCResidual, locals: CfCLocals) -> CfCParams:
        """Apply the sums of 2.2.3 for W and the heads; those of U and b come from `project`."""
        return CfCParams(
            u=jnp.zeros_like(params.u),
            w=outer_sum(residuals.h, locals.da, params.w),
            b=jnp.zeros_like(params.b),
            v=outer_sum(residuals.backbone, locals.dheads, params.v),
            c=row_sum(locals.dheads, params.c),
        )
