"""Long short-term memory with a projected output: Goodfellow et al. 2016, §10.10.1 (chapter 7.1).

    i, f, g, o = σ, σ, tanh, σ of (b + U x⁽ᵗ⁾ + W h⁽ᵗ⁻¹⁾)
    C⁽ᵗ⁾ = f ⊙ C⁽ᵗ⁻¹⁾ + i ⊙ g
    h⁽ᵗ⁾ = P (o ⊙ tanh(C⁽ᵗ⁾)),                    y⁽ᵗ⁾ = h⁽ᵗ⁾

The gates read the short h and not the long o ⊙ tanh(C), so that W is `4·hidden × projection`: many cells of
memory at the price of few recurrent weights.  It is the LSTM that PyTorch runs when `proj_size` is given.

U, W, b, P → `params.u`, `.w`, `.b`, `.projection`.

References: Sak, Senior & Beaufays 2014, "Long short-term memory recurrent neural network architectures for large
scale acoustic modeling", §2.1 (without peepholes, and without its second, non-recurrent projection).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrnn.cells.lstm import LSTMCarry
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_features, check_positive
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class ProjectedLSTMParams(NamedTuple):
    """The matrices, transposed, with the gates packed as i, f, g, o.

    >>> ProjectedLSTM(2, 8, 3).init(jax.random.key(0)).projection.shape
    (8, 3)
    """

    u: Float[Array, "input gates_hidden"]
    """Uᵀ: `[input, 4·hidden]`."""
    w: Float[Array, "projection gates_hidden"]
    """Wᵀ: `[projection, 4·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """b: `[4·hidden]`."""
    projection: Float[Array, "hidden projection"]
    """Pᵀ: `[hidden, projection]`."""


class ProjectedLSTMResidual(NamedTuple):
    """The values of a step that its backward pass reads."""

    h: Float[Array, "*batch projection"]
    """h⁽ᵗ⁻¹⁾."""
    c: Float[Array, "*batch hidden"]
    """C⁽ᵗ⁻¹⁾."""
    gates: tuple[Array, Array, Array, Array]
    """i, f, g, o."""


class ProjectedLSTMLocals(NamedTuple):
    """The cotangents that the sums over t need."""

    dz: Float[Array, "*batch gates_hidden"]
    """∇ of the pre-activations."""
    dh: Float[Array, "*batch projection"]
    """∇h⁽ᵗ⁾, from t + 1 and from the output together."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class ProjectedLSTM:
    """h⁽ᵗ⁾ = P (o ⊙ tanh(C⁽ᵗ⁾)), C⁽ᵗ⁾ = f ⊙ C⁽ᵗ⁻¹⁾ + i ⊙ g.

    Args:
      input_size: the size of x.
      hidden_size: the size of C.
      projection_size: the size of h, which the gates and the next layer read.

    Raises:
      ValueError: a size below 1.

    >>> cell = ProjectedLSTM(input_size=3, hidden_size=8, projection_size=2)
    >>> params = cell.init(jax.random.key(0))
    >>> carry, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> carry.c.shape, carry.h.shape, y.shape
    ((8,), (2,), (2,))

    References: Sak, Senior & Beaufays 2014, §2.1.
    """

    input_size: int
    hidden_size: int
    projection_size: int

    def __post_init__(self):
        sizes = {name: getattr(self, name) for name in ("input_size", "hidden_size", "projection_size")}
        check_positive(**sizes)

    def init(self, key: Key) -> ProjectedLSTMParams:
        """Draw U and P by Glorot's uniform rule and W orthogonal, gate by gate; b = 0, but 1 for the forget gate."""
        check_key(key=key)
        n, p = self.hidden_size, self.projection_size
        u_key, w_key, p_key = jax.random.split(key, 3)
        u = per_gate(input_weights, u_key, 4, (self.input_size, n))
        w = per_gate(recurrent_weights, w_key, 4, (p, n))
        return ProjectedLSTMParams(u, w, jnp.zeros(4 * n).at[n : 2 * n].set(1), input_weights(p_key, (n, p)))

    def initial_carry(self, params: ProjectedLSTMParams, batch_shape: tuple[int, ...] = ()) -> LSTMCarry:
        """Return h⁽⁰⁾ = 0, `[*batch, projection]`, and C⁽⁰⁾ = 0, `[*batch, hidden]`."""
        dtype = accumulator(params.w.dtype)
        h = jnp.zeros((*batch_shape, self.projection_size), dtype)
        return LSTMCarry(h, jnp.zeros((*batch_shape, self.hidden_size), dtype))

    carry_parts = h_is_output

    def project(self, params: ProjectedLSTMParams, xs: Array) -> Array:
        """Return b + U x⁽ᵗ⁾ of the four gates: `[..., input]` → `[..., 4·hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: ProjectedLSTMParams, carry: LSTMCarry, z: Array) -> tuple[LSTMCarry, Array]:
        """Return the new (h, C), and h as the output."""
        out, _ = self._step(matmul, params, carry, z)
        return out

    def step_fwd(self, params: ProjectedLSTMParams, carry: LSTMCarry, z: Array):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: ProjectedLSTMParams, carry: LSTMCarry, z: Array):
        i, f, g, o = jnp.split(z + matmul(carry.h, params.w), 4, axis=-1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), jnp.tanh(g), _sigmoid(o)
        c = f * carry.c + i * g
        h = matmul(o * jnp.tanh(c), params.projection)
        return (LSTMCarry(h, c), h), ProjectedLSTMResidual(carry.h, carry.c, (i, f, g, o))

    def step_bwd(self, params: ProjectedLSTMParams, residual: ProjectedLSTMResidual, dcarry: LSTMCarry, dy: Array):
        """Apply the recursion of 2.2.2, with Pᵀ before the gates: (∇h⁽ᵗ⁾, ∇C⁽ᵗ⁾) → (∇h⁽ᵗ⁻¹⁾, ∇C⁽ᵗ⁻¹⁾)."""
        c, (i, f, g, o) = residual.c, residual.gates
        tanh_c = jnp.tanh(f * c + i * g)
        dh = dcarry.h + dy
        dm = matmul_transposed(dh, params.projection)
        dc = dcarry.c + dm * o * (1 - tanh_c**2)
        dai, daf, dag = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2)
        dz = jnp.concatenate([dai, daf, dag, dm * tanh_c * o * (1 - o)], axis=-1)
        return LSTMCarry(matmul_transposed(dz, params.w), dc * f), dz, ProjectedLSTMLocals(dz, dh)

    def weight_bwd(self, params: ProjectedLSTMParams, residuals: ProjectedLSTMResidual, locals: ProjectedLSTMLocals):
        """Apply the sums of 2.2.3: the sums over t for W and P.  The gradients of U and b come from `project`."""
        i, f, g, o = residuals.gates
        ms = o * jnp.tanh(f * residuals.c + i * g)
        return ProjectedLSTMParams(
            u=jnp.zeros_like(params.u),
            w=outer_sum(residuals.h, locals.dz, params.w),
            b=jnp.zeros_like(params.b),
            projection=outer_sum(ms, locals.dh, params.projection),
        )


def _sigmoid(a: Array) -> Array:
    """Compute σ(a) as (1 + tanh(a/2)) / 2, because XLA's CPU code for tanh is faster than that for σ."""
    return 0.5 * jnp.tanh(0.5 * a) + 0.5
