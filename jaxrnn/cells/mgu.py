"""The minimal gated unit: a GRU (chapter, section 7.2) whose update gate is its reset gate too.

    f⁽ᵗ⁾ = σ(bᶠ + Uᶠ x⁽ᵗ⁾ + Wᶠ h⁽ᵗ⁻¹⁾)
    n⁽ᵗ⁾ = tanh(b + U x⁽ᵗ⁾ + W (f⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾))
    h⁽ᵗ⁾ = (1 − f⁽ᵗ⁾) ⊙ h⁽ᵗ⁻¹⁾ + f⁽ᵗ⁾ ⊙ n⁽ᵗ⁾,               y⁽ᵗ⁾ = h⁽ᵗ⁾

As in the paper, f is the share of the *new* value; in the chapter's GRU, z is the share of the old one.

f, n side by side along the last axis → `params.u`, `params.w`, `params.b`.

References: Zhou et al. 2016, "Minimal gated unit for recurrent neural networks", §3, equations 11 to 13.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class MGUParams(NamedTuple):
    """The gate f and the candidate n side by side.

    >>> MGU(input_size=3, hidden_size=5).init(jax.random.key(0))._fields
    ('u', 'w', 'b')
    """

    u: Float[Array, "input gates_hidden"]
    """(Uᶠ, U)ᵀ: `[input, 2·hidden]`."""
    w: Float[Array, "hidden gates_hidden"]
    """(Wᶠ, W)ᵀ: `[hidden, 2·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """(bᶠ, b): `[2·hidden]`."""


class MGUResidual(NamedTuple):
    """The record of a step for its backward."""

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    f: Float[Array, "*batch hidden"]
    """The gate."""
    n: Float[Array, "*batch hidden"]
    """The candidate."""


class MGULocals(NamedTuple):
    """The share of a step in the sums over t."""

    daf: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the gate."""
    dan: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the candidate."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class MGU:
    """h⁽ᵗ⁾ = (1 − f) ⊙ h⁽ᵗ⁻¹⁾ + f ⊙ tanh(b + U x + W (f ⊙ h⁽ᵗ⁻¹⁾)).

    Args:
      input_size: the size of x.
      hidden_size: the size of h.

    Raises:
      ValueError: a size below 1.

    >>> cell = MGU(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> h.shape
    (5,)

    References: Zhou et al. 2016.
    """

    input_size: int
    hidden_size: int

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)

    def init(self, key: Key) -> MGUParams:
        """Draw U by Glorot's uniform rule and W orthogonal, gate by gate; b = 0."""
        n, (u_key, w_key) = self.hidden_size, jax.random.split(key)
        u = per_gate(input_weights, u_key, 2, (self.input_size, n))
        return MGUParams(u, per_gate(recurrent_weights, w_key, 2, (n, n)), jnp.zeros(2 * n))

    def initial_carry(self, params: MGUParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    carry_parts = carry_is_output

    def project(self, params: MGUParams, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾ of the gate and the candidate: `[..., input]` → `[..., 2·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: MGUParams, carry: Array, z: Array) -> tuple[Array, Array]:
        """Return h⁽ᵗ⁾ as the carry and the output."""
        return self._step(matmul, params, carry, z)[0]

    def step_fwd(self, params: MGUParams, carry: Array, z: Array):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: MGUParams, carry: Array, z: Array):
        (zf, zn), (wf, wn) = jnp.split(z, 2, axis=-1), jnp.split(params.w, 2, axis=-1)
        f = jax.nn.sigmoid(zf + matmul(carry, wf))
        n = jnp.tanh(zn + matmul(f * carry, wn))
        h = (1 - f) * carry + f * n
        return (h, h), MGUResidual(carry, f, n)

    def step_bwd(self, params: MGUParams, residual: MGUResidual, dcarry: Array, dy: Array):
        """Apply the recursion of 2.2.2: ∇h⁽ᵗ⁾ → ∇h⁽ᵗ⁻¹⁾ and ∇ of both pre-activations."""
        (h, f, n), (wf, wn) = residual, jnp.split(params.w, 2, axis=-1)
        dh = dcarry + dy
        dan = dh * f * (1 - n**2)
        dseen = matmul_transposed(dan, wn)  # ∇ of f ⊙ h⁽ᵗ⁻¹⁾
        daf = (dh * (n - h) + dseen * h) * f * (1 - f)
        before = dh * (1 - f) + dseen * f + matmul_transposed(daf, wf)
        return before, jnp.concatenate([daf, dan], axis=-1), MGULocals(daf, dan)

    def weight_bwd(self, params: MGUParams, residuals: MGUResidual, locals: MGULocals) -> MGUParams:
        """Apply the sums of 2.2.3 for W; those of U and b come from `project`."""
        (hs, f, _), (wf, wn) = residuals, jnp.split(params.w, 2, axis=-1)
        dw = jnp.concatenate([outer_sum(hs, locals.daf, wf), outer_sum(f * hs, locals.dan, wn)], axis=-1)
        return MGUParams(jnp.zeros_like(params.u), dw, jnp.zeros_like(params.b))
