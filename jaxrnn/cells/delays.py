"""Connections that skip d steps, in place of those between neighbors or beside them: chapter, 3.2.1 and 3.2.2.

    h⁽ᵗ⁾ = f(b + Σ_{d ∈ D} W_d h⁽ᵗ⁻ᵈ⁾ + U x⁽ᵗ⁾),           y⁽ᵗ⁾ = h⁽ᵗ⁾,           h⁽⁰⁾ = h⁽⁻¹⁾ = … = 0

D = {1} is the plain network.  D = {1, d} adds the skip connections of 3.2.1; D = {d} removes the connections
of length 1 as in 3.2.2, so that every unit works on the coarser scale.  From h⁽ᵗ⁾ to h⁽ᵗ⁻τ⁾ a gradient passes
through no fewer than ⌈τ / max D⌉ factors W, and if D = {d} through exactly τ / d: it fades as λ^{τ/d}, not as λ^τ.
An exploding one explodes all the same.

Backwards, with δ⁽ᵗ⁾ = diag(f′) ∇_{h⁽ᵗ⁾}L:

    ∇_{h⁽ᵗ⁾}L = Σ_{d ∈ D} W_dᵀ δ⁽ᵗ⁺ᵈ⁾ + Vᵀ ∇_{o⁽ᵗ⁾}L,            ∇_{W_d} L = Σₜ δ⁽ᵗ⁾ h⁽ᵗ⁻ᵈ⁾ᵀ

U, W_d, b → `params.u`, `params.w[k]` for the k-th delay, `params.b`.  The carry holds h⁽ᵗ⁾, which alone hands its
gradient on, and the max D − 1 states before it.  A masked step is no step: it does not count as one of the d.

References: Lin, Horne, Tiňo & Giles 1996, "Learning long-term dependencies in NARX recurrent neural networks".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.core.arguments import check_key
from jaxrnn.core.carry_facts import h_is_output
from jaxrnn.core.checks import check_choice, check_features, check_positive
from jaxrnn.core.initializers import input_weights, recurrent_weights
from jaxrnn.core.precision import accumulator, add_bias, matmul, matmul_in_loop, matmul_transposed, outer_sum
from jaxrnn.core.types import Key


class DelaysParams(NamedTuple):
    """The chapter's matrices, transposed, because inputs are row vectors.

    >>> Delays(2, 3, delays=(1, 10)).init(jax.random.key(0)).w.shape
    (2, 3, 3)
    """

    u: Float[Array, "input hidden"]
    """Uᵀ: input to hidden."""
    w: Float[Array, "delays hidden hidden"]
    """W_dᵀ for each delay, in the order of the cell's `delays`."""
    b: Float[Array, " hidden"]
    """b."""


class DelaysCarry(NamedTuple):
    """h⁽ᵗ⁾, and the states before it that the longest delay needs.

    >>> cell = Delays(2, 3, delays=(1, 10))
    >>> cell.initial_carry(cell.init(jax.random.key(0))).h.shape
    (3,)
    """

    h: Float[Array, "*batch hidden"]
    """h⁽ᵗ⁾."""
    past: Float[Array, "*batch steps hidden"]
    """h⁽ᵗ⁻¹⁾, h⁽ᵗ⁻²⁾, …: the latest first."""


