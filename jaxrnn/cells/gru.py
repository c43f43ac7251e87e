"""The gated recurrent unit: chapter 7.2.

    r⁽ᵗ⁾ = σ(bʳ + Uʳ x⁽ᵗ⁾ + Wʳ h⁽ᵗ⁻¹⁾)                     reset gate, 7.2.2
    z⁽ᵗ⁾ = σ(bᶻ + Uᶻ x⁽ᵗ⁾ + Wᶻ h⁽ᵗ⁻¹⁾)                     update gate, 7.2.1
    n⁽ᵗ⁾ = tanh(b + U x⁽ᵗ⁾ + W (r⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾))            the candidate h̃, 7.2.3
    h⁽ᵗ⁾ = z⁽ᵗ⁾ ⊙ h⁽ᵗ⁻¹⁾ + (1 − z⁽ᵗ⁾) ⊙ n⁽ᵗ⁾,              y⁽ᵗ⁾ = h⁽ᵗ⁾

The parameters of the gates r, z, n lie side by side along the last axis, in that order.  The gates themselves
stay apart, as a tuple of three arrays, from `project` to ∇z: each is one product and one contiguous loop, which is
faster than cutting and joining packed arrays at every step (a training step at 100 × 32 × 128 × 128 took 0.64 of the
time), and it keeps the step free of joined float64 pieces, which jaxlib 0.10 compiles wrongly on some CPUs.

`reset="before"` is the formula above: the reset acts before the matrix product (Cho et al. 2014; Keras'
`reset_after=False`, ONNX' `linear_before_reset=0`).  `reset="after"` is the form of PyTorch, cuDNN, Flax
and Equinox, one matrix product a step, whose candidate has a hidden bias of its own:
n = tanh(b + U x + r ⊙ (bₙ + W h)).

Corrections to the chapter: the *formula* of 7.2.3 holds, z keeps the **old** h (its text about the gate
says both); and σ′ is at most 0.25, not 0.5.

References: Cho et al. 2014, §2.3; Chung et al. 2014, §3.2.
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
from jaxrnn.core.initializers import input_weights, per_gate, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum, row_sum
from jaxrnn.core.types import Key

Gates = tuple[Float[Array, "*leading hidden"], Float[Array, "*leading hidden"], Float[Array, "*leading hidden"]]
"""One array each for r, z and n."""


class GRUParams(NamedTuple):
    """The chapter's matrices, transposed, with the gates packed as r, z, n.

    >>> GRU(2, 3).init(jax.random.key(0)).u.shape
    (2, 9)
    """

    u: Float[Array, "input gates_hidden"]
    """(Uʳ, Uᶻ, U)ᵀ: `[input, 3·hidden]`."""
    w: Float[Array, "hidden gates_hidden"]
    """(Wʳ, Wᶻ, W)ᵀ: `[hidden, 3·hidden]`."""
    b: Float[Array, " gates_hidden"]
    """(bʳ, bᶻ, b): `[3·hidden]`."""
    b_n: Float[Array, " hidden"] | None = None
    """The candidate's hidden bias, where `reset="after"`; None otherwise."""


