"""The plain recurrent network, Elman's: chapter 2.2, item 2.

    a⁽ᵗ⁾ = b + W h⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾
    h⁽ᵗ⁾ = tanh(a⁽ᵗ⁾),            y⁽ᵗ⁾ = h⁽ᵗ⁾

and its backward pass, sections 2.2.2 and 2.2.3, with δ⁽ᵗ⁾ = diag(1 − (h⁽ᵗ⁾)²) ∇_{h⁽ᵗ⁾}L:

    ∇_{h⁽ᵗ⁻¹⁾}L = Wᵀ δ⁽ᵗ⁾ + Vᵀ ∇_{o⁽ᵗ⁻¹⁾}L
    ∇_W L = Σₜ δ⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ᵀ,   ∇_U L = Σₜ δ⁽ᵗ⁾ x⁽ᵗ⁾ᵀ,   ∇_b L = Σₜ δ⁽ᵗ⁾

U, W, b → `params.u`, `params.w`, `params.b`.  The read-out o = c + V h is `jaxrnn.Readout`.

Corrections to the chapter: its 2.2.2 writes tanh′(x) = (1 − tanh x)², which is 1 − tanh² x; and it
multiplies the recursion by the diagonal matrix on the wrong side: the order is Wᵀ diag(1 − h²) ∇.

References: Elman 1990, "Finding structure in time"; Werbos 1990, "Backpropagation through time".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import carry_is_output
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key

ACTIVATIONS = {
    # name: (f, f′ as a function of h = f(a))
    "tanh": (jnp.tanh, lambda h: 1 - h**2),
    "relu": (jax.nn.relu, lambda h: (h > 0).astype(h.dtype)),
    "identity": (lambda a: a, jnp.ones_like),
}
"""The choices of f, by name."""


class ElmanParams(NamedTuple):
    """The chapter's matrices, transposed, because inputs are row vectors.

    >>> Elman(2, 3).init(jax.random.key(0)).u.shape
    (2, 3)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w: Float[Array, "hidden hidden"]
    """Wᵀ: hidden to hidden."""
    b: Float[Array, " hidden"]
    """b."""


class ElmanResidual(NamedTuple):
    """The record of a step for its backward."""

    before: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾."""


class ElmanLocals(NamedTuple):
    """The share of a step in the sums over t."""

    da: Float[Array, "*batch hidden"]
    """δ⁽ᵗ⁾, ∇ of the pre-activation a."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Elman:
    """h⁽ᵗ⁾ = f(b + W h⁽ᵗ⁻¹⁾ + U x⁽ᵗ⁾), y⁽ᵗ⁾ = h⁽ᵗ⁾.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      activation: f: "tanh" (the chapter's), "relu" or "identity" (the linear case of section 3.1).

    Raises:
      ValueError: a size below 1, or an unknown activation.

    >>> cell = Elman(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> y.shape
    (5,)

    References: Elman 1990; chapter 2.2.
    """

    input_size: int
    hidden_size: int
    activation: str = "tanh"

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))

    def init(self, key: Key) -> ElmanParams:
        """Draw U by Glorot's uniform rule, W orthogonal, b = 0."""
        check_key(key=key)
        u_key, w_key = jax.random.split(key)
        u = input_weights(u_key, (self.input_size, self.hidden_size))
        w = recurrent_weights(w_key, (self.hidden_size, self.hidden_size))
        return ElmanParams(u, w, b=jnp.zeros(self.hidden_size))

    def initial_carry(self, params: ElmanParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    carry_parts = carry_is_output

    def project(self, params: ElmanParams, xs: Array) -> Array:
        """Return z⁽ᵗ⁾ = b + U x⁽ᵗ⁾ for every t: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: ElmanParams, carry: Array, z: Array) -> tuple[Array, Array]:
        """Return h⁽ᵗ⁾ = f(z⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾) as the carry and the output."""
        h = self._step(matmul, params, carry, z)
        return h, h

    def step_fwd(self, params: ElmanParams, carry: Array, z: Array):
        """Run the step and return it with its residual."""
        h = self._step(matmul_in_loop, params, carry, z)
        return (h, h), ElmanResidual(before=carry, h=h)

    def step_bwd(self, params: ElmanParams, residual: ElmanResidual, dcarry: Array, dy: Array):
        """Apply the recursion of 2.2.2: δ⁽ᵗ⁾ = f′ ⊙ (∇h⁽ᵗ⁾ from t+1, plus ∇y⁽ᵗ⁾), and Wᵀ δ⁽ᵗ⁾ for t−1."""
        _, derivative = ACTIVATIONS[self.activation]
        da = derivative(residual.h) * (dcarry + dy)
        return matmul_transposed(da, params.w), da, ElmanLocals(da)

    def weight_bwd(self, params: ElmanParams, residuals: ElmanResidual, locals: ElmanLocals) -> ElmanParams:
        """Apply the sums of 2.2.3: ∇_W = Σₜ δ⁽ᵗ⁾ h⁽ᵗ⁻¹⁾ᵀ.  The gradients of U and b come from `project`."""
        dw = outer_sum(residuals.before, locals.da, params.w)
        return ElmanParams(u=jnp.zeros_like(params.u), w=dw, b=jnp.zeros_like(params.b))

    def _step(self, matmul: Callable, params: ElmanParams, carry: Array, z: Array) -> Array:
        f, _ = ACTIVATIONS[self.activation]
        return f(z + matmul(carry, params.w))