@jax.tree_util.register_static
@dataclass(frozen=True)
class Delays:
    """h⁽ᵗ⁾ = f(b + Σ_d W_d h⁽ᵗ⁻ᵈ⁾ + U x⁽ᵗ⁾), y⁽ᵗ⁾ = h⁽ᵗ⁾.

    Args:
      input_size: the size of x.
      hidden_size: the size of h.
      delays: D, a tuple of different integers of at least 1: `(1, 10)` adds connections, `(10,)` replaces them.
      activation: f: "tanh", "relu" or "identity".

    Raises:
      ValueError: a size or a delay below 1, no delay, a delay twice, or an unknown activation.

    >>> from jaxrnn import unroll
    >>> cell = Delays(input_size=3, hidden_size=5, delays=(1, 4))
    >>> carry, ys = unroll(cell, cell.init(jax.random.key(0)), jnp.ones((7, 2, 3)))
    >>> carry.h.shape, carry.past.shape, ys.shape
    ((2, 5), (2, 3, 5), (7, 2, 5))

    References: Lin et al. 1996; chapter 3.2.1 and 3.2.2.
    """

    input_size: int
    hidden_size: int
    delays: tuple[int, ...] = (1,)
    activation: str = "tanh"

    def __post_init__(self):
        check_positive(input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        if not isinstance(self.delays, tuple) or not self.delays or len(set(self.delays)) < len(self.delays):
            raise ValueError(f"`delays` must be a tuple of different integers, such as (1, 10), got {self.delays!r}.")
        for i, d in enumerate(self.delays):
            check_positive(**{f"delays[{i}]": d})

    def init(self, key: Key) -> DelaysParams:
        """Draw U by Glorot's uniform rule, and each W_d orthogonal over √|D|, so that h⁽ᵗ⁾ keeps its norm; b = 0."""
        check_key(key=key)
        u_key, w_key = jax.random.split(key)
        n, count = self.hidden_size, len(self.delays)
        u = input_weights(u_key, (self.input_size, n))
        w = jnp.stack([recurrent_weights(k, (n, n)) for k in jax.random.split(w_key, count)])
        return DelaysParams(u, w / count**0.5, b=jnp.zeros(n))

    def initial_carry(self, params: DelaysParams, batch_shape: tuple[int, ...] = ()) -> DelaysCarry:
        """Return zeros: h⁽⁰⁾ and the past before it."""
        n, dtype = self.hidden_size, accumulator(params.w.dtype)
        return DelaysCarry(
            jnp.zeros((*batch_shape, n), dtype), jnp.zeros((*batch_shape, max(self.delays) - 1, n), dtype)
        )

    carry_parts = h_is_output

    def project(self, params: DelaysParams, xs: Array) -> Array:
        """Return z⁽ᵗ⁾ = b + U x⁽ᵗ⁾ for every t: `[..., input]` → `[..., hidden]`."""
        check_features("xs", xs, input_size=self.input_size)
        return add_bias(matmul(xs, params.u), params.b)

    def step(self, params: DelaysParams, carry: DelaysCarry, z: Array) -> tuple[DelaysCarry, Array]:
        """Return h⁽ᵗ⁾ as the output, and move the window of the past forward by one step."""
        out, _ = self._step(matmul, params, carry, z)
        return out

    def step_fwd(self, params: DelaysParams, carry: DelaysCarry, z: Array):
        """Run `step`; the residual is (the h⁽ᵗ⁻ᵈ⁾ that were read, h⁽ᵗ⁾)."""
        return self._step(matmul_in_loop, params, carry, z)

    def step_bwd(self, params: DelaysParams, residual, dcarry: DelaysCarry, dy: Array):
        """Apply the recursion of 2.2.2: δ⁽ᵗ⁾, and W_dᵀ δ⁽ᵗ⁾ to the place of h⁽ᵗ⁻ᵈ⁾ in the window."""
        _, derivative = ACTIVATIONS[self.activation]
        _, h = residual
        dz = derivative(h) * (dcarry.h + dy)
        dread = matmul_transposed(dz, self._w(params)).reshape(*dz.shape[:-1], *params.w.shape[:2])
        dwindow = jnp.concatenate([dcarry.past, jnp.zeros_like(dz)[..., None, :]], axis=-2)
        dwindow = dwindow.at[..., self._places(), :].add(dread)
        return DelaysCarry(dwindow[..., 0, :], dwindow[..., 1:, :]), dz, dz

    def weight_bwd(self, params: DelaysParams, residuals, locals) -> DelaysParams:
        """Apply the sums of 2.2.3: ∇_{W_d} = Σₜ δ⁽ᵗ⁾ h⁽ᵗ⁻ᵈ⁾ᵀ.  The gradients of U and b come from `project`."""
        reads, _ = residuals
        dw = outer_sum(reads, locals, params.w).reshape(params.w.shape)
        return DelaysParams(u=jnp.zeros_like(params.u), w=dw, b=jnp.zeros_like(params.b))

    def _step(self, matmul: Callable, params: DelaysParams, carry: DelaysCarry, z: Array):
        """Run a step with all W_d concatenated, as one product."""
        f, _ = ACTIVATIONS[self.activation]
        window = jnp.concatenate([carry.h[..., None, :], carry.past], axis=-2)
        read = lax.collapse(window[..., self._places(), :], -2)
        h = f(z + matmul(read, self._w(params)))
        return (DelaysCarry(h, window[..., :-1, :]), h), (read, h)

    def _w(self, params: DelaysParams) -> Array:
        return params.w.reshape(-1, self.hidden_size)

    def _places(self) -> Array:
        """Return the position of h⁽ᵗ⁻ᵈ⁾ in the window, for each d."""
        return jnp.array(self.delays) - 1