class GRUResidual(NamedTuple):
    """The record of a step for its backward."""

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁻¹⁾."""
    r: Float[Array, "*batch hidden"]
    """The reset gate."""
    keep: Float[Array, "*batch hidden"]
    """The update gate z."""
    n: Float[Array, "*batch hidden"]
    """The candidate."""
    hidden: Float[Array, "*batch hidden"] | None
    """W h⁽ᵗ⁻¹⁾ + bₙ, where `reset="after"`; None otherwise."""


class GRULocals(NamedTuple):
    """The share of a step in the sums over t."""

    dar: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the reset gate."""
    dak: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the update gate."""
    dan: Float[Array, "*batch hidden"]
    """∇ of the pre-activation of the candidate."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class GRU:
    """h⁽ᵗ⁾ = z ⊙ h⁽ᵗ⁻¹⁾ + (1 − z) ⊙ n.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      reset: "before" (the chapter's) or "after" (PyTorch's and cuDNN's) the product with W.

    Raises:
      ValueError: a size below 1, or an unknown reset.

    >>> cell = GRU(input_size=3, hidden_size=5)
    >>> params = cell.init(jax.random.key(0))
    >>> h, y = cell.step(params, cell.initial_carry(params), cell.project(params, jnp.ones(3)))
    >>> h.shape
    (5,)

    References: Cho et al. 2014; chapter 7.2.
    """

    input_size: int
    hidden_size: int
    reset: str = "before"

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("reset", self.reset, ("before", "after"))

    def init(self, key: Key) -> GRUParams:
        """Draw U by Glorot's uniform rule and W orthogonal, gate by gate; biases 0."""
        check_key(key=key)
        n = self.hidden_size
        u_key, w_key = jax.random.split(key)
        u = per_gate(input_weights, u_key, 3, (self.input_size, n))
        w = per_gate(recurrent_weights, w_key, 3, (n, n))
        return GRUParams(u, w, jnp.zeros(3 * n), jnp.zeros(n) if self.reset == "after" else None)

    def initial_carry(self, params: GRUParams, batch_shape: tuple[int, ...] = ()) -> Array:
        """Return h⁽⁰⁾ = 0, `[*batch, hidden]`."""
        return jnp.zeros((*batch_shape, self.hidden_size), accumulator(params.w.dtype))

    carry_parts = carry_is_output

    def project(self, params: GRUParams, xs: Array) -> Gates:
        """Return b + U x⁽ᵗ⁾ of each gate: `[..., input]` → three arrays `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        r, keep, n = (add_bias(matmul(xs, u), b) for u, b in zip(_apart(params.u), _apart(params.b), strict=True))
        return r, keep, n

    def step(self, params: GRUParams, carry: Array, z: Gates) -> tuple[Array, Array]:
        """Return the new h as the carry and the output."""
        out, _ = self._step(matmul, params, carry, z)
        return out

    def step_fwd(self, params: GRUParams, carry: Array, z: Gates):
        """Run the step and return it with its residual."""
        return self._step(matmul_in_loop, params, carry, z)

    def _step(self, matmul: Callable, params: GRUParams, carry: Array, z: Gates):
        (zr, zk, zn), (wr, wk, wn) = z, _apart(params.w)
        r, keep = _sigmoid(zr + matmul(carry, wr)), _sigmoid(zk + matmul(carry, wk))
        hidden = None
        if params.b_n is not None:
            hidden = add_bias(matmul(carry, wn), params.b_n)
            n = jnp.tanh(zn + r * hidden)
        else:
            n = jnp.tanh(zn + matmul(r * carry, wn))
        h = keep * carry + (1 - keep) * n
        return (h, h), GRUResidual(h=carry, r=r, keep=keep, n=n, hidden=hidden)

    def step_bwd(self, params: GRUParams, residual: GRUResidual, dcarry: Array, dy: Array):
        """Apply the recursion of 2.2.2 for the three gates: ∇h⁽ᵗ⁾ → ∇h⁽ᵗ⁻¹⁾ and ∇ of the pre-activations."""
        h, r, keep, n, hidden = residual
        wr, wk, wn = _apart(params.w)
        dh = dcarry + dy
        dan = dh * (1 - keep) * (1 - n**2)
        dak = dh * (h - n) * keep * (1 - keep)
        if hidden is not None:
            dar = dan * hidden * r * (1 - r)
            through_candidate = matmul_transposed(dan * r, wn)
        else:
            drh = matmul_transposed(dan, wn)
            dar = drh * h * r * (1 - r)
            through_candidate = drh * r
        dh = dh * keep + through_candidate + matmul_transposed(dar, wr) + matmul_transposed(dak, wk)
        return dh, (dar, dak, dan), GRULocals(dar, dak, dan)

    def weight_bwd(self, params: GRUParams, residuals: GRUResidual, locals: GRULocals) -> GRUParams:
        """Apply the sums of 2.2.3: the sums over t for W and bₙ.

        The gradients of U and b come from `project`.
        """
        hs, r, (dar, dak, dan) = residuals.h, residuals.r, locals
        if params.b_n is None:
            dhidden, seen, db_n = dan, r * hs, None
        else:
            dhidden, seen = dan * r, hs  # the candidate sees W h⁽ᵗ⁻¹⁾ + bₙ through r
            db_n = row_sum(dhidden, params.b_n)
        pairs = zip((hs, hs, seen), (dar, dak, dhidden), _apart(params.w), strict=True)
        dw = jnp.concatenate([outer_sum(*pair) for pair in pairs], axis=-1)
        return GRUParams(jnp.zeros_like(params.u), dw, jnp.zeros_like(params.b), db_n)


def _apart(packed: Array) -> list[Array]:
    """Split packed parameters into those of r, z and n."""
    return jnp.split(packed, 3, axis=-1)


def _sigmoid(a: Array) -> Array:
    """Compute σ(a) as (1 + tanh(a/2)) / 2, because XLA's CPU code for tanh is faster than that for σ."""
    return 0.5 * jnp.tanh(0.5 * a) + 0.5
